"""What the page holds of a report: three numbers of every call, the rest once for each group of calls or stack trace.

Calls that agree in process, thread name, role, peer and stack trace are a `Group`. Of every call the page has its
group, its duration and when it started, in columns sorted by duration: so the page can apply any threshold exactly, by
taking the first so many calls, and can sum and rank them by whatever a group says. The slowest calls are also there in
full, as `Row`s, for the table.

All text is printable (`clean.py`), but not yet escaped for HTML.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from httpcapture import Meta, Role

from .. import __version__
from .. import call as words
from ..call import Call, address_text, endpoint, moment
from ..calls import LATEST_NS, Array, duration_ns
from ..cautions import incomplete
from ..clean import comm, frame, printable
from ..digest import digest_of
from ..report import NO_TRACE, Report
from ..samples import places
from ..summary import summary
from ..text import trace_lines
from ..trace import StackTrace
from .columns import packed

MOST_CALLS = 1_500_000  # in the page: about 16 MB
MOST_ROWS = 5_000  # of them in full
MOMENTS = 1 << 14  # how finely starts are told, over the time from the first to the last: two bytes each
NO_MODULE = ""  # the first of `Page.modules`

Places = npt.NDArray[np.intp]
Value = TypeVar("Value")


class Group(NamedTuple):
    """What its calls have in common: places in `Page.names`, `roles`, `peers` and `traces`."""

    process: int
    thread: int
    role: int
    peer: int
    trace: int


class Name(NamedTuple):
    """The name of a process or thread: as it is shown, and its bytes in hexadecimal, which -p is compared with."""

    text: str
    bytes: str


class Label(NamedTuple):
    """A frame as a flame graph shows it."""

    text: str
    module: int  # place in `Page.modules`, 0 where there is none


@dataclass(frozen=True)
class Trace:
    """A stack trace: places in `Page.labels`, outermost first, and in `Page.lines`, leaf first."""

    labels: Sequence[int]
    lines: Sequence[int]


class Row(NamedTuple):
    """A call in full. Times are ns, `start` is ISO 8601 in UTC; `method` is empty and `status` is 0 where none was
    seen."""

    start: str
    pid: int
    tid: int
    method: str
    status: int
    outcome: str
    kind: str
    source: str
    destination: str
    request_ns: int
    wait_ns: int
    response_ns: int
    response_end_known: bool
    sent: int
    received: int
    stack_id: int  # 0: none
    receive_tid: int
    receive_trace: int  # place in `Page.traces`; NO_TRACE where the receiving side does not differ


@dataclass(frozen=True)
class Columns:
    """One number a call, the longest call first (`columns.packed`)."""

    group: str  # place in `Page.groups`
    shorter: str  # by so many ns than the call before; the first has its duration
    start: str  # in steps from the first start (0) to the last (MOMENTS - 1)


@dataclass(frozen=True)
class Page:
    """All that the page shows."""

    version: str
    file: str
    host: str
    system: str
    tool: str
    started: str
    facts: Sequence[str]
    warnings: Sequence[str]
    complete: bool  # nothing was lost or cut off
    floor_ns: int  # every kept call of at least this duration is in the page
    recorded: int  # calls in the capture
    calls: int  # in the page
    first_ms: float  # when the first and the last of them started, on the host's clock, since 1970
    last_ms: float
    moments: int
    names: Sequence[Name]
    roles: Sequence[str]
    peers: Sequence[str]
    modules: Sequence[str]
    labels: Sequence[Label]
    lines: Sequence[str]
    traces: Sequence[Trace]
    groups: Sequence[Group]
    columns: Columns
    row_fields: Sequence[str]
    rows: Sequence[Row]


def page_data(report: Report, capture: str, most_calls: int = MOST_CALLS, most_rows: int = MOST_ROWS) -> Page:
    """`capture` is the name of the file that the report is about. Of more than `most_calls` calls the page has the
    slowest, and says so."""
    recording, meta = report.recording, report.recording.meta
    order, floor_ns = _fitting(report, most_calls)
    calls = recording.calls[order]
    names, named = _distinct(np.concatenate([calls["process"], calls["comm"]]), _name)
    roles, role_of = _distinct(calls["role"], lambda number: words.word(Role, number))
    peers, peer_of = _peers(calls)
    groups, group_of = _groups([named[: len(calls)], named[len(calls) :], role_of, peer_of, report.trace_of[order]])
    labels, modules, lines = _Table[Label](), _Table[str](), _Table[str]()
    modules.place(NO_MODULE)
    return Page(
        version=__version__,
        file=printable(os.path.basename(capture)),
        host=printable(meta.host),
        system=f"Linux {printable(meta.kernel)} {printable(meta.arch)}",
        tool=printable(meta.tool),
        started=moment(meta, meta.started_monotonic_ns),
        facts=summary(digest_of(report, capture)),
        warnings=[*(caution.text for caution in report.cautions), *_left_out(recording.kept, len(calls))],
        complete=not incomplete(recording),
        floor_ns=floor_ns,
        recorded=recording.recorded,
        calls=len(calls),
        first_ms=_since_1970_ms(meta, int(calls["t0"].min(initial=LATEST_NS))),
        last_ms=_since_1970_ms(meta, int(calls["t0"].max(initial=0))),
        moments=MOMENTS,
        names=names,
        roles=roles,
        peers=peers,
        groups=groups,
        traces=[_trace(trace, labels, modules, lines) for trace in report.traces],
        labels=list(labels),
        modules=list(modules),
        lines=list(lines),
        columns=_columns(calls, group_of),
        row_fields=Row._fields,
        rows=[_row(report, *each) for each in islice(report.calls(), min(most_rows, len(calls)))],
    )


def _fitting(report: Report, most: int) -> tuple[Places, int]:
    """The calls that the page has, the longest first, and the ns from which on it has every one."""
    order, floor_ns = report.longest_first, report.selection.threshold_ns
    if len(order) > most:
        floor_ns = 1 + int(duration_ns(report.recording.calls[order[most : most + 1]])[0])
        order = order[:most]
        order = order[duration_ns(report.recording.calls[order]) >= np.uint64(floor_ns)]
    return order, floor_ns


def _left_out(kept: int, shown: int) -> list[str]:
    return [f"{kept - shown:,} of {kept:,} calls are too many for one page: it has the slowest"] if shown < kept else []


def _distinct(values: npt.NDArray[Any], say: Callable[[Any], Value]) -> tuple[list[Value], Places]:
    """What there is to say of the values, each once, and for each value the place of what is said of it."""
    distinct, inverse = np.unique(values, return_inverse=True)
    table = _Table[Value]()
    places = np.array([table.place(say(value)) for value in distinct.tolist()], np.intp)
    return list(table), places[inverse]


def _groups(keys: Sequence[Places]) -> tuple[list[Group], Places]:
    """The distinct groups, and for each call the place of its group; `keys` are the fields of the calls' groups."""
    group_of = keys[0]
    for key in keys[1:]:
        group_of = np.unique(group_of * (key.max(initial=0) + 1) + key, return_inverse=True)[1]
    examples = np.unique(group_of, return_index=True)[1]
    return [Group(*fields) for fields in zip(*(key[examples].tolist() for key in keys))], group_of


class _Table(dict[Value, int]):
    """Distinct values in the order in which they came, each with its place."""

    def place(self, value: Value) -> int:
        return self.setdefault(value, len(self))


def _name(name: bytes) -> Name:
    return Name(comm(name) or "[no name]", name.hex())


def _peers(calls: Array) -> tuple[list[str], Places]:
    """Who was on the other side. Only a client's peer has a port of its own; others have another one each time."""
    addresses, address_of = np.unique(calls["peer_address"], return_inverse=True)
    ports = np.where(calls["role"] == Role.CLIENT, calls["peer_port"], 0)
    texts = list(map(address_text, addresses.tolist()))
    return _distinct(address_of << 16 | ports, lambda peer: endpoint(texts[peer >> 16], peer & 0xFFFF))


def _trace(trace: StackTrace, labels: _Table[Label], modules: _Table[str], lines: _Table[str]) -> Trace:
    shown = places(trace)
    module_of = [modules.place(os.path.basename(place.module) if place.module else NO_MODULE) for place in shown]
    return Trace(
        labels=[labels.place(Label(frame(place.label), module)) for place, module in zip(shown, module_of)],
        lines=[lines.place(line) for line in trace_lines(trace)],
    )


def _columns(calls: Array, group_of: Places) -> Columns:
    durations, starts = duration_ns(calls), calls["t0"]
    first = starts.min(initial=LATEST_NS)
    span = max(int(starts.max(initial=0)) - int(first), 1)
    return Columns(
        group=packed(group_of.astype(np.uint64)),
        shorter=packed(np.concatenate([durations[:1], durations[:-1] - durations[1:]])),
        start=packed(((starts - first) * ((MOMENTS - 1) / span)).astype(np.uint64)),
    )


def _since_1970_ms(meta: Meta, at_ns: int) -> float:
    return (meta.started_realtime_ns + at_ns - meta.started_monotonic_ns) / 1e6


def _row(report: Report, call: Call, _: int, receive_trace: int | None) -> Row:
    return Row(
        start=moment(report.recording.meta, call.t0),
        pid=call.pid,
        tid=call.tid,
        method=call.method.decode(),
        status=call.status,
        outcome=words.outcome(call),
        kind=words.kind(call),
        source=endpoint(*call.source),
        destination=endpoint(*call.destination),
        request_ns=call.t1 - call.t0,
        wait_ns=call.t2 - call.t1,
        response_ns=call.t3 - call.t2,
        response_end_known=call.t3_known,
        sent=call.sent,
        received=call.received,
        stack_id=report.stack_number(call),
        receive_tid=call.receive_tid,
        receive_trace=NO_TRACE if receive_trace is None else receive_trace,
    )
