"""A `Report` is everything that the outputs are written from: the calls kept, their stack traces, the
cautions.

It is computed once; text, folded stacks, JSON and the terminal only write it down, so they cannot disagree.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from httpcapture import StackStatus

from .binary import FindBinary
from .call import Call, each
from .calls import Integers, duration_ns, total
from .cautions import Caution, cautions
from .recording import Recording
from .selection import Selection
from .symbolize import Symbolizer
from .trace import HOW_GUESSED, Incomplete, NoStack, StackTrace, Unnamed

NO_TRACE = -1


@dataclass(frozen=True)
class Report:
    """The kept calls are `recording.calls`; `trace_of[i]` is the place of call i's stack trace in `traces`, and
    `receive_trace_of[i]` that of its receiving side where thread or stack trace differ, else NO_TRACE."""

    recording: Recording
    selection: Selection
    cautions: Sequence[Caution]
    traces: Sequence[StackTrace]
    trace_of: npt.NDArray[np.intp]
    receive_trace_of: npt.NDArray[np.intp]

    @cached_property
    def stack_numbers(self) -> Mapping[int, int]:
        """The number that a report shows for a stack's id: its place in the capture, from 1, as the recorder
        prints it live."""
        return {id: number for number, id in enumerate(self.recording.stacks, 1)}

    def stack_number(self, call: Call) -> int:
        """The number of a call's stack, 0 where it has none."""
        return self.stack_numbers.get(call.stack, 0) if call.has_stack else 0

    def process(self, place: int) -> bytes:
        """The process name of one of the kept calls."""
        return bytes(self.recording.calls["process"][place])

    def trace(self, place: int) -> StackTrace:
        """The stack trace of one of the kept calls."""
        return self.traces[int(self.trace_of[place])]

    def calls(self) -> Iterator[tuple[Call, int, int | None]]:
        """Each call, the place of its stack trace and that of its receiving side, if there is one; the longest call
        first, of equally long ones the earliest."""
        calls = self.recording.calls
        order = np.lexsort((calls["t0"], ~duration_ns(calls)))
        receiving = (None if place == NO_TRACE else place for place in self.receive_trace_of[order].tolist())
        return zip(each(calls, order), self.trace_of[order].tolist(), receiving)


@dataclass(frozen=True)
class Group:
    """Calls that have something in common."""

    members: npt.NDArray[np.intp]  # places in `recording.calls`, in the order of the file
    time_ns: int  # sum of their durations
    slowest_ns: int

    @property
    def first(self) -> int:
        return int(self.members[0])


@dataclass(frozen=True)
class Naming:
    """How many of the frames of all kept calls have a name, and how often which reason stands for one; how many stack
    traces there are, and how many of them may lack outer frames for which reason."""

    frames: int
    named: int
    unnamed: Counter[Unnamed]
    guessed: int  # frames found without unwind information
    traces: int
    incomplete: Counter[Incomplete]


def make_report(recording: Recording, selection: Selection, find_binary: FindBinary) -> Report:
    """Name every distinct stack of the kept calls."""
    calls = recording.calls
    taken = calls["receive_stack_status"] != StackStatus.NOT_TAKEN
    ids = np.concatenate([calls["stack"], calls["receive_stack"][taken]])
    statuses = np.concatenate([calls["stack_status"], calls["receive_stack_status"][taken]])
    traces, places = _name(recording, Symbolizer(recording, find_binary), ids, statuses)
    trace_of, receive_trace_of = places[: len(calls)], np.full(len(calls), NO_TRACE)
    receive_trace_of[taken] = places[len(calls) :]
    receive_trace_of[(receive_trace_of == trace_of) & (calls["receive_tid"] == calls["tid"])] = NO_TRACE
    return Report(recording, selection, cautions(recording, selection), traces, trace_of, receive_trace_of)


def _name(
    recording: Recording, symbolizer: Symbolizer, ids: npt.NDArray[np.uint64], statuses: npt.NDArray[np.uint8]
) -> tuple[list[StackTrace], npt.NDArray[np.intp]]:
    """The stack traces, equal ones once, of stacks by their ids, where the StackStatus beside says that there is one;
    and for each id the place of its trace."""
    has_stack = statuses == StackStatus.RECORDED
    distinct, stack_of = np.unique(ids[has_stack], return_inverse=True)
    reasons, without = np.unique(statuses[~has_stack], return_inverse=True)
    places: dict[StackTrace, int] = {}
    stacks = (recording.stacks.get(id) for id in distinct.tolist())
    traces = (symbolizer.stack_trace(stack) if stack else StackTrace((), NoStack.MISSING) for stack in stacks)
    with_stack = [places.setdefault(trace, len(places)) for trace in traces]
    without_stack = [places.setdefault(StackTrace((), NoStack.of(each)), len(places)) for each in reasons.tolist()]
    place_of = np.empty(len(ids), np.intp)
    place_of[has_stack] = np.array(with_stack, np.intp)[stack_of]
    place_of[~has_stack] = np.array(without_stack, np.intp)[without]
    return list(places), place_of


def by_process(report: Report) -> list[Group]:
    """The kept calls by process name, the most time first."""
    return _groups(duration_ns(report.recording.calls), _process_numbers(report))


def by_stack(report: Report) -> list[Group]:
    """The kept calls by process name and stack trace, the most time first."""
    keys = _process_numbers(report) * len(report.traces) + report.trace_of
    return _groups(duration_ns(report.recording.calls), keys)


def naming(report: Report) -> Naming:
    """Count the frames of every kept call, as often as stack_traces.txt shows them."""
    received = report.receive_trace_of[report.receive_trace_of != NO_TRACE]
    uses = np.bincount(np.concatenate([report.trace_of, received]), minlength=len(report.traces)).tolist()
    frames = named = guessed = traces = 0
    unnamed: Counter[Unnamed] = Counter()
    incomplete: Counter[Incomplete] = Counter()
    for trace, times in zip(report.traces, uses):
        traces += times if trace.frames else 0
        if trace.incomplete is not None:
            incomplete[trace.incomplete] += times
        for frame in trace.frames:
            frames += times
            named += times if frame.name is not None else 0
            guessed += times if frame.found in HOW_GUESSED else 0
            if frame.unnamed is not None:
                unnamed[frame.unnamed] += times
    return Naming(frames, named, unnamed, guessed, traces, incomplete)


def _process_numbers(report: Report) -> npt.NDArray[np.intp]:
    return np.unique(report.recording.calls["process"], return_inverse=True)[1]


def _groups(durations: Integers, keys: npt.NDArray[np.intp]) -> list[Group]:
    """The durations that share a key, the largest sum first."""
    order = np.argsort(keys, kind="stable")
    starts = np.flatnonzero(np.diff(keys[order])) + 1
    members = [group for group in np.split(order, starts) if len(group)]
    groups = [Group(group, total(durations[group]), int(durations[group].max())) for group in members]
    return sorted(groups, key=lambda group: -group.time_ns)
