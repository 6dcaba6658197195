"""Define a `Report`, from which all outputs are made: the kept calls, their stack traces, the warnings.

It is computed once, and all outputs only write it down, so they cannot disagree.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from httpcapture import Role, StackStatus
from httpcapture.process_names import matches

from ..calls.call import Call, iterate_calls, since_1970_ns
from ..calls.call_ids import ids_in
from ..calls.causes import Causes, causes, no_causes, short_causes
from ..calls.filters import Selection
from ..calls.http_call import HttpCall
from ..calls.linked_calls import LinkedCalls
from ..calls.other_ends import NOT_JOINED, other_ends
from ..calls.request_keys import NOT_KNOWN, RequestKey
from ..calls.schema import exact_sum, longest_first
from ..calls.self_times import SelfTimes, self_times
from ..calls.totals import StackKey
from ..calls.trees import Trees, trees_of
from ..calls.workloads import Workload
from ..capture.recording import Recording
from ..common.interning import Interner, words_of
from ..common.printable import printable
from ..languages.event_loops import Task, task_of
from ..languages.stack_trace import HOW_GUESSED, Incomplete, NoStack, StackTrace, Unnamed
from ..symbols.binary import FindBinary
from ..symbols.symbolizer import Symbolizer
from ..symbols.trace_lines import trace_lines
from .frame_choice import FOLDED, FrameChoice, chosen
from .links import Links, links_of
from .plumbing import own_frames_of
from .stack_ids import LongestCall, assign_stack_ids, key_of, longest_by_key
from .stack_words import RecordedWords
from .warnings import ReportWarning, warnings_of

NO_TRACE = -1  # stands for the index of a stack trace if there is none


@dataclass(frozen=True)
class Report:
    """Hold the report of one capture. The listed calls are `recording.calls`; totals are of all kept calls.

    `trace_of_key` has the index in `traces` for each key of `recording.by_stack`; `trace_of_stack` has it for each pair
    of StackStatus and stack id. `record_numbers` has the number of each stack in the capture, by id.
    """

    recording: Recording
    selection: Selection
    warnings: Sequence[ReportWarning]
    traces: Sequence[StackTrace]
    trace_of_stack: Mapping[tuple[int, int], int]
    trace_of_key: Mapping[StackKey, int]
    record_numbers: Mapping[int, int]
    choice: FrameChoice = FOLDED

    @cached_property
    def shown_traces(self) -> Sequence[StackTrace]:
        """Return `traces` with the frames that are to be shown."""
        return [chosen(trace, self.choice) for trace in self.traces]

    @cached_property
    def trace_of(self) -> npt.NDArray[np.intp]:
        """Return for each listed call the index of its stack trace in `traces`."""
        return _stacks_of(self.recording, "stack").indices(self.trace_of_stack)

    @cached_property
    def receive_trace_of(self) -> npt.NDArray[np.intp]:
        """Return for each listed call the index of the stack trace of its receiving side.

        It is NO_TRACE unless that stack trace, or the thread, differs from those of the sending side.
        """
        listed, indices = self.recording.listed, np.full(len(self.recording.listed), NO_TRACE)
        taken = self.recording.received
        if len(taken):
            indices[taken] = _stacks_of(self.recording, "receive_stack", taken).indices(self.trace_of_stack)
            indices[(indices == self.trace_of) & (listed.values("receive_tid") == listed.values("tid"))] = NO_TRACE
        return indices

    @cached_property
    def stack_keys(self) -> Sequence[bytes]:
        """Return for each of `traces` its key (stack_ids.py), or b"" if there is no stack."""
        return [b"" if trace.missing else key_of(trace_lines(trace)) for trace in self.traces]

    @cached_property
    def longest(self) -> Mapping[bytes, LongestCall]:
        """Return the longest listed call of each stack trace, by key."""
        order, listed, meta = self.longest_first, self.recording.listed, self.recording.meta
        sides = np.stack([self.trace_of[order], self.receive_trace_of[order]], axis=1)
        traces, first = np.unique(sides, return_index=True)
        durations, starts = (values[order[first // 2]].tolist() for values in (listed.durations, listed.starts))
        return longest_by_key(
            (self.stack_keys[trace], LongestCall(-duration_ns, since_1970_ns(meta, start_ns), index))
            for trace, duration_ns, start_ns, index in zip(traces.tolist(), durations, starts, first.tolist())
            if trace != NO_TRACE and self.stack_keys[trace]
        )

    @cached_property
    def stack_ids(self) -> Mapping[bytes, int]:
        """Return the Stack IDs in a report of this capture alone, by key."""
        return assign_stack_ids(self.longest)

    def record_number(self, call: Call) -> int:
        """Return the number of a call's stack in the capture, or 0 if it has none."""
        return self.record_numbers.get(call.stack, 0) if call.has_stack else 0

    def http(self, call: Call) -> HttpCall:
        """Return what the heads of a call say."""
        return HttpCall.of(self.recording.heads, call.request, call.response)

    def workload(self, call: Call) -> Workload:
        """Return where the process of a call ran."""
        return self._workloads[call.workload]

    @cached_property
    def _workloads(self) -> Sequence[Workload]:
        return self.recording.workloads.values

    def trace(self, index: int) -> StackTrace:
        """Return the stack trace of the listed call at this index."""
        return self.traces[int(self.trace_of[index])]

    def calls(self, some: npt.NDArray[np.intp] | None = None) -> Iterator[tuple[Call, int, int | None]]:
        """Yield each listed call, the index of its stack trace, and that of its receiving side or None, the longest
        call first.

        If `some` is given, yield the listed calls at these indices, in their order.
        """
        order = self.longest_first if some is None else some
        indices = np.sort(order)
        calls = self.recording.calls if some is None else self.recording.some_calls(indices)
        receiving = (None if index == NO_TRACE else index for index in self.receive_trace_of[order].tolist())
        return zip(iterate_calls(calls, np.searchsorted(indices, order)), self.trace_of[order].tolist(), receiving)

    def linked_calls(self) -> Iterator[tuple[Call, int, int | None, Links]]:
        """Yield what `calls` yields of all listed calls, and how each is linked to others of them."""
        links = links_of(self.recording.calls, self.longest_first, self.other_ends, self.causes, self.self_times)
        return ((*of_call, of_links) for of_call, of_links in zip(self.calls(), links))

    @cached_property
    def linked(self) -> LinkedCalls:
        """Return the calls that may be linked to each other: the listed ones first, then those too short for that."""
        return LinkedCalls(self.recording.calls, self.recording.unlisted)

    @property
    def _linked(self) -> int:
        """Return how many calls these are. The listed ones need not be unpacked for this."""
        return len(self.recording.listed) + len(self.recording.unlisted)

    @property
    def other_ends(self) -> npt.NDArray[np.intp]:
        """Return for each listed call the index of its other end in the list, or NOT_JOINED."""
        ends = self.linked_ends[: len(self.recording.listed)]
        return np.where(ends < len(ends), ends, NOT_JOINED)

    @property
    def causes(self) -> Causes:
        """Return the causes of the listed calls."""
        return self.linked_causes.of(slice(len(self.recording.listed)))

    @property
    def self_times(self) -> SelfTimes:
        """Return the self times of the listed calls."""
        return SelfTimes(*(times[: len(self.recording.listed)] for times in self.linked_self_times))

    @property
    def trees(self) -> Trees:
        """Return the trees of the listed calls alone."""
        listed, trees = len(self.recording.listed), self.linked_trees
        return Trees(trees.above[:listed], trees.tops[:listed], trees.are_roots[:listed])

    @cached_property
    def linked_ends(self) -> npt.NDArray[np.intp]:
        """Return for each of the linked calls the index of its other end, or NOT_JOINED."""
        if not self.has_both_roles:
            return np.full(self._linked, NOT_JOINED)
        return other_ends(self.linked, np.zeros(self._linked, np.intp)).indices

    @cached_property
    def has_parts_of_processes(self) -> bool:
        """Return whether calls of a process may be missing because of a filter, or because -p, here or of the recorder,
        names threads and not a process."""
        if self.selection.filters.part_of_a_process:
            return True
        processes = [name.rstrip(b"\0") for name in set(self.recording.listed.values("process").tolist())]
        return not all(
            any(matches(name, process) for name in names)
            for names in (self.selection.names, self.recording.meta.process_filters)
            for process in (processes if names else ())
        )

    @cached_property
    def has_both_roles(self) -> bool:
        """Return whether there are client calls and server calls. If not, the listed ones need not be unpacked."""
        roles = [self.recording.listed.values("role"), self.recording.unlisted["role"]]
        return all(any((of_calls == role).any() for of_calls in roles) for role in (Role.CLIENT, Role.SERVER))

    @cached_property
    def both_ends_ns(self) -> npt.NDArray[np.uint64]:
        """Return the duration of the server's end of each call of which both ends are listed, in ns. The client's end
        is the call, so totals of calls are without these."""
        is_second = (self.other_ends != NOT_JOINED) & (self.recording.listed.values("role") == Role.SERVER)
        return np.asarray(self.recording.listed.durations[is_second])

    @property
    def both_ends_time_ns(self) -> int:
        """Return the sum of `both_ends_ns`."""
        return exact_sum(self.both_ends_ns)

    @cached_property
    def linked_causes(self) -> Causes:
        """Return the causes of the linked calls. None is known if a filter left out calls that may be causes."""
        if not self.has_both_roles or self.has_parts_of_processes:
            return no_causes(self._linked)
        found = self._listed_causes
        if not len(self.recording.unlisted):
            return found
        no_traces = np.full(len(self.recording.unlisted), len(self.traces))
        shapes = np.append(self.trace_of, no_traces)
        return found.followed_by(short_causes(self.linked, shapes, len(self.recording.listed)))

    @property
    def _listed_causes(self) -> Causes:
        """Return the causes of the listed calls: those that the capture has, if it was redacted."""
        listed = self.recording.calls
        if self.recording.causes.exist:
            return self.recording.causes.of(listed)
        words = RecordedWords(listed, self.recording.stacks, self._tasks)
        return causes(listed, self.trace_of, ids_in(self.recording.heads, listed), words)

    @property
    def _tasks(self) -> npt.NDArray[np.intp]:
        """Return for each listed call the number of the task by which its thread sent, negative if it is not known."""
        numbers: dict[Task, int] = {}
        tasks = map(task_of, self.traces)
        of_traces = [-1 if task is None else numbers.setdefault(task, len(numbers)) for task in tasks]
        return np.array(of_traces, np.intp)[self.trace_of]

    @cached_property
    def linked_self_times(self) -> SelfTimes:
        """Return the self times of the linked calls."""
        return self_times(self.linked, self.linked_causes)

    @cached_property
    def shorter_ns(self) -> npt.NDArray[np.int64]:
        """Return for each listed call how long it had calls open that are too short to be listed, and none that is."""
        if not len(self.recording.unlisted) or not self.has_both_roles:
            return np.zeros(len(self.recording.listed), np.int64)
        return self_times(self.recording.calls, self.causes).most - self.self_times.most

    @cached_property
    def request_numbers(self) -> npt.NDArray[np.uint64]:
        """Return for each listed call the number of what it asks for (`request_key`)."""
        keys = self.recording.request_keys
        if keys is None:
            return np.zeros(len(self.recording.listed), np.uint64)
        return keys.numbers(self.recording.listed.values("request")).astype(np.uint64)

    def request_key(self, number: int) -> RequestKey:
        """Return what calls with this number ask for."""
        keys = self.recording.request_keys
        return NOT_KNOWN if keys is None else keys.keys[number]

    @cached_property
    def linked_trees(self) -> Trees:
        """Return the trees of the linked calls. Above a listed call is no shorter one: who made that has not waited for
        the other."""
        listed = len(self.recording.listed)
        if not self.has_both_roles:
            roots = np.arange(listed)
            return Trees(np.full(listed, NOT_JOINED), roots, np.ones(listed, np.bool_))
        ends = np.append(self.other_ends, self.linked_ends[listed:])
        trees = trees_of(self.linked, ends, self.linked_causes)
        return trees._replace(are_roots=trees.are_roots & (np.arange(len(ends)) < listed))

    @cached_property
    def longest_first(self) -> npt.NDArray[np.intp]:
        """Return the indices of the listed calls, the longest first, and of equally long ones the earliest first."""
        return longest_first(self.recording.listed.durations, self.recording.listed.starts)


class UnnamedIn(NamedTuple):
    """Say why frames have no name, and in which module they are: empty if in none."""

    reason: Unnamed
    module: str  # the name of its file, without the folder; printable


@dataclass(frozen=True)
class NamingCounts:
    """Count the frames of all kept calls, those with a name and the reasons of the others; of both how many are the
    program's own; and the stack traces, and the reasons why some may lack outer frames."""

    frames: int = 0
    named: int = 0
    own: int = 0
    own_named: int = 0
    unnamed: Counter[UnnamedIn] = field(default_factory=Counter)
    guessed: int = 0  # frames found without unwind information
    traces: int = 0
    incomplete: Counter[Incomplete] = field(default_factory=Counter)

    def __add__(self, other: NamingCounts) -> NamingCounts:
        return NamingCounts(
            self.frames + other.frames,
            self.named + other.named,
            self.own + other.own,
            self.own_named + other.own_named,
            self.unnamed + other.unnamed,
            self.guessed + other.guessed,
            self.traces + other.traces,
            self.incomplete + other.incomplete,
        )

    @property
    def by_reason(self) -> Counter[Unnamed]:
        """Return how many frames have no name, by the reason alone."""
        counts: Counter[Unnamed] = Counter()
        for one, count in self.unnamed.items():
            counts[one.reason] += count
        return counts


def make_report(
    recording: Recording, selection: Selection, find_binary: FindBinary, choice: FrameChoice = FOLDED
) -> Report:
    """Return the report of a recording. Each distinct stack of the kept calls is named once."""
    symbolizer = Symbolizer(recording, find_binary, all_frames=choice.all_frames)
    received = _stacks_of(recording, "receive_stack", recording.received).distinct if len(recording.received) else []
    keys = {(key.stack_status, key.stack) for key in recording.by_stack}.union(received)
    recorded, numbers = dict[int, StackTrace](), dict[int, int]()
    names: defaultdict[int, set[bytes]] = defaultdict(set)  # of processes, by stack
    for key in recording.by_stack:
        names[key.stack].add(key.process.partition(b"\0")[0])
    for number, stack in recording.stacks.some({id for status, id in keys if status == StackStatus.RECORDED}):
        recorded[stack.id], numbers[stack.id] = symbolizer.stack_trace(stack, names[stack.id]), number
    recorded.update(dict.fromkeys(recording.stacks.ambiguous, StackTrace((), NoStack.AMBIGUOUS)))
    indices: dict[StackTrace, int] = {}  # equal stack traces are one
    index_of = {key: indices.setdefault(_trace(recorded, *key), len(indices)) for key in sorted(keys)}
    trace_of_key = {key: index_of[key.stack_status, key.stack] for key in recording.by_stack}
    warnings = warnings_of(recording, selection)
    return Report(recording, selection, warnings, list(indices), index_of, trace_of_key, numbers, choice)


def _trace(recorded: Mapping[int, StackTrace], stack_status: int, id: int) -> StackTrace:
    if stack_status != StackStatus.RECORDED:
        return StackTrace((), NoStack.of(stack_status))
    return recorded.get(id) or StackTrace((), NoStack.MISSING)


@dataclass(frozen=True)
class _Stacks:
    """Hold the stacks of some calls: the distinct ones by StackStatus and id, and for each call its stack's index."""

    distinct: list[tuple[int, int]]
    of_call: npt.NDArray[np.intp]

    def indices(self, index_of: Mapping[tuple[int, int], int]) -> npt.NDArray[np.intp]:
        """Return for each call the index of its stack trace."""
        return np.array([index_of[key] for key in self.distinct], np.intp)[self.of_call]


def _stacks_of(recording: Recording, side: str, calls: npt.NDArray[np.intp] | None = None) -> _Stacks:
    """Return the stacks of the side `stack` or `receive_stack` of some listed calls, or of all."""
    chosen = slice(None) if calls is None else calls
    interner, status = Interner(2), recording.listed.values(f"{side}_status")[chosen]
    ids = np.where(status == StackStatus.RECORDED, recording.listed.values(side)[chosen], 0)
    numbers = interner.intern(*words_of(status), ids)
    return _Stacks([(int(one), int(id)) for one, id in zip(*interner.values.tolist())], numbers)


def naming(report: Report) -> NamingCounts:
    """Count the frames of every kept call, as often as stack_traces.txt would show them; those of receiving sides only
    of calls that are listed."""
    received = report.receive_trace_of[report.receive_trace_of != NO_TRACE]
    uses = np.bincount(received, minlength=len(report.traces)).tolist()
    for key, totals in report.recording.by_stack.items():
        uses[report.trace_of_key[key]] += totals.calls
    frames = named = own = own_named = guessed = traces = 0
    unnamed: Counter[UnnamedIn] = Counter()
    incomplete: Counter[Incomplete] = Counter()
    for trace, times in zip(report.traces, uses):
        traces += times if trace.frames else 0
        if trace.incomplete is not None:
            incomplete[trace.incomplete] += times
        for frame in own_frames_of(trace, report.choice.own):
            own += times
            own_named += times if frame.name is not None else 0
        for frame in trace.frames:
            frames += times
            named += times if frame.name is not None else 0
            guessed += times if frame.found in HOW_GUESSED else 0
            if frame.unnamed is not None:
                unnamed[UnnamedIn(frame.unnamed, printable(os.path.basename(frame.module or "")))] += times
    return NamingCounts(frames, named, own, own_named, unnamed, guessed, traces, incomplete)
