"""Run the commands: each function reads captures, writes outputs and prints what the terminal shows.

Each returns whether nothing was lost, cut off or unreadable, and raises ReportError and CaptureError.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import BinaryIO, Callable, TextIO

from rich.console import Console

from httpcapture import CaptureError, Reader

from ..capture import verify
from ..capture.loader import KeepNothing, load
from ..capture.sources import STDIN, name_of, rereadable
from ..common.errors import ReportError
from ..common.printable import printable
from ..common.progress import ProgressBar, ProgressReader, with_progress
from ..compare.warnings import comparison_lines
from ..outputs import terminal
from ..outputs.output import Compared, Destination, Listing, Lists, OneCapture, Output, Reported, Spooled, Style
from ..outputs.registry import DIFF, FOLDED
from ..redact import Redaction, causes_in
from ..report import headline
from ..report.aggregate import Aggregate, Request, aggregate_of, binaries_of, read_report
from ..report.info import info
from ..report.recordings import Facts
from ..report.warnings import Cause, data_warnings
from ..routes.routes import Routes
from . import parallel
from .atomic_files import Target, check_apart, check_directory
from .compare_captures import read_both
from .streams import print_error


@dataclass(frozen=True)
class Plan:
    """Say which outputs are written where. `directory` is the folder of -o; `summary` has the outputs that the
    terminal shows after the warnings. With `explain_routes`, it also shows why paths have their routes."""

    directory: str | None
    targets: Mapping[Output, Target]
    summary: Sequence[Output]
    style: Style
    explain_routes: bool = False

    @property
    def files_first(self) -> Sequence[tuple[Output, Target]]:
        """Return the outputs in the order in which they are written: standard output only after all files."""
        return sorted(self.targets.items(), key=lambda item: item[1].is_stdout)

    @property
    def in_folder(self) -> Sequence[Output]:
        """Return the outputs that go to the folder of -o."""
        return [output for output in self.targets if output.destination is Destination.FOLDER]

    @property
    def on_stdout(self) -> Sequence[str]:
        """Return the options whose outputs take standard output, so that the summary goes to standard error."""
        return [target.option for target in self.targets.values() if target.is_stdout]

    @property
    def scratch(self) -> str | None:
        """Return a folder where temporary files may be made, or None for any."""
        return next((target.directory for target in self.targets.values() if not target.is_stdout), None)

    @property
    def needs_slowest(self) -> bool:
        """Return whether an output needs the slowest calls."""
        return any(output.needs_slowest for output in self.targets)

    @property
    def needs_answer(self) -> bool:
        """Return whether an output begins with the answer."""
        return any(output.needs_answer for output in (*self.targets, *self.summary))

    @property
    def terminal(self) -> TextIO:
        """Return the stream for warnings and the summary."""
        return sys.stderr if self.on_stdout else sys.stdout


def check_outputs(plan: Plan, captures: Sequence[str]) -> None:
    """Make sure that the outputs can be written, before the work begins. Raises ReportError."""
    if plan.directory is not None:
        check_directory(plan.directory, "-o")
    check_apart(plan.targets.values(), captures)
    for target in plan.targets.values():
        target.check()


def report_one(capture: str, request: Request, plan: Plan) -> bool:
    """Report one capture. Return whether nothing was lost or cut off. Raises ReportError and CaptureError."""
    with ProgressBar(printable(name_of(capture)), 2 * size_of(capture)) as bar:
        report = read_report(capture, request, bar)
    whole = aggregate_of(report, capture, slowest=request.slowest, trees=request.trees, answer=request.answer)
    check_some_pass(request, whole.captures, headline.warning_lines(whole))
    return write_report(plan, whole, lambda lists, _: OneCapture(lists, report, capture, plan.style))


def check_some_pass(request: Request, captures: Sequence[Facts], warnings: Iterable[str]) -> None:
    """Raise ReportError if no call of any capture passes the filters, however long it took.

    The filters may be wrong then, so no output of an earlier run is replaced. The warnings, which list the values that
    exist, are printed first.
    """
    if not request.filtered or any(facts.some_pass for facts in captures):
        return
    error = f"no {captures[0].subject} is in the captures: no output was written"
    if len(captures) == 1:
        (error,) = (one.text for one in captures[0].warnings if one.cause is Cause.NOTHING_KEPT)
    terminal.print_warnings(terminal.console(sys.stderr), (text for text in warnings if text != error))
    raise ReportError(error)


def redact(captures: Sequence[str], target: Target, request: Request) -> bool:
    """Write the redacted capture and print what was changed. Return whether nothing was lost or cut off.

    Raises ReportError and CaptureError.
    """
    capture, *others = captures
    if others:
        raise ReportError("--redact takes one capture: give one file")
    check_apart([target], captures)
    target.check()
    name = printable(name_of(capture))
    with ProgressBar(name, 5 * size_of(capture)) as bar, rereadable(capture) as file:
        watched = ProgressReader(file, bar)
        with closing(binaries_of(request)) as binaries:
            causes = causes_in(Reader(watched, name_of(capture)), binaries.find)
            watched.seek(0)
            recording = load(Reader(watched, name_of(capture)), KeepNothing())
            watched.seek(0)
            redaction = Redaction(recording, binaries.find, causes)
            target.write(redaction.pieces(Reader(watched, name_of(capture))))
    out = terminal.console(sys.stderr if target.is_stdout else sys.stdout)
    lacks = [*data_warnings(recording), *redaction.warnings()]
    problems = map(printable, binaries.problems)
    terminal.print_warnings(out, [*(warning.text for warning in lacks), *problems])
    terminal.print_lines(out, [f"{name}: redacted: {printable(target.name)}", *redaction.lines()])
    return not lacks


def report_many(paths: Sequence[str], request: Request, plan: Plan, jobs: int) -> bool:
    """Report several captures as one. Return whether nothing was lost, cut off or unreadable. Raises ReportError."""
    if STDIN in paths:
        raise ReportError("standard input cannot be one of several captures: write it to a file")
    with parallel.scratch(plan.scratch) as folder:
        spools = parallel.Spools(folder, paths, [*plan.targets], plan.style)
        with ProgressBar(f"{len(paths):,} captures", sum(map(size_of, paths))) as bar:
            whole = parallel.aggregate_all(spools, request, jobs, done=lambda path: bar.advance(size_of(path)))
        if not whole.captures:
            raise ReportError("; ".join(one.reason for one in whole.unreadable))
        check_some_pass(request, whole.captures, headline.warning_lines(whole))
        return write_report(plan, whole, lambda _, output: spools.listing(output))


def write_report(plan: Plan, whole: Aggregate, listing: Callable[[Lists, Output], Listing]) -> bool:
    """Write the outputs, then the warnings and the summary. Return whether nothing was lost, cut off or unreadable.

    Raises ReportError.
    """
    out = terminal.console(plan.terminal)

    def made(output: Output) -> Iterable[bytes]:
        calls = Spooled(()) if output.lists is None else listing(output.lists, output)
        return output.report(Reported(whole, calls, plan.style, out)) if output.report is not None else ()

    for output, target in plan.files_first:
        pieces = made(output)
        if output.lists is not None and not target.is_terminal:
            pieces = with_progress(output.title, whole.listed, pieces)
        target.write(pieces)
    terminal.print_warnings(out, headline.warning_lines(whole))
    for output in plan.summary:
        write_summary(plan, made(output))
        if plan.in_folder:
            out.print()
            terminal.print_written(out, [plan.targets[one].path for one in plan.in_folder])
            if any(map(plan.style.weight.folded, whole.stacks.values())):
                terminal.print_next(out, plan.targets[FOLDED].path, plan.style.weight)
        print_files(out, plan)
    print_routes(out, plan, whole.routes)
    return not headline.incomplete(whole)


def report_changes(baselines: Sequence[str], paths: Sequence[str], request: Request, plan: Plan, jobs: int) -> bool:
    """Report what changed since the baselines. Return whether nothing was lost, cut off or unreadable on either side.

    Raises ReportError.
    """
    for output in plan.targets:
        if output.comparison is None:
            raise ReportError(f"{output.option} cannot show a comparison: leave it out, or leave out --baseline")
    with ProgressBar(f"{len(baselines) + len(paths):,} captures", sum(map(size_of, (*baselines, *paths)))) as bar:
        comparison = read_both(baselines, paths, request, jobs, lambda path: bar.advance(size_of(path)))
    captures = (*comparison.before.captures, *comparison.after.captures)
    check_some_pass(request, captures, comparison_lines(comparison))
    out = terminal.console(plan.terminal)
    compared = Compared(comparison, plan.style, out)
    for output, target in plan.files_first:
        if output.comparison is not None:
            target.write(output.comparison(compared))
    terminal.print_warnings(out, comparison_lines(comparison))
    for output in plan.summary:
        write_summary(plan, output.comparison(compared) if output.comparison is not None else ())
        out.print()
        if plan.in_folder:
            terminal.print_written(out, [plan.targets[one].path for one in plan.in_folder])
        print_files(out, plan)
        if plan.in_folder and any(plan.style.weight.folded(stack.after) for stack in comparison.stacks):
            terminal.print_next(out, plan.targets[DIFF].path, plan.style.weight)
    print_routes(out, plan, comparison.after.routes)
    return not (headline.incomplete(comparison.before) or headline.incomplete(comparison.after))


def write_summary(plan: Plan, pieces: Iterable[bytes]) -> None:
    """Write to the stream of the summary, after what the console has printed there."""
    plan.terminal.flush()
    plan.terminal.buffer.writelines(pieces)
    plan.terminal.flush()


def print_routes(out: Console, plan: Plan, routes: Routes) -> None:
    """Explain the routes if that was asked."""
    if plan.explain_routes:
        lines = routes.explained()
        terminal.print_lines(out, ["", *(lines or ["routes: none, since no path is known"])])


def print_files(out: Console, plan: Plan) -> None:
    """Name the files that were written outside the folder of -o."""
    for output, target in plan.targets.items():
        if output.destination is Destination.FILE and not target.is_stdout:
            terminal.print_written(out, [target.path])


def describe(path: str, request: Request, *, tell_info: bool, verbose: bool, check: bool) -> bool:
    """Print the requested information about a capture. Return whether it can be read and, if checked, is whole."""
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
        print_error(error)
        return False
    return fine


def print_info(out: Console, name: str, file: BinaryIO, request: Request, *, verbose: bool) -> bool:
    """Print what --info shows, or the reason why the capture cannot be read. Return whether it can be read."""
    try:
        terminal.print_lines(out, info(name, file, request, modules=verbose))
    except (ReportError, CaptureError) as error:
        print_error(error)
        return False
    return True


def size_of(path: str) -> int:
    """Return the size of a file in bytes, or 0 if it is not known. Only the progress bar uses it."""
    try:
        return os.stat(path).st_size
    except OSError:
        return 0
