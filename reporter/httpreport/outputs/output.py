"""The protocol of an output: what it is made from, the bytes that it makes, and where they go.

An output is made from the aggregate of all captures. One that lists calls one by one also says, with `lists`, what it
takes from the report of each capture; it gets that back as a `Listing` when all captures are read.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, NamedTuple, Optional, Protocol

from rich.console import Console

from ..calls.call import Call, since_1970_ns
from ..compare.changes import Comparison
from ..report.aggregate import Aggregate
from ..report.report import Report
from ..report.samples import Weight
from ..report.sorted_spool import Spool, Values, entries, merged


class Destination(enum.Enum):
    """Where an output goes, and so how it is asked for."""

    FOLDER = "the folder of -o, as a file with the output's name"
    FILE = "the file that the output's option names, or standard output"
    STDOUT = "standard output, instead of what goes to the terminal"
    TERMINAL = "the terminal; standard error if standard output is taken"


@dataclass(frozen=True)
class Style:
    """What the command line asks of the contents of outputs."""

    weight: Weight = Weight.TIME
    all_stacks: bool = False  # stack_traces.txt repeats stack traces without end


class Listing(Protocol):
    """What an output took from the reports of all captures, in the order in which it can be written."""

    def longest_first(self) -> Iterator[Values]:
        """Yield the values of all captures, those of the longest call first. Raises ReportError."""

    def by_capture(self) -> Iterator[Iterator[Values]]:
        """Yield the values of each capture that could be read, in their own order."""


@dataclass(frozen=True)
class Reported:
    """What an output of a report is made from."""

    whole: Aggregate
    listing: Listing
    style: Style = field(default_factory=Style)
    console: Console = field(default_factory=Console)  # the terminal: its width and colours


@dataclass(frozen=True)
class Compared:
    """What an output of a comparison is made from."""

    comparison: Comparison
    style: Style
    console: Console


class CallEntry(NamedTuple):
    """What an output takes of one call. `values` are texts, bytes, whole numbers and sequences of them."""

    duration_ns: int
    start_ns: int  # since 1970
    values: Values

    @classmethod
    def of(cls, report: Report, call: Call, *values: object) -> CallEntry:
        return cls(call.duration_ns, since_1970_ns(report.recording.meta, call.t0), values)


Lists = Callable[[Report, str, Style], Iterable[CallEntry]]
"""Returns what an output takes from the report of the file of this name, the longest call first. A function of a
module, so that it can be sent to another process."""


@dataclass(frozen=True)
class Output:
    """One output. `report` returns what to write, piece by piece; `comparison` does so for a comparison. An output
    that has only one of them exists only there."""

    name: str  # of its file in the folder of -o, else of its option
    destination: Destination
    help: str = ""  # of its option
    report: Optional[Callable[[Reported], Iterable[bytes]]] = None
    comparison: Optional[Callable[[Compared], Iterable[bytes]]] = None
    lists: Optional[Lists] = None
    needs_slowest: bool = False  # the aggregate must have the slowest calls
    binary: bool = False  # not for a terminal

    @property
    def option(self) -> str:
        """The option that asks for it."""
        return "-o" if self.destination is Destination.FOLDER else f"--{self.name}"

    @property
    def title(self) -> str:
        """What a progress bar calls it."""
        return self.name if self.destination is Destination.FOLDER else self.option


def encoded(pieces: Iterable[str], end: str = "") -> Iterator[bytes]:
    """Yield each piece and `end` in UTF-8; what UTF-8 cannot hold becomes an escape."""
    return ((piece + end).encode("utf-8", "backslashreplace") for piece in pieces)


@dataclass(frozen=True)
class OneCapture:
    """The `Listing` of one capture, straight from its report."""

    lists: Lists
    report: Report
    capture: str  # the name of its file
    style: Style = field(default_factory=Style)

    def longest_first(self) -> Iterator[Values]:
        return (listed.values for listed in self.lists(self.report, self.capture, self.style))

    def by_capture(self) -> Iterator[Iterator[Values]]:
        yield self.longest_first()


@dataclass(frozen=True)
class SpoolSink:
    """The `Sink` of an output: a new file, which is read back as a part of `Spooled`."""

    path: Path
    lists: Lists
    style: Style

    def write(self, report: Report, capture: str) -> None:
        with Spool(self.path) as spool:
            for listed in self.lists(report, capture, self.style):
                spool.add(*listed)

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)


@dataclass(frozen=True)
class Spooled:
    """The `Listing` of captures whose sinks wrote these files."""

    paths: Sequence[Path]

    def longest_first(self) -> Iterator[Values]:
        return merged(self.paths)

    def by_capture(self) -> Iterator[Iterator[Values]]:
        return ((entry.values for entry in entries(path)) for path in self.paths)
