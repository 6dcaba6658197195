"""The files that an option each asks for: what is written, and how the option reads."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any, Callable, NamedTuple, Optional, TypeVar

import click

from .. import __version__
from ..compare.changes import Comparison
from ..report.aggregate import Aggregate
from ..report.headline import name, selections
from ..report.samples import Weight
from .comparison_words import side_name
from .csv_table import table
from .firefox import firefox
from .flame_svg import svg
from .flame_svg_diff import differential
from .page import comparison_page, page
from .pprof import pprof
from .speedscope import speedscope

Command = TypeVar("Command", bound=Callable[..., Any])


class Drawn(NamedTuple):
    """What an export is made from: the aggregate of all captures, the lines of their calls for --csv, the longest call
    first, and what the width of a box is."""

    whole: Aggregate
    lines: Iterable[str]
    weight: Weight

    @property
    def title(self) -> str:
        return f"{name(self.whole)}: {selections(self.whole.captures)}"


class Export(NamedTuple):
    """`pieces` gives what to write, piece by piece; `compared` does the same of a comparison, where there is a picture
    of one. What is `binary` is not for a terminal."""

    name: str
    help: str
    pieces: Callable[[Drawn], Iterable[bytes]]
    compared: Optional[Callable[[Comparison, Weight], Iterable[bytes]]] = None
    binary: bool = False

    @property
    def option(self) -> str:
        return f"--{self.name}"


def _text(pieces: Iterable[str], end: str = "") -> Iterable[bytes]:
    return ((piece + end).encode("utf-8", "backslashreplace") for piece in pieces)


def _html(drawn: Drawn) -> Iterable[bytes]:
    return _text([page(drawn.whole)], "\n")


def _svg(drawn: Drawn) -> Iterable[bytes]:
    return _text(svg(drawn.whole.samples, drawn.weight, drawn.title), "\n")


def _compared_html(comparison: Comparison, _: Weight) -> Iterable[bytes]:
    return _text([comparison_page(comparison)], "\n")


def _compared_svg(comparison: Comparison, weight: Weight) -> Iterable[bytes]:
    return _text(differential(comparison, weight, _compared_title(comparison)), "\n")


def _compared_title(comparison: Comparison) -> str:
    return " since ".join(os.path.basename(side_name(side)) for side in (comparison.after, comparison.before))


def _speedscope(drawn: Drawn) -> Iterable[bytes]:
    return _text(speedscope(drawn.whole.samples, drawn.weight, drawn.title, f"httpreport {__version__}"))


def _pprof(drawn: Drawn) -> Iterable[bytes]:
    return [pprof(drawn.whole.samples, _started_ns(drawn))]


def _firefox(drawn: Drawn) -> Iterable[bytes]:
    exporter = f"httpreport {__version__}"
    return _text(firefox(drawn.whole.samples, drawn.weight, drawn.title, exporter, _started_ns(drawn)))


def _csv(drawn: Drawn) -> Iterable[bytes]:
    return _text(table(drawn.lines), "\r\n")


def _started_ns(drawn: Drawn) -> int:
    return min(facts.started_realtime_ns for facts in drawn.whole.captures)


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
    Export("pprof", "Write the stacks, by number of calls and by time, for pprof.", _pprof, binary=True),
    Export("firefox", "Write the stacks for the Firefox Profiler.", _firefox),
    Export("csv", "Write a table with a line for each call.", _csv),
)


def export_options(command: Command) -> Command:
    """Adds an option for each of EXPORTS; the command gets their values by their names."""
    for export in reversed(EXPORTS):
        command = click.option(export.option, metavar="FILE", type=click.Path(), help=export.help)(command)
    return command
