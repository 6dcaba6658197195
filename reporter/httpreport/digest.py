"""A `Digest` is what one capture adds to a report over many: it grows with distinct stacks and peers, and two of them
merge into one.

`digest` makes it of a file and shares nothing, so that it can run in any process on any machine. What is told call by
call goes to files of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple, TypeVar

from httpcapture import CaptureError, Reader, open_capture

from .binaries import Binaries
from .call import moment
from .calls import add_up
from .cautions import Cause, Caution, incomplete
from .clean import printable
from .debuginfod import Debuginfod
from .errors import ReportError
from .fold import fold
from .json_report import document
from .recording import Recording, load
from .report import Naming, Report, make_report, naming
from .selection import Filters, Selection
from .spool import Spool
from .sums import Latencies, PeerKey, Sums
from .text import blocks

Key = TypeVar("Key")
Value = TypeVar("Value", Sums, Latencies)


@dataclass(frozen=True)
class Request:
    """What the command line asks of every capture. Holds no open thing, so it travels to other processes."""

    milliseconds: float | None = None
    names: tuple[str, ...] = ()
    filters: Filters = field(default_factory=Filters)
    symfs: str | None = None
    debuginfod_urls: tuple[str, ...] = ()


class HostStack(NamedTuple):
    """A folded stack, its process first (`fold.fold`)."""

    host: str
    stack: str


class HostPeer(NamedTuple):
    host: str
    peer: PeerKey


@dataclass(frozen=True)
class Facts:
    """What is told of one capture by its name. All texts are safe to print."""

    file: str
    host: str
    started: str  # ISO 8601, UTC
    selection: str
    recorded: int
    kept: int
    listed: int
    lost: Mapping[str, int]
    complete: bool  # nothing was lost or cut off
    cautions: tuple[Caution, ...]
    threshold_ns: int  # the recorder's
    floor_ns: int  # every call of at least this duration was recorded and asked for
    names: tuple[str, ...]  # -p of the report, else the recorder's; empty: all processes
    length_ns: int | None  # of the recording, as far as it was asked for; None where its end is missing


@dataclass(frozen=True)
class Unreadable:
    """A capture that could not be read."""

    file: str
    reason: str


@dataclass(frozen=True)
class Digest:
    """Of any number of captures; `Digest()` is of none."""

    captures: tuple[Facts, ...] = ()
    unreadable: tuple[Unreadable, ...] = ()
    stacks: Mapping[HostStack, Sums] = field(default_factory=dict)
    peers: Mapping[HostPeer, Latencies] = field(default_factory=dict)
    naming: Naming = field(default_factory=Naming)

    def merge(self, other: Digest) -> Digest:
        """Of the captures of both. In which order digests are merged does not matter."""
        return Digest(
            tuple(sorted((*self.captures, *other.captures), key=lambda facts: (facts.host, facts.started, facts.file))),
            tuple(sorted((*self.unreadable, *other.unreadable), key=lambda one: one.file)),
            _added(self.stacks, other.stacks),
            _added(self.peers, other.peers),
            self.naming + other.naming,
        )

    def of_host(self, host: str) -> Digest:
        """What is of one host, but not the naming, which is of all."""
        return replace(
            self,
            captures=tuple(facts for facts in self.captures if facts.host == host),
            stacks={key: sums for key, sums in self.stacks.items() if key.host == host},
            peers={key: latencies for key, latencies in self.peers.items() if key.host == host},
        )


def digest(path: str, request: Request, calls: Path | None = None, document_path: Path | None = None) -> Digest:
    """The digest of the capture at `path`. What is wrong with that is part of the digest.

    If asked for, new files get what is told call by call: `calls` a spool of the blocks of stack_traces.txt, each with
    its host and file, and `document_path` the JSON document. Raises OSError where these cannot be written.
    """
    try:
        report = read_report(path, request)
    except (ReportError, CaptureError) as error:
        return Digest(unreadable=(Unreadable(printable(path), printable(str(error))),))
    if calls is not None:
        with Spool(calls) as spool:
            _list_calls(report, path, spool)
    if document_path is not None:
        with open(document_path, "w", encoding="utf-8") as file:
            file.writelines(document(report, path))
    return digest_of(report, path)


def read_report(path: str, request: Request, reader: Reader | None = None) -> Report:
    """The report of one capture; `reader` where it is open already, which is closed then. Raises ReportError and
    CaptureError."""
    try:
        with reader or open_capture(path, add_up) as opened:
            selection = Selection.of(opened.meta, request.milliseconds, request.names, request.filters)
            recording = load(opened, selection)
    except OSError as error:
        raise ReportError(f"cannot read {path}: {error.strerror or error}") from None
    with closing(binaries_of(request)) as binaries:
        report = make_report(recording, selection, binaries.find)
        problems = [Caution(Cause.BINARIES, printable(problem)) for problem in binaries.problems]
    return replace(report, cautions=[*report.cautions, *problems])


def binaries_of(request: Request) -> Binaries:
    """Where to look for binaries; to be closed."""
    servers = Debuginfod(request.debuginfod_urls) if request.debuginfod_urls else None
    return Binaries(request.symfs, servers)


def digest_of(report: Report, path: str) -> Digest:
    recording, host = report.recording, printable(report.recording.meta.host)
    facts = Facts(
        file=printable(path),
        host=host,
        started=moment(recording.meta, recording.meta.started_monotonic_ns),
        selection=str(report.selection),
        recorded=recording.recorded,
        kept=recording.kept,
        listed=len(recording.calls),
        lost={printable(cause): count for cause, count in recording.lost.items() if count},
        complete=not incomplete(recording),
        cautions=tuple(report.cautions),
        threshold_ns=recording.meta.threshold_ns,
        floor_ns=max(report.selection.threshold_ns, recording.meta.threshold_ns),
        names=tuple(map(printable, report.selection.names or recording.meta.process_filters)),
        length_ns=_length_ns(recording, report.selection),
    )
    stacks: dict[HostStack, Sums] = {}
    for key, sums in recording.by_stack.items():
        stack = HostStack(host, fold(key.process, report.traces[report.trace_of_key[key]]))
        stacks[stack] = stacks.get(stack, Sums()) + sums
    peers = {HostPeer(host, key): latencies for key, latencies in recording.by_peer.items()}
    return Digest((facts,), (), stacks, peers, naming(report))


def _length_ns(recording: Recording, selection: Selection) -> int | None:
    if recording.end is None:
        return None
    first = max(recording.meta.started_monotonic_ns, selection.since_ns)
    last = recording.end.at_ns if selection.until_ns is None else min(recording.end.at_ns, selection.until_ns)
    return max(last - first, 0)


def _list_calls(report: Report, path: str, spool: Spool) -> None:
    meta = report.recording.meta
    after = f"\nHost: {printable(meta.host)}, Capture: {printable(path)}"
    for call, text in blocks(report):
        spool.add(call.duration_ns, meta.started_realtime_ns + call.t0 - meta.started_monotonic_ns, text + after)


def _added(one: Mapping[Key, Value], other: Mapping[Key, Value]) -> dict[Key, Value]:
    added = dict(one)
    for key, value in other.items():
        added[key] = added[key] + value if key in added else value
    return added
