"""Define an output: what it is made from, the bytes that it returns, and where they go.

An output is made from the aggregate of all captures. An output that lists calls one by one also has a function `lists`,
which returns what it takes from the report of each capture. When every capture has been read, the output gets all of
this back as a `Listing`.
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
    """Say where an output goes, and thereby which option asks for it."""

    FOLDER = "the folder of -o, as a file with the output's name"
    FILE = "the file that the output's option names, or standard output"
    STDOUT = "standard output, instead of what goes to the terminal"
    TERMINAL = "the terminal; standard error if standard output is taken"


@dataclass(frozen=True)
class Style:
    """Say what the command line asks of the contents of outputs."""

    weight: Weight = Weight.TIME
    all_stacks: bool = False  # stack_traces.txt prints the stack trace of every call
    trees: tuple[int, ...] = ()  # numbers of the requests whose calls the terminal shows, the slowest is 1
    own: tuple[str, ...] = ()  # patterns of the program's own frames
    facts: bool = False  # the summary has the facts about stack traces


class Listing(Protocol):
    """Hold what an output took from the reports of all captures, in the order in which it can be written."""

    def longest_first(self) -> Iterator[Values]:
        """Yield the values of all captures, those of the longest call first. Raises ReportError."""

    def by_capture(self) -> Iterator[Iterator[Values]]:
        """Yield the values of each capture that could be read, in their own order."""


@dataclass(frozen=True)
class Reported:
    """Hold what an output of a report is made from."""

    whole: Aggregate
    listing: Listing
    style: Style = field(default_factory=Style)
    console: Console = field(default_factory=Console)  # has the width and the colours of the terminal


@dataclass(frozen=True)
class Compared:
    """Hold what an output of a comparison is made from."""

    comparison: Comparison
    style: Style
    console: Console


class CallEntry(NamedTuple):
    """Hold what an output takes from one call. `values` are texts, bytes, whole numbers and sequences of these."""

    duration_ns: int
    start_ns: int  # since 1970
    values: Values

    @classmethod
    def of(cls, report: Report, call: Call, *values: object) -> CallEntry:
        """Return the entry of a call, with its duration and start."""
        return cls(call.duration_ns, since_1970_ns(report.recording.meta, call.t0), values)


Lists = Callable[[Report, str, Style], Iterable[CallEntry]]
"""Return what an output takes from the report of the file with this path, the longest call first.

It must be a function of a module, so that it can be pickled for another process."""


@dataclass(frozen=True)
class Output:
    """Describe one output. `report` returns what to write for a report, in pieces, and `comparison` what to write for a
    comparison.

    An output that lacks one of these functions is not available for a report, or for a comparison.
    """

    name: str  # the name of its file in the folder of -o, else of its option
    destination: Destination
    help: str = ""  # the help text of its option
    report: Optional[Callable[[Reported], Iterable[bytes]]] = None
    comparison: Optional[Callable[[Compared], Iterable[bytes]]] = None
    lists: Optional[Lists] = None
    needs_slowest: bool = False  # the aggregate must have the slowest calls
    needs_answer: bool = False  # the aggregate must have the evidence for an answer
    binary: bool = False  # must not go to a terminal

    @property
    def option(self) -> str:
        """Return the option that asks for the output."""
        return "-o" if self.destination is Destination.FOLDER else f"--{self.name}"

    @property
    def title(self) -> str:
        """Return the name of the output in a progress bar."""
        return self.name if self.destination is Destination.FOLDER else self.option


def encoded(pieces: Iterable[str], end: str = "") -> Iterator[bytes]:
    """Yield each piece and `end` in UTF-8. What UTF-8 cannot express becomes an escape."""
    return ((piece + end).encode("utf-8", "backslashreplace") for piece in pieces)


@dataclass(frozen=True)
class OneCapture:
    """List one capture directly from its report (a `Listing`)."""

    lists: Lists
    report: Report
    capture: str  # the path of its file
    style: Style = field(default_factory=Style)

    def longest_first(self) -> Iterator[Values]:
        """Yield the values of each listed call, the longest first."""
        return (listed.values for listed in self.lists(self.report, self.capture, self.style))

    def by_capture(self) -> Iterator[Iterator[Values]]:
        """Yield the calls of the only capture, the longest first."""
        yield self.longest_first()


@dataclass(frozen=True)
class SpoolSink:
    """Write what an output lists to a new file, which `Spooled` reads back (a `Sink`)."""

    path: Path
    lists: Lists
    style: Style

    def write(self, report: Report, capture: str) -> None:
        """Write what the output lists of one capture. Raises OSError if the file cannot be written."""
        with Spool(self.path) as spool:
            for listed in self.lists(report, capture, self.style):
                spool.add(*listed)

    def discard(self) -> None:
        """Remove the file if it exists."""
        self.path.unlink(missing_ok=True)


@dataclass(frozen=True)
class Spooled:
    """List captures from the files that their sinks wrote at these paths (a `Listing`)."""

    paths: Sequence[Path]

    def longest_first(self) -> Iterator[Values]:
        """Yield the values of each call of all captures, the longest first.

        Many files are merged into fewer and removed, so call it once. Raises ReportError if that fails.
        """
        return merged(self.paths)

    def by_capture(self) -> Iterator[Iterator[Values]]:
        """Yield the calls of each capture in turn, the longest first."""
        return ((entry.values for entry in entries(path)) for path in self.paths)
