"""Write joined stacks: `process;outermost;...;leaf;process;...;(self) NANOSECONDS`, which flamegraph.pl and similar
tools read.

A stack begins with that of a request's client, goes on with the process that answered, and that with the stack of the
call that it made meanwhile, and so on. It ends with where the time was spent: `(self)` in a process that answered,
`(outside)` between two processes, or `(other end not reported)`. The weights add up to the durations of the requests
(`calls/joined_times.py`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import lru_cache

import numpy as np

from httpcapture import Role

from ..calls.joined_times import joined_times
from ..calls.open_intervals import NONE
from ..common import printable
from ..common.interning import Interner, bytes_of, words_of
from ..languages.stack_trace import NoStack, StackTrace
from ..report.report import Report
from ..report.samples import shown_frames
from .output import CallEntry, Reported, Style, encoded

MOST_STACKS = 50_000  # of one capture, the widest
OTHERS = "(other stacks)"
SELF, OUTSIDE, NOT_REPORTED = "(self)", "(outside)", "(other end not reported)"
_NOT_RECORDED = StackTrace((), NoStack.BELOW_THRESHOLD)


def report(reported: Reported) -> Iterable[bytes]:
    """Return the lines, sorted by their bytes."""
    weights: defaultdict[str, int] = defaultdict(int)
    for capture in reported.listing.by_capture():
        for stack, weight_ns in capture:
            weights[stack] += weight_ns
    return encoded((f"{stack} {weights[stack]}" for stack in sorted(weights, key=str.encode)), "\n")


def listed(report: Report, capture: str, _: Style) -> Iterator[CallEntry]:
    """Yield each stack of a capture with its weight."""
    return (CallEntry(0, 0, line) for line in lines(report))


def lines(report: Report) -> Iterator[tuple[str, int]]:
    """Yield the stacks of a capture with their weights, the widest first. What is too much is one stack."""
    kinds = _Kinds(report)
    above, kind_of, times = joined_times(report.linked, report.linked_trees, kinds.of_calls)
    widest = sorted(range(len(times)), key=lambda path: -times[path])
    for path in filter(times.__getitem__, widest[:MOST_STACKS]):
        boxes, at = [kinds.ends[kind_of[path]]], path
        while at != NONE:
            boxes.append(kinds.frames(int(kind_of[at]), is_root=above[at] == NONE))
            at = above[at]
        yield ";".join(reversed(boxes)), times[path]
    rest_ns = sum(times[path] for path in widest[MOST_STACKS:])
    if rest_ns:
        yield OTHERS, rest_ns


class _Kinds:
    """Number what calls have in common in joined stacks: the process; of client calls the stack trace, and whether the
    other end is known. Where an answer was sent tells nothing of where the time was spent."""

    def __init__(self, report: Report) -> None:
        calls, distinct, traces_of = report.linked, Interner(4), [*report.shown_traces, _NOT_RECORDED]
        is_server, has_other_end = calls["role"] == Role.SERVER, report.linked_ends != NONE
        no_traces = np.full(len(report.recording.unlisted), len(report.shown_traces))
        trace = np.where(is_server, 0, np.append(report.trace_of, no_traces))
        self.of_calls = distinct.intern(
            *words_of(calls["process"]), *words_of(trace), is_server * np.uint64(2) + has_other_end
        )
        names, (traces, marks) = bytes_of(distinct.values[:2]), distinct.values[2:].tolist()
        self.ends = [SELF if mark >= 2 else OUTSIDE if mark else NOT_REPORTED for mark in marks]
        """What stands for the own time of calls, by the numbers of their kinds."""
        self._names = [printable.frame(name) for name in names]
        self._traces = [None if mark >= 2 else traces_of[trace] for trace, mark in zip(traces, marks)]
        self._folded = lru_cache(maxsize=None)(_folded)

    def frames(self, kind: int, *, is_root: bool) -> str:
        """Return the frames of a call, outermost first; the process of a client is in them at the root only."""
        trace, name = self._traces[kind], self._names[kind]
        if trace is None:
            return name
        return f"{name};{self._folded(trace)}" if is_root else self._folded(trace)


def _folded(trace: StackTrace) -> str:
    return ";".join(printable.frame(frame.label) for frame in shown_frames(trace))
