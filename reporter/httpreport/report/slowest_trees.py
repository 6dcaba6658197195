"""Select the slowest trees of calls, and put each into lines: its calls in the order in which they were made, those of
which its duration consists marked.

What is selected is small, so that it can be kept of any number of captures: a tree has at most MOST_LINES lines, made
of the longest MOST_CALLS of its calls.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from httpcapture import Role
from httpcapture.addresses import endpoint

from ..calls.call import Call, iso_time, iterate_calls, since_1970_ns
from ..calls.certainty import Certainty
from ..calls.open_intervals import NONE
from ..calls.request_keys import NOT_KNOWN, OTHER_REQUEST
from ..calls.schema import longest_first
from ..common.printable import comm, printable
from .links import SelfTime
from .report import Report

MOST_CALLS = 20_000
MOST_LINES = 1_000
FOLDED_FROM = 3  # so many equal calls that one request made are one line
FINEST = 1_000  # gaps shorter than this part of a request are not told apart in `Line.spans`

Indices = npt.NDArray[np.intp]


class Line(NamedTuple):
    """Hold one call of a tree as one of its ends recorded it, or several equal ones, of which this is the longest."""

    depth: int
    is_server: bool
    process: str
    asked: str  # method and path of the request, or of equal ones with several paths the shape; empty if not known
    peer: str  # whom a client asked
    duration_ns: int
    at_least: bool  # it may have taken longer, because its end was not seen
    self_time: SelfTime | None  # of a server call
    outside_ns: int | None  # of a client call whose other end is known
    is_probable: bool  # its cause is not sure
    is_critical: bool
    calls: int  # how many calls these are
    time_ns: int  # of all of them together
    start_ns: int  # after the first call of the tree began
    status: int  # 0 if it is not known
    spans: tuple[tuple[int, int], ...]  # when any of them was open: begin and end, in ns like `start_ns`


class SlowTree(NamedTuple):
    """Hold one tree. `critical` has the calls of its critical path, the root first."""

    duration_ns: int
    start_ns: int  # since 1970
    start: str  # ISO 8601, UTC
    host: str
    calls: int  # each once, though it may have two ends
    lines: tuple[Line, ...]
    left_out: int  # calls that are not in the lines
    critical: tuple[Line, ...]
    candidates: int  # requests of which one caused the first call, not known which; 0 if it is a root


def slowest(trees: Iterable[SlowTree], most: int) -> tuple[SlowTree, ...]:
    """Return the slowest trees, the slowest first; of equally slow ones the earliest."""
    return tuple(heapq.nsmallest(most, trees, lambda one: (-one.duration_ns, one.start_ns, one.host, one.calls)))


def slowest_trees(report: Report, most: int) -> tuple[SlowTree, ...]:
    """Return the slowest trees of one capture; none if no call of it is linked to another."""
    above, tops, are_roots = report.linked_trees
    if not most or not (above != NONE).any():
        return ()
    listed, roots = report.recording.listed, np.flatnonzero(are_roots)
    roots = roots[longest_first(listed.durations[roots], listed.starts[roots])[:most]]
    by_top = np.argsort(tops, kind="stable")
    firsts, lasts = (np.searchsorted(tops[by_top], roots, side) for side in ("left", "right"))
    return tuple(tree_of(report, by_top[first:last])[0] for first, last in zip(firsts, lasts))


def tree_of(report: Report, members: Indices, most_lines: int = MOST_LINES) -> tuple[SlowTree, Mapping[int, int]]:
    """Return the tree of the calls at these indices, and the number of the line that each of them is in, if any."""
    durations = report.linked.at("duration", members)
    shown = members[np.argsort(~durations, kind="stable")[:MOST_CALLS]]
    builder = _Builder(report, np.union1d(shown, report.linked_trees.tops[members[:1]]))
    root, meta = builder.calls[builder.root], report.recording.meta
    groups = tuple(islice(builder.groups(), most_lines))
    lines, critical = tuple(builder.line(*group) for group in groups), tuple(builder.critical_lines())
    above = report.linked_trees.above[members]
    calls = int(np.count_nonzero((report.linked.at("role", members) == Role.CLIENT) | (above == NONE)))
    tree = SlowTree(
        duration_ns=root.duration_ns,
        start_ns=since_1970_ns(meta, root.t0),
        start=iso_time(meta, root.t0),
        host=printable(meta.host),
        calls=calls,
        lines=lines,
        left_out=calls - sum(line.calls for line in lines if not line.is_server or not line.depth),
        critical=critical,
        candidates=int(report.causes.candidates[builder.root]),
    )
    return tree, {index: place for place, (equal, _) in enumerate(groups) for index in equal}


@dataclass(frozen=True)
class _Builder:
    """Make the lines of one tree from the calls at these indices."""

    report: Report
    members: Indices

    @cached_property
    def calls(self) -> Mapping[int, Call]:
        rows = self.report.linked.rows(self.members)
        return dict(zip(self.members.tolist(), iterate_calls(rows, np.arange(len(rows)))))

    @cached_property
    def root(self) -> int:
        return int(self.report.linked_trees.tops[self.members[0]])

    @cached_property
    def below(self) -> Mapping[int, Sequence[int]]:
        """Return the calls below each call, the earliest first."""
        below: defaultdict[int, list[int]] = defaultdict(list)
        for index, above in zip(self.members.tolist(), self.report.linked_trees.above[self.members].tolist()):
            below[above].append(index)
        return {above: sorted(indices, key=lambda one: (self.calls[one].t0, one)) for above, indices in below.items()}

    @cached_property
    def critical(self) -> Mapping[int, int]:
        """Return the calls of the critical path, each with its depth: of what is below a call, the last that ends
        before it does, the last that ends before that one begins, and so on."""
        found, waiting = dict[int, int](), [(self.root, 0)]
        while waiting:
            index, depth = waiting.pop()
            found[index] = depth
            until = self._end(index)
            for below in sorted(self.below.get(index, ()), key=self._end, reverse=True):
                if self._end(below) <= until:
                    waiting.append((below, depth + 1))
                    until = self.calls[below].t0
        return found

    def critical_lines(self) -> Iterator[Line]:
        """Yield the lines of the calls of the critical path that follow each other most slowly from the root on."""
        index: int | None = self.root
        while index is not None:
            yield self.line((index,), self.critical[index])
            path = [below for below in self.below.get(index, ()) if below in self.critical]
            index = max(path, key=lambda one: self.calls[one].whole_ns, default=None)

    def groups(self) -> Iterator[tuple[tuple[int, ...], int]]:
        """Yield the calls of each line of the tree, and how deep it is."""
        waiting: list[tuple[tuple[int, ...], int]] = [((self.root,), 0)]
        while waiting:
            equal, depth = waiting.pop()
            yield equal, depth
            waiting += [
                (group, depth + 1) for group in reversed(self._folded(self.below.get(self._longest(equal), ())))
            ]

    @cached_property
    def shapes(self) -> Mapping[int, str]:
        """Return the method and the shape of the path of each request, as far as they are known."""
        keys = self.report.recording.request_keys
        if keys is None:
            return {}
        numbers = keys.numbers(self.report.linked.rows(self.members)["request"])
        found = zip(self.members.tolist(), (keys.keys[number] for number in numbers.tolist()))
        known = ((index, key) for index, key in found if key.shape not in (NOT_KNOWN.shape, OTHER_REQUEST.shape))
        return {index: f"{key.method} {key.shape.text}" for index, key in known}

    def _folded(self, indices: Sequence[int]) -> list[tuple[int, ...]]:
        """Return the calls, equal ones together if they are many."""
        equal: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
        for index in indices:
            process, asked, peer = self._label(index)
            equal[process, self.shapes.get(index, asked), peer].append(index)
        groups: list[tuple[int, ...]] = [tuple(group) for group in equal.values() if len(group) >= FOLDED_FROM]
        groups += [(index,) for group in equal.values() if len(group) < FOLDED_FROM for index in group]
        return sorted(groups, key=lambda group: (self.calls[group[0]].t0, group))

    def line(self, equal: tuple[int, ...], depth: int) -> Line:
        """Return the line of equal calls."""
        index = self._longest(equal)
        call, report = self.calls[index], self.report
        is_server, causes = call.role == Role.SERVER, report.linked_causes
        ends = [self.calls[below] for below in self.below.get(index, ())] if not is_server else []
        process, asked, peer = self._label(index)
        if any(self._label(one)[1] != asked for one in equal):
            asked = self.shapes[index]
        times = SelfTime(*(int(times[index]) for times in report.linked_self_times)) if is_server else None
        return Line(
            depth=depth,
            is_server=is_server,
            process=process,
            asked=asked,
            peer=peer,
            duration_ns=call.whole_ns,
            at_least=call.whole_at_least,
            self_time=times,
            outside_ns=max(call.whole_ns - ends[0].whole_ns, 0) if ends else None,
            is_probable=bool(causes.certainty[index] == Certainty.PROBABLE),
            is_critical=any(one in self.critical for one in equal),
            calls=len(equal),
            time_ns=sum(self.calls[one].whole_ns for one in equal),
            start_ns=call.t0 - self.calls[self.root].t0,
            status=call.status,
            spans=tuple(self._spans(equal)),
        )

    def _spans(self, indices: Sequence[int]) -> Iterator[tuple[int, int]]:
        """Yield when any of the calls was open, the first time first."""
        root = self.calls[self.root]
        times = sorted((self.calls[one].t0 - root.t0, self._end(one) - root.t0) for one in indices)
        begin, end = times[0]
        for next_begin, next_end in times[1:]:
            if next_begin > end + root.whole_ns // FINEST:
                yield begin, end
                begin = next_begin
            end = max(end, next_end)
        yield begin, end

    def _longest(self, equal: tuple[int, ...]) -> int:
        return max(equal, key=lambda index: (self.calls[index].whole_ns, -index))

    def _label(self, index: int) -> tuple[str, str, str]:
        """Return the process of a call, what it asked for, and whom."""
        call = self.calls[index]
        request = self.report.http(call).request
        asked = " ".join(filter(None, (request.method, request.path))) or call.method.decode()
        peer = "" if call.role == Role.SERVER else request.authority or endpoint(*call.destination)
        return comm(call.process), asked, peer

    def _end(self, index: int) -> int:
        return self.calls[index].t0 + self.calls[index].whole_ns
