"""What can be asked of captures, each read, told on the terminal and written down by one function.

Each returns whether nothing was lost, cut off or unreadable, and raises ReportError and CaptureError.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import BinaryIO

from rich.console import Console

from httpcapture import CaptureError, Reader

from ..capture import verify
from ..capture.loader import Nothing, load
from ..capture.sources import STDIN, cannot_read, name_of, rereadable
from ..common.errors import ReportError
from ..common.printable import printable
from ..common.progress import Bar, Watched, counted
from ..compare.warnings import comparison_lines
from ..outputs import terminal
from ..outputs.comparison_folded import folded as comparison_folded
from ..outputs.comparison_json import document as comparison_document
from ..outputs.comparison_terminal import print_comparison
from ..outputs.csv_table import lines, rows
from ..outputs.json_report import document
from ..outputs.registry import Drawn, Export
from ..outputs.stack_traces import text
from ..redact import Redaction
from ..report import headline
from ..report.aggregate import Aggregate, Request, aggregate_of, binaries_of, read_report
from ..report.folding import folded
from ..report.info import info
from ..report.recordings import Facts
from ..report.samples import Weight
from ..report.warnings import Cause, lacking
from . import parallel
from .atomic_files import Target, check_apart, check_directory
from .compare_captures import read_both
from .streams import say

STACK_TRACES = "stack_traces.txt"
FOLDED = "stacks.folded"
DIFF = "stacks.diff.folded"


@dataclass(frozen=True)
class Output:
    """What to write where: `files` by their names, in `directory`; none without one."""

    directory: str | None
    files: Mapping[str, Target]
    exports: Mapping[Export, Target]
    as_json: bool
    weight: Weight

    def has(self, export: str) -> bool:
        return any(each.name == export for each in self.exports)

    @property
    def targets(self) -> Sequence[Target]:
        return (*self.files.values(), *self.exports.values())

    @property
    def on_stdout(self) -> Sequence[str]:
        """The options whose outputs go to standard output, so that the summary does not."""
        exports = (target.option for target in self.exports.values() if target.is_stdout)
        return [*(["--json"] if self.as_json else []), *exports]

    @property
    def scratch(self) -> str | None:
        """Where files for what is told call by call can wait; None: anywhere."""
        return next((target.directory for target in self.targets if not target.is_stdout), None)

    @property
    def call_by_call(self) -> frozenset[str]:
        """What parallel.Spools are wanted for it."""
        wanted = {"text": self.directory is not None, "table": self.has("csv"), "document": self.as_json}
        return frozenset(kind for kind, is_wanted in wanted.items() if is_wanted)


def check_outputs(output: Output, captures: Sequence[str]) -> None:
    """Find out before the work begins whether they can be written. Raises ReportError."""
    if output.directory is not None:
        check_directory(output.directory, "-o")
    check_apart(output.targets, captures)
    for target in output.targets:
        target.check()


def report_one(capture: str, request: Request, output: Output) -> bool:
    """Returns whether nothing was lost or cut off. Raises ReportError and CaptureError."""
    with Bar(printable(capture), size_of(capture)) as bar:
        report = read_report(capture, request, open_watched(capture, bar), bar)
    whole = aggregate_of(report, capture, slowest=request.slowest)
    check_some_pass(request, whole.captures, headline.warning_lines(whole))
    write_files(output, whole, text(report, capture, all_stacks=request.all_stacks))
    write_exports(output, whole, lines((row for _, row in rows(report, capture)), report.stack_ids))
    if output.as_json:
        print_json(whole, document(report, capture))
    return print_report(output, whole)


def check_some_pass(request: Request, captures: Sequence[Facts], warnings: Iterable[str]) -> None:
    """Raise ReportError where the filters let no call of any capture pass, whatever it took: they may be wrong, so that
    what was written for others before has to stay. The warnings say what calls there are; they are printed first."""
    if not request.filtered or any(facts.some_pass for facts in captures):
        return
    error = f"no {captures[0].subject} is in the captures: no output was written"
    if len(captures) == 1:
        (error,) = (one.text for one in captures[0].warnings if one.cause is Cause.NOTHING_KEPT)
    terminal.print_warnings(terminal.console(sys.stderr), (text for text in warnings if text != error))
    raise ReportError(error)


def redact(captures: Sequence[str], target: Target, request: Request) -> bool:
    """Write the redacted capture and say what was done. Returns whether nothing was lost or cut off. Raises ReportError
    and CaptureError."""
    capture, *others = captures
    if others:
        raise ReportError("--redact is of one capture: give one file")
    check_apart([target], captures)
    target.check()
    name = printable(name_of(capture))
    with Bar(name, 2 * size_of(capture)) as bar, rereadable(capture) as file:
        watched = Watched(file, bar)
        recording = load(Reader(watched, name_of(capture)), Nothing())
        watched.seek(0)
        with closing(binaries_of(request)) as binaries:
            redaction = Redaction(recording, binaries.find)
            target.write(redaction.pieces(Reader(watched, name_of(capture))))
    out = terminal.console(sys.stderr if target.is_stdout else sys.stdout)
    lacks = [*lacking(recording), *redaction.warnings()]
    problems = map(printable, binaries.problems)
    terminal.print_warnings(out, [*(warning.text for warning in lacks), *problems])
    terminal.print_lines(out, [f"{name}: redacted: {printable(target.name)}", *redaction.lines()])
    return not lacks


def report_many(paths: Sequence[str], request: Request, output: Output, jobs: int) -> bool:
    """Returns whether nothing was lost, cut off or unreadable. Raises ReportError."""
    if STDIN in paths:
        raise ReportError("standard input cannot be one of several captures: write it to a file")
    with parallel.scratch(output.scratch) as folder:
        spools = parallel.Spools(folder, paths, output.call_by_call)
        with Bar(f"{len(paths):,} captures", sum(map(size_of, paths))) as bar:
            whole = parallel.aggregate_all(spools, request, jobs, done=lambda path: bar.advance(size_of(path)))
        if not whole.captures:
            raise ReportError("; ".join(one.reason for one in whole.unreadable))
        check_some_pass(request, whole.captures, headline.warning_lines(whole))
        write_files(output, whole, parallel.text(whole, spools, all_stacks=request.all_stacks))
        write_exports(output, whole, parallel.lines(whole, spools))
        if output.as_json:
            print_json(whole, parallel.documents(whole, spools))
    return print_report(output, whole)


def write_files(output: Output, whole: Aggregate, pieces: Iterable[str]) -> None:
    """Write stack traces (`pieces`) and folded stacks, if they are asked for. Raises ReportError."""
    if output.directory is not None:
        output.files[STACK_TRACES].write_lines(counted(STACK_TRACES, whole.listed, pieces))
        output.files[FOLDED].write_lines(folded(whole.samples, output.weight))


def write_exports(output: Output, whole: Aggregate, lines: Iterable[str]) -> None:
    """`lines` are those of --csv. Raises ReportError."""
    lines = counted("--csv", whole.listed, lines)
    for export, target in output.exports.items():
        target.write(export.pieces(Drawn(whole, lines, output.weight)))


def print_json(whole: Aggregate, pieces: Iterable[str]) -> None:
    """With a bar, unless both would be on one terminal."""
    sys.stdout.writelines(pieces if sys.stdout.isatty() else counted("--json", whole.listed, pieces))
    sys.stdout.flush()


def console_of(output: Output) -> Console:
    """Where the summary goes."""
    return terminal.console(sys.stderr if output.on_stdout else sys.stdout)


def print_report(output: Output, whole: Aggregate) -> bool:
    """With --json warnings only. Returns what `report_one` does."""
    out = console_of(output)
    terminal.print_warnings(out, headline.warning_lines(whole))
    if not output.as_json:
        terminal.print_summary(out, whole)
        if output.directory is not None:
            traces, stacks = (output.files[name].path for name in (STACK_TRACES, FOLDED))
            terminal.print_written(out, traces, stacks)
            if any(map(output.weight.folded, whole.stacks.values())):
                terminal.print_next(out, stacks, output.weight)
        print_exported(out, output)
    return not headline.incomplete(whole)


def print_exported(out: Console, output: Output) -> None:
    """The files that were written beside those of -o."""
    terminal.print_exported(out, (target.path for target in output.exports.values() if not target.is_stdout))


def report_changes(baselines: Sequence[str], paths: Sequence[str], request: Request, output: Output, jobs: int) -> bool:
    """Returns whether nothing was lost, cut off or unreadable on either side. Raises ReportError."""
    for export in output.exports:
        if export.compared is None:
            raise ReportError(f"{export.option} is of one capture: leave out --baseline")
    with Bar(f"{len(baselines) + len(paths):,} captures", sum(map(size_of, (*baselines, *paths)))) as bar:
        comparison = read_both(baselines, paths, request, jobs, lambda path: bar.advance(size_of(path)))
    captures = (*comparison.before.captures, *comparison.after.captures)
    check_some_pass(request, captures, comparison_lines(comparison))
    if output.directory is not None:
        output.files[DIFF].write_lines(comparison_folded(comparison, output.weight))
    for export, target in output.exports.items():
        if export.compared is not None:
            target.write(export.compared(comparison, output.weight))
    if output.as_json:
        sys.stdout.writelines(comparison_document(comparison))
        sys.stdout.flush()
    out = console_of(output)
    terminal.print_warnings(out, comparison_lines(comparison))
    if not output.as_json:
        print_comparison(out, comparison)
        out.print()
        if output.directory is not None:
            terminal.print_exported(out, [output.files[DIFF].path])
        print_exported(out, output)
        if output.directory is not None and any(output.weight.folded(stack.after) for stack in comparison.stacks):
            terminal.print_next(out, output.files[DIFF].path, output.weight)
    return not (headline.incomplete(comparison.before) or headline.incomplete(comparison.after))


def tell(path: str, request: Request, *, tell_info: bool, verbose: bool, check: bool) -> bool:
    """Print what was asked about a capture, and return whether it can be read and, if checked, is whole."""
    out, name, fine = terminal.console(sys.stdout), name_of(path), True
    try:
        with rereadable(path) as file:
            if tell_info:
                fine = print_info(out, name, file, request, verbose=verbose)
            if check:
                file.seek(0)
                verdict = verify.verify(name, file)
                terminal.print_lines(out, verify.lines(verdict))
                fine = fine and not verdict.problems
    except ReportError as error:
        say(error)
        return False
    return fine


def print_info(out: Console, name: str, file: BinaryIO, request: Request, *, verbose: bool) -> bool:
    """Return whether the capture could be read; if not, say why."""
    try:
        terminal.print_lines(out, info(name, file, request, modules=verbose))
    except (ReportError, CaptureError) as error:
        say(error)
        return False
    return True


def open_watched(capture: str, bar: Bar) -> Reader:
    """Raises ReportError and CaptureError."""
    try:
        if capture == STDIN:
            return Reader(sys.stdin.buffer, name_of(capture))
        file = Watched(open(capture, "rb", buffering=0), bar)  # noqa: SIM115 (the reader closes it)
        try:
            return Reader(file, capture)
        except BaseException:
            file.close()
            raise
    except OSError as error:
        raise cannot_read(capture, error) from None


def size_of(path: str) -> int:
    """Bytes, 0 where that cannot be told: it is for the bar only."""
    try:
        return os.stat(path).st_size
    except OSError:
        return 0
