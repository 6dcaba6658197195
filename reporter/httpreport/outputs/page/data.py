"""Compute the values of a page: three numbers for each call, and everything else once for each group of calls or stack
trace.

Each call has its group, its duration and its start, in columns sorted by duration. So the page can apply any threshold
exactly, by taking the first calls, and can sum and rank calls by any field of their groups. The slowest calls are also
there in full, as rows for the table. An aggregate already has all of this (`report/slowest.py`); this module numbers
the distinct values.

All text is printable (`common/printable.py`), but not yet escaped for HTML.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from httpcapture import Role

from ... import __version__
from ...answer.decide import answers
from ...calls.call import enum_text
from ...calls.schema import Array
from ...calls.workloads import Workload
from ...common.printable import comm
from ...report.aggregate import Aggregate
from ...report.headline import incomplete, name, origins, summary, warning_lines, where
from ...report.route_totals import route_of
from ...report.slowest import Group, Indices, Label, Link, SlowCall, Trace
from ...routes.routes import Routes
from ...routes.shapes import Source
from ...symbols.line_parts import LineParts
from .answers import AnswerLines, answer_lines
from .columns import packed
from .trees import PLACE_FIELDS, LineData, PageTrees, TreeData
from .unique_values import UniqueValues

MOMENTS = 1 << 14  # steps of starts between the first and the last, two bytes each
NO_MODULE = ""  # the first of `Page.modules`
NO_TRACE = -1  # stands for the index of a stack trace if there is none


class Name(NamedTuple):
    """Hold the name of a process or thread: the text to show, and its bytes in hexadecimal, with which -p is
    compared."""

    text: str
    bytes: str


class Groups(NamedTuple):
    """Hold the fields that calls share as indices in `Page.names`, `roles`, `peers`, `traces`, `hosts`, `methods`,
    `statuses`, `routes` and `workloads`, and as a Link.

    Each field has one number for each group (`columns.packed`).
    """

    process: str
    thread: str
    role: str
    peer: str
    trace: str
    host: str
    method: str
    status: str
    route: str
    workload: str
    link: str


class WorkloadName(NamedTuple):
    """Hold where processes ran: the text of it all, the shortest text that tells it from others, and for the filters
    the name of the container or unit, the container's ID, and the names of the pod and its namespace and its UID. What
    is not known, or does not apply, is empty; of what is not known at all the text is too."""

    text: str
    name: str
    container: str
    container_id: str
    pod: str
    namespace: str
    pod_uid: str
    is_known: bool


class RouteName(NamedTuple):
    """Hold a route: the text to show, with method and authority, the path alone, empty if it is not known, and whether
    {*} in a filter can stand for its segments."""

    text: str
    path: str
    of_segments: bool


class TraceIndices(NamedTuple):
    """Hold a stack trace as indices in `Page.labels`, outermost first, and in `Page.lines`, leaf first, and its Stack
    ID, 0 if there is no stack."""

    labels: Sequence[int]
    lines: Sequence[int]
    stack_id: int


@dataclass(frozen=True)
class CallColumns:
    """Hold columns with one number for each call, the longest call first (`columns.packed`)."""

    group: str  # the number of its group
    shorter: str  # ns by which it is shorter than the previous call; of the first, its duration
    start: str  # in steps from the first start (0) to the last (MOMENTS - 1)


@dataclass(frozen=True)
class Page:
    """Hold everything that the page shows."""

    version: str
    name: str
    where: str
    hosts: Sequence[str]
    origins: Sequence[str]  # a line for each capture
    answers: Sequence[AnswerLines]
    facts: Sequence[str]
    warnings: Sequence[str]
    complete: bool  # nothing was lost, cut off or unreadable
    first_byte: bool  # durations are those to the first byte
    floor_ns: int  # every kept call of at least this duration is in the page
    recorded: int  # number of calls in the captures
    calls: int  # number of calls in the page
    linked: bool  # calls of a capture are linked to each other
    first_ms: float  # starts of the first and the last of them, on their hosts' clocks, since 1970
    last_ms: float
    moments: int
    names: Sequence[Name]
    roles: Sequence[str]
    peers: Sequence[str]
    has_heads: bool  # a capture has heads of requests; else nothing is known of the next three
    methods: Sequence[str]  # empty: not known
    statuses: Sequence[int]  # 0: not known; slowest.NO_STATUS: there was no response
    routes: Sequence[RouteName]
    has_workloads: bool  # some process ran in a container, pod or unit
    workloads: Sequence[WorkloadName]
    modules: Sequence[str]
    labels: Sequence[tuple[str, int]]  # a frame, and the index of its module in `modules`
    lines: Sequence[LineParts]
    traces: Sequence[TraceIndices]
    group_count: int
    groups: Groups
    columns: CallColumns
    row_fields: Sequence[str]
    rows: Sequence[Sequence[Any]]  # receive_trace and tree are indices in `traces` and `trees`
    trees: Sequence[TreeData]
    line_fields: Sequence[str]  # of the lines of trees
    words: Sequence[str]  # in the lines of trees


def page_data(whole: Aggregate) -> Page:
    """Return the values of the page. The aggregate must have the slowest calls."""
    whole = _from_their_folder(whole)
    slowest, calls = whole.slowest, whole.slowest.calls
    kept = sum(facts.kept for facts in whole.captures)
    left_out = [f"{kept:,} calls are too many for one page: it has the {len(calls):,} slowest"]
    tables, numbers = _PageTables(whole.hosts, whole.routes), list(slowest.groups)
    first, group_of = _by_first_call(calls["group"])
    groups = np.array([tables.group(numbers[number]) for number in calls["group"][first].tolist()], np.uint64)
    trees = PageTrees()
    rows = [[*tables.row(row), *trees.place(row.tree)] for row in slowest.rows]
    traces = [tables.trace(trace, whole.stack_ids) for trace in tables.traces]
    return Page(
        version=__version__,
        name=name(whole),
        where=where(whole),
        hosts=whole.hosts,
        origins=list(origins(whole)),
        answers=answer_lines(answers(whole)),
        facts=summary(whole),
        warnings=[*warning_lines(whole), *(left_out if len(calls) < kept else [])],
        complete=not incomplete(whole),
        first_byte=any(facts.first_byte for facts in whole.captures),
        floor_ns=max(slowest.floor_ns, min(facts.asked_ns for facts in whole.captures)),
        recorded=sum(facts.recorded for facts in whole.captures),
        calls=len(calls),
        linked=any(group.link != Link.NONE for group in numbers),
        first_ms=int(calls["start"].min(initial=np.iinfo(np.int64).max)) / 1e6,
        last_ms=int(calls["start"].max(initial=0)) / 1e6,
        moments=MOMENTS,
        names=[Name(comm(name) or "[no name]", name.hex()) for name in tables.names],
        roles=[enum_text(Role, number) for number in tables.roles],
        peers=list(tables.peers),
        has_heads=whole.has_heads,
        methods=list(tables.methods),
        statuses=list(tables.statuses),
        routes=list(tables.routes),
        has_workloads=any(workload.text for workload in tables.workloads),
        workloads=list(tables.workloads),
        modules=list(tables.modules),
        labels=[(label.text, tables.modules[label.module]) for label in tables.labels],
        lines=list(tables.lines),
        traces=traces,
        group_count=len(groups),
        groups=Groups(*map(packed, groups.reshape(-1, len(Groups._fields)).T)),
        columns=_columns(calls, group_of),
        row_fields=[*SlowCall._fields[:-1], *PLACE_FIELDS],
        rows=rows,
        trees=trees.trees,
        line_fields=LineData._fields,
        words=list(trees.words),
    )


def _from_their_folder(whole: Aggregate) -> Aggregate:
    """Return the aggregate with the captures named relative to the folder that contains all of them.

    Whoever gets the page need not know where that folder is.
    """
    files = [facts.file for facts in whole.captures]
    start = os.path.commonprefix(files).rfind("/") + 1  # noqa: RUF071 (folders may be relative, or none)
    captures = tuple(replace(facts, file=facts.file[start:]) for facts in whole.captures)
    rows = tuple(row._replace(capture=row.capture[start:]) for row in whole.slowest.rows)
    return replace(whole, captures=captures, slowest=replace(whole.slowest, rows=rows))


class _PageTables:
    """Number the distinct values of a page."""

    def __init__(self, hosts: Sequence[str], routes: Routes) -> None:
        self._routes = routes
        self.methods, self.statuses = UniqueValues[str](), UniqueValues[int]()
        self.routes, self.workloads = UniqueValues[RouteName](), UniqueValues[WorkloadName]()
        self.hosts = {host: index for index, host in enumerate(hosts)}
        self.names, self.roles, self.peers = UniqueValues[bytes](), UniqueValues[int](), UniqueValues[str]()
        self.traces, self.labels, self.lines = UniqueValues[Trace](), UniqueValues[Label](), UniqueValues[LineParts]()
        self.modules = UniqueValues[str]({NO_MODULE: 0})

    def group(self, group: Group) -> tuple[int, ...]:
        """Return the numbers of a group's fields, in the order of `Groups`."""
        return (
            self.names.index(group.process),
            self.names.index(group.thread),
            self.roles.index(group.role),
            self.peers.index(group.peer),
            self.traces.index(group.trace),
            self.hosts[group.host],
            self.methods.index(group.asked.method),
            self.statuses.index(group.asked.status),
            self.routes.index(self._route(group)),
            self.workloads.index(_workload_name(group.workload)),
            group.link,
        )

    def _route(self, group: Group) -> RouteName:
        request = group.asked.request
        route = route_of(group.role, request, self._routes)
        return RouteName(route.what, route.path, request.shape.source is Source.SEGMENTS)

    def row(self, row: SlowCall) -> Sequence[Any]:
        """Return the fields of a row but its tree, with the index of its receive stack trace instead of the trace."""
        return [*row[:-2], NO_TRACE if row.receive_trace is None else self.traces.index(row.receive_trace)]

    def trace(self, trace: Trace, stack_ids: Mapping[bytes, int]) -> TraceIndices:
        """Return a stack trace as indices, and add its modules, labels and lines to the tables."""
        for label in trace.labels:
            self.modules.index(label.module)
        labels, lines = [*map(self.labels.index, trace.labels)], [*map(self.lines.index, trace.lines)]
        return TraceIndices(labels, lines, stack_ids.get(trace.key, 0))


def _workload_name(ran: Workload) -> WorkloadName:
    container = ran.container or ran.unit
    return WorkloadName(
        ran.text, ran.name, container, ran.container_id, ran.pod, ran.namespace, ran.pod_uid, ran.is_known
    )


def _by_first_call(groups: npt.NDArray[np.uint32]) -> tuple[Indices, Indices]:
    """Return the index of each group's first call, in order, and for each call the index of its group in that order."""
    _, first, group_of = np.unique(groups, return_index=True, return_inverse=True)
    return np.sort(first), np.argsort(np.argsort(first))[group_of]


def _columns(calls: Array, group_of: Indices) -> CallColumns:
    """Return the columns of calls, which are sorted by duration."""
    durations, starts = calls["duration"], calls["start"]
    first = int(starts.min(initial=np.iinfo(np.int64).max))
    span = max(int(starts.max(initial=0)) - first, 1)
    return CallColumns(
        group=packed(group_of.astype(np.uint64)),
        shorter=packed(np.concatenate([durations[:1], durations[:-1] - durations[1:]])),
        start=packed(((starts - first) * ((MOMENTS - 1) / span)).astype(np.uint64)),
    )
