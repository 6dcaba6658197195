"""List all outputs. docs/architecture.md says how to add one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Callable, TypeVar

import click

from . import (
    comparison_folded,
    comparison_json,
    comparison_terminal,
    csv_table,
    firefox,
    flame_svg,
    flame_svg_diff,
    folded,
    joined,
    json_report,
    otlp,
    page,
    perfetto,
    pprof,
    speedscope,
    stack_traces,
    terminal,
)
from .output import Destination, Output

Command = TypeVar("Command", bound=Callable[..., Any])

STACK_TRACES = Output("stack_traces.txt", Destination.FOLDER, report=stack_traces.report, lists=stack_traces.listed)
FOLDED = Output("stacks.folded", Destination.FOLDER, report=folded.report)
DIFF = Output("stacks.diff.folded", Destination.FOLDER, comparison=comparison_folded.comparison)

OUTPUTS = (
    STACK_TRACES,
    FOLDED,
    DIFF,
    Output(
        "html",
        Destination.FILE,
        "Write a page for a browser, one file that needs no network: flame graph, latency over time, processes, peers, "
        "calls, and filters for all of them; with --baseline, what changed.",
        page.report,
        page.comparison,
        needs_slowest=True,
        needs_answer=True,
    ),
    Output(
        "svg",
        Destination.FILE,
        "Write a flame graph as a static picture; with --baseline, a differential one.",
        flame_svg.report,
        flame_svg_diff.comparison,
    ),
    Output("speedscope", Destination.FILE, "Write the stacks for speedscope.", speedscope.report),
    Output(
        "pprof",
        Destination.FILE,
        "Write the stacks, by number of calls and by time, for pprof.",
        pprof.report,
        binary=True,
    ),
    Output("firefox", Destination.FILE, "Write the stacks for the Firefox Profiler.", firefox.report),
    Output(
        "joined",
        Destination.FILE,
        "Write the stacks of requests for flamegraph.pl, joined over processes: that of the client, then that of the "
        "call that its peer made meanwhile, and so on. The unit is nanoseconds.",
        joined.report,
        lists=joined.listed,
    ),
    Output(
        "otlp",
        Destination.FILE,
        "Write calls as spans of traces, in OTLP's JSON lines, for Jaeger and the OpenTelemetry collector.",
        otlp.report,
        lists=otlp.listed,
    ),
    Output(
        "perfetto",
        Destination.FILE,
        "Write calls as slices of a timeline, for ui.perfetto.dev and Chrome's viewer of traces.",
        perfetto.report,
        lists=perfetto.listed,
    ),
    Output(
        "csv", Destination.FILE, "Write a table with a row for each call.", csv_table.report, lists=csv_table.listed
    ),
    Output(
        "json",
        Destination.STDOUT,
        "Print one JSON document instead of the summary; warnings go to standard error.",
        json_report.report,
        comparison_json.comparison,
        lists=json_report.listed,
        needs_answer=True,
    ),
    Output(
        "summary",
        Destination.TERMINAL,
        report=terminal.report,
        comparison=comparison_terminal.comparison,
        needs_answer=True,
    ),
)


def outputs_to(destination: Destination, *, of_comparison: bool | None = None) -> Sequence[Output]:
    """Return the outputs with this destination. `of_comparison` selects those that a comparison, or a report, has."""
    found = [output for output in OUTPUTS if output.destination is destination]
    if of_comparison is None:
        return found
    return [output for output in found if (output.comparison if of_comparison else output.report) is not None]


def options_of(destination: Destination) -> Callable[[Command], Command]:
    """Return a decorator that adds an option for each output with this destination.

    The command gets, under the output's name, the path of a file or whether the option is given.
    """

    def add(command: Command) -> Command:
        for output in reversed(outputs_to(destination)):
            kind: dict[str, Any] = {"metavar": "FILE", "type": click.Path()}
            if destination is Destination.STDOUT:
                kind = {"is_flag": True}
            command = click.option(output.option, help=output.help, **kind)(command)
        return command

    return add
