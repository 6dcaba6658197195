"""Parse the command line of httpreport and run the command. Every error is caught here, once.

Exit status: 0 done, 1 failed, 2 usage; 3 with --strict if data was lost or cut off; 141 if the reader of standard
output has gone.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import click

from httpcapture import CaptureError
from httpcapture.standard_streams import FAILED

from .. import __version__
from ..calls.filters import Filters
from ..capture.sources import STDIN
from ..common.errors import ReportError
from ..follow.follow import follow
from ..outputs.output import Destination, Output, Style
from ..outputs.registry import STACK_TRACES, options_of, outputs_to
from ..outputs.stack_traces import REPEATED_CALLS
from ..outputs.terminal import console
from ..outputs.tree_terminal import SLOWEST
from ..report.aggregate import Request
from ..report.frame_choice import FrameChoice, Frames
from ..report.samples import Weight
from ..symbols.debuginfod import servers_of
from . import parallel
from .atomic_files import STDOUT, Target
from .commands import Plan, check_outputs, describe, redact, report_changes, report_many, report_one
from .filter_options import filter_options, filters_of
from .route_options import patterns_of, route_options
from .streams import Program, print_error

INCOMPLETE = 3
MAX_MILLISECONDS = 1e12
MAX_TREES = 1000  # the slowest of which the calls can be shown


def folder_files(*, of_comparison: bool) -> str:
    """Return the names of the files that -o writes, as text."""
    return " and ".join(output.name for output in outputs_to(Destination.FOLDER, of_comparison=of_comparison))


def milliseconds(context: click.Context, parameter: click.Parameter, value: float | None) -> float | None:
    """Refuse a value that is not a duration, including NaN."""
    if value is not None and not 0 <= value <= MAX_MILLISECONDS:
        raise click.BadParameter("must be 0 or more milliseconds.")
    return value


@click.command(
    cls=Program,
    context_settings={"help_option_names": ["-h", "--help"]},
    short_help="report the slow HTTP calls of a capture",
)
@click.argument("captures", nargs=-1, required=True, metavar="CAPTURE...", type=click.Path())
@click.option(
    "-t",
    "threshold",
    type=float,
    metavar="MS",
    callback=milliseconds,
    help="Only calls of at least MS milliseconds. Default: the capture's own threshold.",
)
@click.option(
    "--first-byte",
    is_flag=True,
    help="Judge calls by the time to the first byte of the response, instead of to its last one, with -t and in all "
    "figures.",
)
@click.option(
    "-p",
    "names",
    multiple=True,
    metavar="NAME",
    help="Only calls of the process or thread NAME. The match is exact and case-sensitive, on the first 15 bytes; "
    "with *, ? or [, NAME is a shell pattern. May be repeated.",
)
@filter_options
@route_options
@click.option(
    "--baseline",
    "baselines",
    multiple=True,
    metavar="CAPTURE",
    type=click.Path(),
    help="Report what changed since this capture, or folder of captures; the same filters apply to both. Writes "
    f"{folder_files(of_comparison=True)}, for flamegraph.pl, instead of {folder_files(of_comparison=False)}. May be "
    "repeated.",
)
@click.option(
    "-o",
    "directory",
    metavar="DIR",
    type=click.Path(),
    help=f"Where to write {folder_files(of_comparison=False)}. Default: here, but not with --json or another output.",
)
@click.option(
    "--all-stacks",
    is_flag=True,
    help=f"Print the stack trace of every call in {STACK_TRACES.name}. Without this, repeated stack "
    f"traces are shown as a Stack ID after the longest {REPEATED_CALLS:,} calls.",
)
@click.option(
    "--frames",
    type=click.Choice([one.value for one in Frames]),
    default=Frames.FOLDED.value,
    show_default=True,
    help="Which frames of stack traces to show: only the program's own; or these, with the plumbing between them "
    "(libraries, interpreter and runtime) folded into one; or all. JSON always has the plumbing.",
)
@click.option(
    "--own",
    multiple=True,
    metavar="PATTERN",
    help="Only frames of which the function, the source file or the module is like this are the program's own; * and ? "
    "match anything, also a /. Without it, a table decides. May be repeated.",
)
@options_of(Destination.FILE)
@click.option("--count", is_flag=True, help="Weigh stacks by the number of their calls instead of by their time.")
@click.option("-f", "force", is_flag=True, help="Replace regular files that exist; nothing else is ever replaced.")
@click.option(
    "--symfs",
    metavar="DIR",
    type=click.Path(),
    help="Look for binaries under DIR first, by their paths on the recorded host.",
)
@click.option(
    "--debuginfod",
    is_flag=True,
    help="Ask the servers of the environment variable DEBUGINFOD_URLS for binaries and debug files that are not on "
    "this machine. The servers learn the build IDs. Without this or --debuginfod-url, no network is used.",
)
@click.option(
    "--debuginfod-url",
    "debuginfod_urls",
    multiple=True,
    metavar="URL",
    help="Ask this debuginfod server. May be repeated.",
)
@click.option(
    "--tree",
    "trees",
    multiple=True,
    type=click.IntRange(1, MAX_TREES),
    metavar="N",
    help="Print all calls that were made for request N; the slowest request is 1. May be repeated.",
)
@options_of(Destination.STDOUT)
@click.option(
    "--jobs",
    type=click.IntRange(1, 1024),
    metavar="N",
    help="Read N captures at a time. Default: one for each CPU.",
)
@click.option(
    "--follow",
    "follows",
    is_flag=True,
    help="Show a capture while it is recorded: routes, the newest and the longest calls. Without a terminal, print a "
    "line for each call. q or Ctrl-C ends it.",
)
@click.option("--info", "tell_info", is_flag=True, help="Describe each capture instead of reporting its calls.")
@click.option(
    "-v",
    "verbose",
    is_flag=True,
    help="Also print how many stack traces are complete and how many frames have names, which else is printed only if "
    "something was lost. With --info, also list the modules: what the capture has of each, and whether its symbols are "
    "on this machine.",
)
@click.option(
    "--verify",
    "check",
    is_flag=True,
    help="Check every checksum and count of each capture instead of reporting its calls. Exit with 1 if any is damaged "
    "or incomplete.",
)
@click.option(
    "--redact",
    "redacted",
    metavar="FILE",
    type=click.Path(),
    help="Write a redacted capture instead of a report: its stacks are unwound and have no bytes, and hosts, IP "
    "addresses and folders are replaced.",
)
@click.option("--strict", is_flag=True, help="Exit with 3 if anything was lost, cut off or unreadable.")
@click.version_option(__version__, "-V", "--version", message="httpreport %(version)s")
def main(  # noqa: PLR0917 (one parameter for each option)
    captures: tuple[str, ...],
    threshold: float | None,
    first_byte: bool,
    names: tuple[str, ...],
    baselines: tuple[str, ...],
    directory: str | None,
    all_stacks: bool,
    frames: str,
    own: tuple[str, ...],
    count: bool,
    force: bool,
    symfs: str | None,
    debuginfod: bool,
    debuginfod_urls: tuple[str, ...],
    trees: tuple[int, ...],
    jobs: int | None,
    follows: bool,
    tell_info: bool,
    verbose: bool,
    check: bool,
    redacted: str | None,
    strict: bool,
    explain_routes: bool,
    by: str,
    **named: Any,
) -> None:
    """Report the slow HTTP calls in each CAPTURE: a file written by httprec, a folder of such *.cap files, or - for
    standard input.

    Prints a summary and writes two files: stack_traces.txt has every call with its stack trace, the longest call first;
    stacks.folded is for flamegraph.pl. A capture contains all that stack traces need. Binaries and debug files on this
    machine can add names, but only if their build IDs are the recorded ones.

    Repeat a filter, other than --since and --until, to give several values: a call must match one of them. A call must
    pass all the filters that are given.
    """
    paths_of = {output: named.pop(output.name) for output in outputs_to(Destination.FILE)}
    printed = {output for output in outputs_to(Destination.STDOUT) if named.pop(output.name)}
    to_write = directory is not None or any(path is not None for path in paths_of.values()) or printed
    patterns = patterns_of(named.pop("route_patterns"), named.pop("route_file"))
    filters = filters_of(**named)
    filtered = threshold is not None or first_byte or names or filters != Filters()
    no_report = follows or tell_info or check or redacted is not None
    refuse(
        redacted is not None and (filtered or to_write or count or follows or tell_info or check),
        "--redact writes a whole capture and makes no report: leave out filters and outputs.",
    )
    refuse(baselines and no_report, "--baseline needs a report: leave out --follow, --info, --verify and --redact.")
    refuse(
        to_write and (follows or tell_info or check),
        "--follow, --info and --verify make no report: leave out the options for outputs.",
    )
    refuse(
        follows and (len(captures) > 1 or STDIN in captures or tell_info or check or explain_routes),
        "--follow shows one file: leave out other captures, --info, --verify and --explain-routes.",
    )
    refuse(
        trees and (printed or baselines or no_report),
        "--tree adds to the summary of a report: leave out --json, --baseline, --follow, --info, --verify and "
        "--redact.",
    )
    if not (to_write or no_report):
        directory = "."
    in_folder = {} if directory is None else files_in(directory, of_comparison=bool(baselines))
    paths_of = {**in_folder, **dict.fromkeys(printed, STDOUT), **paths_of}
    targets = {
        output: Target(path, output.option, force, output.binary)
        for output, path in paths_of.items()
        if path is not None
    }
    summary = () if printed else outputs_to(Destination.TERMINAL)
    style = Style(Weight.COUNT if count else Weight.TIME, all_stacks, trees, own, facts=verbose)
    plan = Plan(directory, targets, summary, style, explain_routes)
    if len(plan.on_stdout) > 1:
        raise click.UsageError(f"Only one of {', '.join(plan.on_stdout)} can go to standard output.")
    try:
        paths = captures if follows else parallel.captures_of(captures)
        earlier = parallel.captures_of(baselines)
        check_outputs(plan, [*paths, *earlier])
        servers = asked_servers(debuginfod, debuginfod_urls)
        request = Request(
            threshold,
            names,
            filters,
            symfs,
            tuple(servers),
            plan.needs_slowest,
            first_byte,
            choice=FrameChoice(Frames(frames), own),
            patterns=patterns,
            trees=max((SLOWEST, *trees)) if summary or baselines else 0,
            by_route=by == "route",
            answer=plan.needs_answer,
        )
        if tell_info or check:
            fine = [describe(path, request, tell_info=tell_info, verbose=verbose, check=check) for path in paths]
            raise SystemExit(0 if all(fine) else FAILED)
        jobs = jobs or len(os.sched_getaffinity(0))
        if follows:
            complete = follow(paths[0], request, console(sys.stdout))
        elif redacted is not None:
            complete = redact(paths, Target(redacted, "--redact", force, binary=True), request)
        elif baselines:
            complete = report_changes(earlier, paths, request, plan, jobs)
        elif len(paths) == 1:
            complete = report_one(paths[0], request, plan)
        else:
            complete = report_many(paths, request, plan, jobs)
    except (ReportError, CaptureError) as error:
        print_error(error)
        raise SystemExit(FAILED) from None
    if strict and not complete:
        raise SystemExit(INCOMPLETE)


def refuse(wrong: object, message: str) -> None:
    """Raise click.UsageError with this message if the options are wrong."""
    if wrong:
        raise click.UsageError(message)


def files_in(directory: str, *, of_comparison: bool) -> dict[Output, str]:
    """Return the paths of the files of -o. Raises click.UsageError."""
    if directory == STDOUT:
        raise click.UsageError(
            "-o takes a directory. To write one output to standard output, use --json or an option such as --csv -."
        )
    outputs = outputs_to(Destination.FOLDER, of_comparison=of_comparison)
    return {output: os.path.join(directory, output.name) for output in outputs}


def asked_servers(from_environment: bool, urls: tuple[str, ...]) -> list[str]:
    """Return the debuginfod servers to ask. Raises ReportError."""
    servers = servers_of([*urls, *([os.environ.get("DEBUGINFOD_URLS", "")] if from_environment else [])])
    if not servers and from_environment:
        raise ReportError("--debuginfod: DEBUGINFOD_URLS names no server: name one with --debuginfod-url URL")
    if not servers and urls:
        raise ReportError("--debuginfod-url names no server: give its URL")
    return servers
