"""httpreport: parse the command line, make the report, write it down; every error is caught here, once.

Exit status: 0 done, 1 failed, 2 usage; 3 with --strict when something was lost or cut off.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace

import click

from httpcapture import CaptureError, Reader, open_capture

from . import __version__, outputs, terminal
from .binaries import Binaries
from .calls import add_up
from .cautions import Cause, Caution, incomplete
from .clean import printable
from .debuginfod import Debuginfod
from .errors import ReportError
from .fold import folded
from .json_report import document
from .recording import load
from .report import Report, make_report
from .selection import Selection
from .text import text

STACK_TRACES = "stack_traces.txt"
FOLDED = "stacks.folded"
FAILED, INCOMPLETE = 1, 3
MAX_MILLISECONDS = 1e12


def milliseconds(context: click.Context, parameter: click.Parameter, value: float | None) -> float | None:
    """Refuse what is no duration, NaN too."""
    if value is not None and not 0 <= value <= MAX_MILLISECONDS:
        raise click.BadParameter("must be 0 or more milliseconds.")
    return value


@click.command(
    context_settings={"help_option_names": ["-h", "--help"]}, short_help="report the slow HTTP calls of a capture"
)
@click.argument("capture", type=click.Path())
@click.option(
    "-t",
    "threshold",
    type=float,
    metavar="MS",
    callback=milliseconds,
    help="Only calls of at least MS milliseconds. Default: the capture's own threshold.",
)
@click.option(
    "-p",
    "names",
    multiple=True,
    metavar="NAME",
    help="Only calls of the process or thread NAME: exact, case-sensitive, its first 15 bytes count; "
    "with *, ? or [ a shell pattern. May be given more than once.",
)
@click.option(
    "-o",
    "directory",
    metavar="DIR",
    type=click.Path(),
    help=f"Where to write {STACK_TRACES} and {FOLDED}. Default: here, but no files with --json.",
)
@click.option("-f", "force", is_flag=True, help="Replace files that exist.")
@click.option(
    "--symfs",
    metavar="DIR",
    type=click.Path(),
    help="Look for binaries below DIR first, by their paths on the recorded host.",
)
@click.option(
    "--debuginfod",
    is_flag=True,
    help="Ask the servers of the environment variable DEBUGINFOD_URLS for binaries and debug files that are not here; "
    "they learn the build IDs. Without this and the next option no network is used.",
)
@click.option(
    "--debuginfod-url",
    "debuginfod_urls",
    multiple=True,
    metavar="URL",
    help="Ask this debuginfod server. May be given more than once.",
)
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print one JSON document instead of the summary; warnings go to standard error.",
)
@click.option("--strict", is_flag=True, help="Exit with status 3 if anything was lost or cut off.")
@click.version_option(__version__, "-V", "--version", message="httpreport %(version)s")
def main(  # noqa: PLR0917 (one an option)
    capture: str,
    threshold: float | None,
    names: tuple[str, ...],
    directory: str | None,
    force: bool,
    symfs: str | None,
    debuginfod: bool,
    debuginfod_urls: tuple[str, ...],
    as_json: bool,
    strict: bool,
) -> None:
    """Report the slow HTTP calls in CAPTURE, a file made by httprec (- reads standard input).

    Writes stack_traces.txt, every call with its stack trace, the longest first, and stacks.folded for
    flamegraph.pl; prints a summary. The capture holds what stack traces need. A binary or a debug file on this machine
    adds names only if its build ID is the recorded one.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a locale may lack a letter of a name
    if directory is None and not as_json:
        directory = "."
    try:
        if directory is not None:
            outputs.check(directory, (STACK_TRACES, FOLDED), force=force)
        with closing(Binaries(symfs, asked_servers(debuginfod, debuginfod_urls))) as binaries:
            report = read_report(capture, threshold, names, binaries)
        written = [] if directory is None else write_files(report, capture, directory)
    except (ReportError, CaptureError) as error:
        raise SystemExit(failed(str(error))) from None
    if as_json:
        print_json(report, capture)
    else:
        print_summary(report, capture, written)
    if strict and incomplete(report.recording):
        raise SystemExit(INCOMPLETE)


def read_report(capture: str, threshold: float | None, names: tuple[str, ...], binaries: Binaries) -> Report:
    """Raises ReportError and CaptureError."""
    try:
        with (
            Reader(sys.stdin.buffer, "standard input", add_up)
            if capture == "-"
            else open_capture(capture, add_up) as reader
        ):
            selection = Selection.of(reader.meta, threshold, names)
            recording = load(reader, selection)
    except OSError as error:
        raise ReportError(f"cannot read {capture}: {error.strerror or error}") from None
    report = make_report(recording, selection, binaries.find)
    problems = [Caution(Cause.BINARIES, printable(problem)) for problem in binaries.problems]
    return replace(report, cautions=[*report.cautions, *problems])


def asked_servers(from_environment: bool, urls: tuple[str, ...]) -> Debuginfod | None:
    """The debuginfod servers to ask, None where none was asked for. Raises ReportError."""
    servers = [*urls, *(os.environ.get("DEBUGINFOD_URLS", "").split() if from_environment else ())]
    if from_environment and not servers:
        raise ReportError("--debuginfod: DEBUGINFOD_URLS is not set: name a server with --debuginfod-url URL")
    return Debuginfod(servers) if servers else None


def write_files(report: Report, capture: str, directory: str) -> tuple[str, str]:
    """Write both files and return their paths. Raises ReportError."""
    traces = outputs.write(directory, STACK_TRACES, text(report, capture))
    return traces, outputs.write(directory, FOLDED, folded(report))


def print_json(report: Report, capture: str) -> None:
    terminal.print_cautions(terminal.console(sys.stderr), report.cautions)
    for piece in document(report, capture):
        sys.stdout.write(piece)


def print_summary(report: Report, capture: str, written: Sequence[str]) -> None:
    out = terminal.console(sys.stdout)
    terminal.print_cautions(out, report.cautions)
    terminal.print_summary(out, report, capture)
    terminal.print_written(out, *written)


def failed(message: str) -> int:
    print(f"httpreport: {printable(message)}", file=sys.stderr)
    return FAILED
