"""Select the slowest calls of any number of captures for the page (page/), which shows calls one by one. `Ranking`
merges them.

Each call has three numbers: its duration, its start and its `Group`, which holds what it shares with other calls. The
very slowest calls also have a `SlowCall`. If there are more than MOST_CALLS calls, the slowest are kept; of equally
slow calls all or none. So whoever applies a threshold of at least `floor_ns` gets the same result as from all calls,
and memory grows only with distinct groups.

All text is printable (`common/printable.py`).
"""

from __future__ import annotations

import enum
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple, Optional

import numpy as np
import numpy.typing as npt

from httpcapture import Outcome, Role
from httpcapture.addresses import endpoint

from ..calls.available_values import peer_text
from ..calls.call import Call, iso_time, since_1970_ns
from ..calls.grpc_status import grpc_text
from ..calls.open_intervals import NONE
from ..calls.request_keys import NOT_KNOWN as NO_REQUEST
from ..calls.request_keys import RequestKey
from ..calls.schema import Array, equal_neighbours, longest_first
from ..calls.workloads import NOT_KNOWN, Workload
from ..common.interning import Interner, Numbers, bytes_of, words_of
from ..common.printable import frame, printable
from ..languages.stack_trace import StackTrace
from ..symbols.line_parts import LineParts, line_parts
from .report import Report
from .samples import ShownFrame, shown_frames
from .tree_places import TreePlace, tree_places

MOST_CALLS = 1_500_000
MOST_ROWS = 5_000
CALL = np.dtype([("duration", "<u8"), ("start", "<i8"), ("group", "<u4")])  # ns; ns since 1970; number of its Group

Indices = npt.NDArray[np.intp]


class Label(NamedTuple):
    """Hold a frame as a flame graph shows it, and the name of its module, empty if there is none."""

    text: str
    module: str


class Trace(NamedTuple):
    """Hold a stack trace as a flame graph shows it, and as lines, and its key (stack_ids.py), empty if there is no
    stack."""

    labels: tuple[Label, ...]  # outermost first
    lines: tuple[LineParts, ...]  # leaf first
    key: bytes


class Asked(NamedTuple):
    """Hold what calls ask for and their status, as far as it is known: `status` is 0 if it is not known, and NO_STATUS
    if there was no response."""

    method: str = ""
    status: int = 0
    request: RequestKey = NO_REQUEST


NO_STATUS = 1


class Link(enum.IntEnum):
    """Say what a call is among the calls of its capture."""

    NONE = 0  # no call of the capture is linked to another
    ROOT = 1
    SECOND_END = 2  # the server's end of a call whose client's end is listed, too
    CAUSED = 3  # made for another call, known or not


class Group(NamedTuple):
    """Hold the fields that calls of one group share. Calls of captures without heads ask for nothing."""

    host: str
    process: bytes
    thread: bytes
    role: int
    peer: str
    trace: Trace
    asked: Asked = Asked()
    workload: Workload = NOT_KNOWN
    link: Link = Link.NONE


class SlowCall(NamedTuple):
    """Hold a call in full. Times are ns, `start` is ISO 8601 in UTC; `method` is empty and `status` is 0 if none was
    seen. `first_byte_ns` is 0 if the call has no response, `response_ns` also if no end of it can be told, which
    `has_end` says. With `at_least`, the duration by which the call is judged may be longer, with `total_at_least` the
    whole call."""

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
    has_end: bool
    at_least: bool
    total_at_least: bool
    first_byte_ns: int
    first_byte_is_guess: bool
    stack_is_late: bool
    encrypted: Optional[bool]
    network: str  # what is known of the connection
    path: str  # this and the next ones are empty if they are not known
    authority: str
    grpc_status: str  # number and name
    asked: str  # HttpCall.text
    sent: int
    received: int
    capture: str
    receive_tid: int
    receive_trace: Optional[Trace]  # if the receiving side differs
    tree: Optional[TreePlace]


@dataclass(frozen=True)
class Slowest:
    """Hold calls in `calls` (dtype CALL), the longest first, of equally long ones the earliest, then by group. `rows`
    are the first of them in full."""

    calls: Array = field(default_factory=lambda: np.empty(0, CALL))
    groups: Mapping[Group, int] = field(default_factory=dict)
    rows: tuple[SlowCall, ...] = ()
    floor_ns: int = 0  # shorter calls were left out


class Ranking:
    """Merge the slowest calls of captures. The order of merging makes no difference: if calls have equal duration,
    start and group, their captures and rows decide.

    Added calls wait until there are as many as may be kept. So memory is bounded, and no call is sorted again and
    again.
    """

    def __init__(self) -> None:
        self._groups: dict[Group, int] = {}
        self._calls, self._with_rows = [np.empty(0, CALL)], [np.empty(0, CALL)]
        self._rows: list[SlowCall] = []  # of the calls in _with_rows
        self._floor_ns = 0

    def add(self, one: Slowest) -> None:
        """Add the slowest calls of one capture or of several."""
        numbers = np.array([self._groups.setdefault(group, len(self._groups)) for group in one.groups], np.uint32)
        calls = one.calls.copy()
        calls["group"] = numbers[calls["group"]]
        self._calls.append(calls)
        self._with_rows.append(calls[: len(one.rows)].copy())
        self._rows += one.rows
        self._floor_ns = max(self._floor_ns, one.floor_ns)
        if sum(map(len, self._calls)) > 2 * MOST_CALLS:
            self._rank_calls()
        if len(self._rows) > 2 * MOST_ROWS:
            self._rank_rows()

    def slowest(self) -> Slowest:
        """Return the slowest of all calls that were added."""
        self._rank_calls()
        self._rank_rows()
        (calls,) = self._calls
        return Slowest(calls, dict(self._groups), tuple(self._rows[: len(calls)]), self._floor_ns)

    def _rank_calls(self) -> None:
        calls = np.concatenate(self._calls)
        calls, self._floor_ns = _fitting(calls[_order(calls, self._groups)], self._floor_ns)
        self._calls = [calls]

    def _rank_rows(self) -> None:
        calls = np.concatenate(self._with_rows)
        order = _order(calls, self._groups, self._rows)[:MOST_ROWS]
        self._with_rows = [calls[order]]
        self._rows = [self._rows[index] for index in order.tolist()]


def _order(calls: Array, groups: Iterable[Group], rows: Sequence[SlowCall] = ()) -> Indices:
    """Return the indices of the calls in their order. `groups` are all groups by number; `rows` are those of the calls,
    or empty."""
    order = longest_first(calls["duration"], calls["start"])
    tied = _tied(calls[order])
    if len(tied):
        indices, by_number = order[tied], list(groups)
        numbers, of_call = np.unique(calls["group"][indices], return_inverse=True)
        by_group = _ranks(by_number[number] for number in numbers.tolist())[of_call]
        by_row = _ranks(_comparable(rows[index]) for index in indices.tolist()) if rows else by_group
        keys = (by_row, by_group, calls["start"][indices], ~calls["duration"][indices])
        order[tied] = indices[np.lexsort(keys)]
    return order


def _tied(calls: Array) -> Indices:
    """Return the indices of sorted calls with the same duration and start as the call before or after them."""
    before, behind = calls[:-1], calls[1:]
    same = (before["duration"] == behind["duration"]) & (before["start"] == behind["start"])
    return equal_neighbours(same)


def _ranks(values: Iterable[Any]) -> Indices:
    """Return for each value its rank among the sorted values."""
    listed = list(values)
    ranks = np.empty(len(listed), np.intp)
    ranks[sorted(range(len(listed)), key=listed.__getitem__)] = np.arange(len(listed))
    return ranks


def _comparable(row: SlowCall) -> tuple[Any, ...]:
    return row.capture, *row[:-2], row.receive_trace or ()


def slowest_of(report: Report, capture: str) -> Slowest:
    """Return the slowest calls of a report. `capture` is the path of its file."""
    meta, listed, order = report.recording.meta, report.recording.listed, report.longest_first[: MOST_CALLS + 1]
    calls = np.empty(len(order), CALL)
    calls["duration"] = listed.durations[order]
    calls["start"] = listed.starts[order].astype(np.int64) + since_1970_ns(meta, 0)
    calls, floor_ns = _fitting(calls, 0)
    traces = list(map(_trace, report.shown_traces, report.stack_keys))
    order = order[: len(calls)]
    groups, calls["group"] = _groups(report, order, traces)
    by_group = _order(calls, groups)
    rows = _rows(report, capture, traces, order[by_group[:MOST_ROWS]])
    return Slowest(calls[by_group], groups, tuple(rows), floor_ns)


def _fitting(calls: Array, floor_ns: int) -> tuple[Array, int]:
    """Return the calls that fit, given the longest first, and the duration in ns from which on none is left out."""
    if len(calls) > MOST_CALLS:
        floor_ns = max(floor_ns, int(calls["duration"][MOST_CALLS]) + 1)
    return calls[: int(np.count_nonzero(calls["duration"] >= np.uint64(floor_ns)))], floor_ns


def _groups(report: Report, order: Indices, traces: Sequence[Trace]) -> tuple[Mapping[Group, int], Numbers]:
    """Return the distinct groups of the listed calls at these indices, and for each call the number of its group."""
    names = ("process", "comm", "peer_address", "role", "peer_port", "workload")
    process, thread, address, role, port, ran = (report.recording.listed.values(name)[order] for name in names)
    port = np.where(role == Role.CLIENT, port, 0)  # the port of any other peer is another one each time
    asked, asked_of = _asked(report, order)
    distinct = Interner(12)
    columns = (process, thread, address, role, port, report.trace_of[order], asked_of, ran, _links(report)[order])
    numbers = distinct.intern(*(word for column in columns for word in words_of(column)))
    values, host, workloads = distinct.values, printable(report.recording.meta.host), report.recording.workloads.values
    texts = zip(*(bytes_of(values[first : first + 2]) for first in (0, 2, 4)))
    groups = [
        Group(
            host,
            process,
            thread,
            role,
            peer_text(address, port),
            traces[trace],
            asked[what],
            workloads[where],
            Link(link),
        )
        for (process, thread, address), (role, port, trace, what, where, link) in zip(texts, values[6:].T.tolist())
    ]
    number_of: dict[Group, int] = {}  # groups may have equal texts though their stack traces differ in an address
    numbers_of_groups = np.array([number_of.setdefault(group, len(number_of)) for group in groups], np.intp)
    return number_of, numbers_of_groups[numbers]


def _links(report: Report) -> Indices:
    """Return a Link for each listed call."""
    are_roots = report.trees.are_roots
    if not (report.linked_trees.above != NONE).any():
        return np.full(len(are_roots), Link.NONE)
    is_server = report.recording.listed.values("role") == Role.SERVER
    return np.where(are_roots, Link.ROOT, np.where(is_server, Link.SECOND_END, Link.CAUSED))


def _asked(report: Report, order: Indices) -> tuple[Sequence[Asked], Numbers]:
    """Return what the listed calls at these indices ask for, each once, and for each call the index of it."""
    recording = report.recording
    if recording.request_keys is None:
        return [Asked()], np.zeros(len(order), np.intp)
    request, method, status, outcome = (
        recording.listed.values(name)[order] for name in ("request", "method", "status", "outcome")
    )
    status = np.where((status == 0) & (outcome != Outcome.ANSWERED), NO_STATUS, status)
    distinct = Interner(4)
    columns = (method.astype("S16"), recording.request_keys.numbers(request), status)
    numbers = distinct.intern(*(word for column in columns for word in words_of(column)))
    methods, others = bytes_of(distinct.values[:2]), distinct.values[2:].T.tolist()
    keys = recording.request_keys.keys
    return [Asked(printable(name), of, keys[key]) for name, (key, of) in zip(methods, others)], numbers


def _trace(trace: StackTrace, key: bytes) -> Trace:
    return Trace(tuple(map(_label, shown_frames(trace))), tuple(line_parts(trace)), key)


@lru_cache(maxsize=1 << 16)
def _label(shown: ShownFrame) -> Label:
    return Label(frame(shown.label), os.path.basename(shown.module or ""))


def _rows(report: Report, capture: str, traces: Sequence[Trace], order: Indices) -> Iterator[SlowCall]:
    for (call, _, receive_trace), tree in zip(report.calls(order), tree_places(report, order)):
        yield _row(report, call, printable(capture), None if receive_trace is None else traces[receive_trace], tree)


def _row(report: Report, call: Call, capture: str, receive_trace: Trace | None, tree: TreePlace | None) -> SlowCall:
    http = report.http(call)
    return SlowCall(
        start=iso_time(report.recording.meta, call.t0),
        pid=call.pid,
        tid=call.tid,
        method=call.method.decode(),
        status=call.status,
        outcome=call.outcome_name,
        kind=call.kind_name,
        source=endpoint(*call.source),
        destination=endpoint(*call.destination),
        request_ns=call.t1 - call.t0,
        wait_ns=call.t2 - call.t1,
        response_ns=call.response_ns or 0,
        has_end=call.has_end,
        at_least=call.at_least,
        total_at_least=call.whole_at_least,
        first_byte_ns=call.first_byte_ns or 0,
        first_byte_is_guess=bool(call.first_byte_is_guess),
        stack_is_late=bool(call.stack_is_late),
        encrypted=call.is_tls,
        network=call.network_text,
        path=http.request.path + http.request.query,
        authority=http.request.authority,
        grpc_status=grpc_text(http.response.grpc_status),
        asked=http.text,
        sent=call.sent,
        received=call.received,
        capture=capture,
        receive_tid=call.receive_tid,
        receive_trace=receive_trace,
        tree=tree,
    )
