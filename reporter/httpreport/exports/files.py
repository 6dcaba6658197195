"""The files that an option each asks for: what is written, and how the option reads."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any, Callable, NamedTuple, Optional, TypeVar

import click

from .. import __version__
from ..clean import printable
from ..compare.changes import Comparison
from ..compare.words import side_name
from ..page import comparison_page, page
from ..report import Report
from ..samples import Weight, samples
from .differential import differential
from .firefox import firefox
from .pprof import pprof
from .speedscope import speedscope
from .svg import svg
from .table import table

Command = TypeVar("Command", bound=Callable[..., Any])


class Export(NamedTuple):
    """`pieces` gets the report, the name of its capture and the weight, and gives what to write, piece by piece;
    `compared` does the same of a comparison, where there is a picture of one."""

    name: str
    help: str
    pieces: Callable[[Report, str, Weight], Iterable[bytes]]
    compared: Optional[Callable[[Comparison, Weight], Iterable[bytes]]] = None

    @property
    def option(self) -> str:
        return f"--{self.name}"


def _text(pieces: Iterable[str], end: str = "") -> Iterable[bytes]:
    return ((piece + end).encode("utf-8", "backslashreplace") for piece in pieces)


def _title(report: Report, capture: str) -> str:
    return f"{printable(os.path.basename(capture))}: {report.selection}"


def _html(report: Report, capture: str, _: Weight) -> Iterable[bytes]:
    return _text([page(report, capture)], "\n")


def _compared_html(comparison: Comparison, _: Weight) -> Iterable[bytes]:
    return _text([comparison_page(comparison)], "\n")


def _svg(report: Report, capture: str, weight: Weight) -> Iterable[bytes]:
    return _text(svg(samples(report), weight, _title(report, capture)), "\n")


def _compared_svg(comparison: Comparison, weight: Weight) -> Iterable[bytes]:
    return _text(differential(comparison, weight, _compared_title(comparison)), "\n")


def _compared_title(comparison: Comparison) -> str:
    return " since ".join(os.path.basename(side_name(side)) for side in (comparison.after, comparison.before))


def _speedscope(report: Report, capture: str, weight: Weight) -> Iterable[bytes]:
    return _text(speedscope(samples(report), weight, _title(report, capture), f"httpreport {__version__}"))


def _pprof(report: Report, _: str, __: Weight) -> Iterable[bytes]:
    recording = report.recording
    return [pprof(samples(report), recording.meta.started_realtime_ns)]


def _firefox(report: Report, capture: str, weight: Weight) -> Iterable[bytes]:
    started_ns = report.recording.meta.started_realtime_ns
    return _text(firefox(samples(report), weight, _title(report, capture), f"httpreport {__version__}", started_ns))


def _csv(report: Report, _: str, __: Weight) -> Iterable[bytes]:
    return _text(table(report), "\r\n")


EXPORTS = (
    Export(
        "html",
        "Write a page to look at in a browser, one file that needs no network: flame graph, latency over time, "
        "processes, peers, calls, and filters for all of them; with --baseline one of what changed.",
        _html,
        _compared_html,
    ),
    Export("svg", "Write a flame graph as a static picture; with --baseline a differential one.", _svg, _compared_svg),
    Export("speedscope", "Write the stacks for speedscope.", _speedscope),
    Export("pprof", "Write the stacks, by number of calls and by time, for pprof.", _pprof),
    Export("firefox", "Write the stacks for the Firefox Profiler.", _firefox),
    Export("csv", "Write a table with a line for each call.", _csv),
)


def export_options(command: Command) -> Command:
    """Adds an option for each of EXPORTS; the command gets their values by their names."""
    for export in reversed(EXPORTS):
        command = click.option(export.option, metavar="FILE", type=click.Path(), help=export.help)(command)
    return command
