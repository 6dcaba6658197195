"""What can be asked of captures, each read, told on the terminal and written down by one function.

Each returns whether nothing was lost, cut off or unreadable, and raises ReportError and CaptureError.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass

from httpcapture import CaptureError, Reader

from . import compare, many, outputs, summary, terminal, verify
from .cautions import incomplete, lacking
from .clean import printable
from .digest import Digest, Request, binaries_of, digest_of, read_report
from .errors import ReportError
from .exports.files import Drawn, Export
from .exports.table import lines
from .fold import folded
from .info import info
from .json_report import document
from .progress import Bar, Watched, counted
from .recording import Nothing, load
from .redact import Redaction
from .samples import Weight
from .text import text

STACK_TRACES = "stack_traces.txt"
FOLDED = "stacks.folded"
DIFF = "stacks.diff.folded"


@dataclass(frozen=True)
class Output:
    """What to write where: `files` into `directory`, none without one."""

    directory: str | None
    files: Sequence[str]
    exports: Mapping[Export, str]  # to which path
    as_json: bool
    weight: Weight

    def has(self, export: str) -> bool:
        return any(each.name == export for each in self.exports)

    @property
    def scratch(self) -> str | None:
        """Where files for what is told call by call can wait; None: anywhere."""
        folders = [os.path.dirname(path) or "." for path in self.exports.values()]
        return next(iter(folders), None) if self.directory is None else self.directory

    @property
    def call_by_call(self) -> frozenset[str]:
        """What many.Spools are wanted for it."""
        wanted = {"text": self.directory is not None, "table": self.has("csv"), "document": self.as_json}
        return frozenset(kind for kind, is_wanted in wanted.items() if is_wanted)


def check_outputs(output: Output, *, force: bool) -> None:
    """Find out before the work begins whether they can be written. Raises ReportError."""
    if output.directory is not None:
        outputs.check(output.directory, output.files, force=force)
    for export, path in output.exports.items():
        check_file(path, export.option, force=force)


def check_file(path: str, option: str, *, force: bool) -> None:
    folder, name = os.path.split(path)
    outputs.check(folder or ".", [name], force=force, option=option)


def report_one(capture: str, request: Request, output: Output) -> bool:
    """Returns whether nothing was lost or cut off. Raises ReportError and CaptureError."""
    with Bar(printable(capture), size_of(capture)) as bar:
        report = read_report(capture, request, open_watched(capture, bar), bar)
    whole = digest_of(report, capture, slowest=request.slowest)
    written = write_files(output, whole, text(report, capture))
    write_exports(output, whole, (line for _, line in lines(report, capture)))
    if output.as_json:
        print_json(whole, document(report, capture))
    return print_report(output, whole, written)


def redact(captures: Sequence[str], path: str, request: Request, *, force: bool) -> bool:
    """Write the redacted capture to `path` and say what was done. Returns whether nothing was lost or cut off. Raises
    ReportError and CaptureError."""
    capture, *others = captures
    if others:
        raise ReportError("--redact is of one capture: give one file")
    if capture == "-" or (os.path.exists(capture) and not os.path.isfile(capture)):
        raise ReportError("--redact reads a capture twice: give a file, no pipe")
    if path != "-":
        check_file(path, "--redact", force=force)
    elif sys.stdout.isatty():
        raise ReportError("--redact - would write the capture to the terminal: redirect it to a file or a pipe")
    with Bar(printable(capture), 2 * size_of(capture)) as bar:
        try:
            with open_watched(capture, bar) as reader:
                recording = load(reader, Nothing())
        except OSError as error:
            raise ReportError(f"cannot read {capture}: {error.strerror or error}") from None
        with closing(binaries_of(request)) as binaries, open_watched(capture, bar) as again:
            redaction = Redaction(recording, binaries.find)
            pieces = redaction.pieces(again)
            if path == "-":
                sys.stdout.buffer.writelines(pieces)
            else:
                outputs.write_pieces(*os.path.split(path), pieces)
    out = terminal.console(sys.stderr if path == "-" else sys.stdout)
    terminal.print_warnings(out, [*(caution.text for caution in lacking(recording)), *binaries.problems])
    terminal.print_lines(out, [f"{printable(capture)}: redacted: {printable(path)}", *redaction.lines()])
    return not incomplete(recording)


def report_many(paths: Sequence[str], request: Request, output: Output, jobs: int) -> bool:
    """Returns whether nothing was lost, cut off or unreadable. Raises ReportError."""
    if "-" in paths:
        raise ReportError("standard input cannot be one of several captures: write it to a file")
    with many.scratch(output.scratch) as folder:
        spools = many.Spools(folder, paths, output.call_by_call)
        with Bar(f"{len(paths):,} captures", sum(map(size_of, paths))) as bar:
            whole = many.digest_all(spools, request, jobs, done=lambda path: bar.advance(size_of(path)))
        if not whole.captures:
            raise ReportError("; ".join(one.reason for one in whole.unreadable))
        written = write_files(output, whole, many.text(whole, spools))
        write_exports(output, whole, spools.lines())
        if output.as_json:
            print_json(whole, many.documents(whole, spools))
    return print_report(output, whole, written)


def write_files(output: Output, whole: Digest, pieces: Iterable[str]) -> Sequence[str]:
    """Write stack traces (`pieces`) and folded stacks, if they are asked for, and return their paths. Raises
    ReportError."""
    if output.directory is None:
        return []
    traces = outputs.write(output.directory, STACK_TRACES, counted(STACK_TRACES, whole.listed, pieces))
    return traces, outputs.write(output.directory, FOLDED, folded(whole.samples, output.weight))


def write_exports(output: Output, whole: Digest, lines: Iterable[str]) -> None:
    """`lines` are those of --csv. Raises ReportError."""
    lines = counted("--csv", whole.listed, lines)
    for export, path in output.exports.items():
        outputs.write_pieces(*os.path.split(path), export.pieces(Drawn(whole, lines, output.weight)))


def print_json(whole: Digest, pieces: Iterable[str]) -> None:
    """With a bar, unless both would be on one terminal."""
    sys.stdout.writelines(pieces if sys.stdout.isatty() else counted("--json", whole.listed, pieces))


def print_report(output: Output, whole: Digest, written: Sequence[str]) -> bool:
    """With --json warnings only, since standard output has the document. Returns what `report_one` does."""
    out = terminal.console(sys.stderr if output.as_json else sys.stdout)
    terminal.print_warnings(out, summary.warnings(whole))
    if not output.as_json:
        terminal.print_summary(out, whole)
        if written:
            terminal.print_written(out, *written)
            if any(map(output.weight.folded, whole.stacks.values())):
                terminal.print_next(out, written[-1], output.weight)
        terminal.print_exported(out, output.exports.values())
    return not summary.incomplete(whole)


def report_changes(baselines: Sequence[str], paths: Sequence[str], request: Request, output: Output, jobs: int) -> bool:
    """Returns whether nothing was lost, cut off or unreadable on either side. Raises ReportError."""
    for export in output.exports:
        if export.compared is None:
            raise ReportError(f"{export.option} is of one capture: leave out --baseline")
    with Bar(f"{len(baselines) + len(paths):,} captures", sum(map(size_of, (*baselines, *paths)))) as bar:
        comparison = compare.read_both(baselines, paths, request, jobs, lambda path: bar.advance(size_of(path)))
    written = []
    if output.directory is not None:
        written.append(outputs.write(output.directory, DIFF, compare.folded(comparison, output.weight)))
    for export, path in output.exports.items():
        if export.compared is not None:
            written.append(outputs.write_pieces(*os.path.split(path), export.compared(comparison, output.weight)))
    out = terminal.console(sys.stderr if output.as_json else sys.stdout)
    terminal.print_warnings(out, compare.warnings(comparison))
    if output.as_json:
        sys.stdout.writelines(compare.document(comparison))
    else:
        compare.print_comparison(out, comparison)
        out.print()
        terminal.print_exported(out, written)
        if output.directory is not None and any(output.weight.folded(stack.after) for stack in comparison.stacks):
            terminal.print_next(out, written[0], output.weight)
    return not (summary.incomplete(comparison.before) or summary.incomplete(comparison.after))


def tell(path: str, request: Request, *, tell_info: bool, verbose: bool, check: bool) -> bool:
    """Print what was asked about a capture, and return whether it can be read and, if checked, is whole."""
    if path == "-":
        raise ReportError("--info and --verify need a file: write standard input to one")
    out, fine = terminal.console(sys.stdout), True
    if tell_info:
        try:
            terminal.print_lines(out, info(path, request, modules=verbose))
        except (ReportError, CaptureError) as error:
            say(error)
            fine = False
    if check:
        verdict = verify.verify(path)
        terminal.print_lines(out, verify.lines(verdict))
        fine = fine and not verdict.problems
    return fine


def open_watched(capture: str, bar: Bar) -> Reader:
    """Raises ReportError and CaptureError."""
    if capture == "-":
        return Reader(sys.stdin.buffer, "standard input")
    try:
        file = Watched(open(capture, "rb", buffering=0), bar)  # noqa: SIM115 (the reader closes it)
    except OSError as error:
        raise ReportError(f"cannot read {capture}: {error.strerror or error}") from None
    try:
        return Reader(file, capture)
    except OSError as error:
        file.close()
        raise ReportError(f"cannot read {capture}: {error.strerror or error}") from None
    except CaptureError:
        file.close()
        raise


def size_of(path: str) -> int:
    """Bytes, 0 where that cannot be told: it is for the bar only."""
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def say(error: ReportError | CaptureError) -> None:
    """In one line on standard error."""
    print(f"httpreport: {printable(str(error))}", file=sys.stderr)
