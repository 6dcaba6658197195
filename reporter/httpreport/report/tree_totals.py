"""Add up trees of calls: how many roots there are and how long they took, of how many calls the cause is known, and the
self times of what each process was asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from httpcapture import Role

from ..calls.certainty import Certainty
from ..calls.open_intervals import NONE
from ..calls.request_keys import NOT_KNOWN, OTHER_REQUEST, Examples, RequestKey
from ..calls.schema import exact_sum
from ..calls.totals import Durations, TotalsByValue
from ..common.interning import bytes_of, words_of
from ..common.printable import printable
from .report import Report
from .slowest_trees import SlowTree, slowest, slowest_trees


class Answering(NamedTuple):
    """Identify the server calls of one process name on one host that were asked for one thing."""

    host: str
    process: bytes
    request: RequestKey


@dataclass(frozen=True)
class SelfTotals:
    """Hold how many server calls there are, and the sums of their durations and of their least and most self times."""

    calls: int = 0
    time_ns: int = 0
    least_ns: int = 0
    most_ns: int = 0

    def __add__(self, other: SelfTotals) -> SelfTotals:
        return SelfTotals(
            self.calls + other.calls,
            self.time_ns + other.time_ns,
            self.least_ns + other.least_ns,
            self.most_ns + other.most_ns,
        )


@dataclass(frozen=True)
class TreeTotals:
    """Hold the totals of the trees of any number of captures in which calls are linked to each other."""

    roots: int = 0
    roots_ns: int = 0
    certainty: Counter[Certainty] = field(default_factory=Counter)  # of the causes of listed calls that may have one
    self_times: Mapping[Answering, SelfTotals] = field(default_factory=dict)
    slowest: tuple[SlowTree, ...] = ()
    most_trees: int = 0  # how many were asked for


def tree_totals(report: Report, most_trees: int) -> TreeTotals:
    """Return the totals of one capture, with so many of the slowest trees; nothing if no calls are linked."""
    above, _, are_roots = report.linked_trees
    if not (above != NONE).any():
        return TreeTotals(most_trees=most_trees)
    causes, listed = report.linked_causes, len(report.recording.listed)  # shorter calls may be for shorter requests
    may_have_one = causes.candidates[:listed] > 0
    certainty = Counter(map(Certainty, causes.certainty[:listed][may_have_one].tolist()))
    durations = report.recording.listed.durations[are_roots[:listed]]
    slow = slowest_trees(report, most_trees)
    return TreeTotals(len(durations), exact_sum(durations), certainty, dict(_self_times(report)), slow, most_trees)


def _self_times(report: Report) -> Iterable[tuple[Answering, SelfTotals]]:
    calls, keys = report.recording.calls, report.recording.request_keys
    servers = np.flatnonzero(calls["role"] == Role.SERVER)
    requests = keys.numbers(calls["request"][servers]) if keys else np.zeros(len(servers), np.uint32)
    totals = [TotalsByValue(3) for _ in range(3)]
    times = (calls["duration"], report.self_times.least, report.self_times.most)
    for of_kind, ns in zip(totals, times):
        numbers = of_kind.intern(*words_of(calls["process"][servers]), requests.astype(np.uint64))
        of_kind.add(Durations(ns[servers].astype(np.uint64)), numbers)
    values, host = totals[0].values, printable(report.recording.meta.host)
    for process, request, *sums in zip(bytes_of(values[:2]), values[2].tolist(), *(each.totals() for each in totals)):
        key = Answering(host, process, keys.keys[request] if keys else NOT_KNOWN)
        yield key, SelfTotals(sums[0].calls, *(each.time_ns for each in sums))


class TreeMerger:
    """Add up the totals of captures. The order makes no difference."""

    def __init__(self) -> None:
        self._roots = self._roots_ns = self._most_trees = 0
        self._certainty: Counter[Certainty] = Counter()
        self._self_times: dict[Answering, SelfTotals] = {}
        self._slowest: tuple[SlowTree, ...] = ()

    def add(self, one: TreeTotals) -> None:
        """Add the totals of one capture or of several."""
        self._roots += one.roots
        self._roots_ns += one.roots_ns
        self._certainty.update(one.certainty)
        for key, times in one.self_times.items():
            self._self_times[key] = self._self_times.get(key, SelfTotals()) + times
        self._most_trees = max(self._most_trees, one.most_trees)
        self._slowest = slowest((*self._slowest, *one.slowest), self._most_trees)

    def merged(self, known: Examples) -> TreeTotals:
        """Return the totals of all, with OTHER_REQUEST for requests that are not among the examples."""
        self_times = within(self._self_times, known)
        return TreeTotals(self._roots, self._roots_ns, self._certainty, self_times, self._slowest, self._most_trees)


def within(self_times: Mapping[Answering, SelfTotals], examples: Examples) -> Mapping[Answering, SelfTotals]:
    """Return the self times with OTHER_REQUEST for what is not among the examples."""
    found: dict[Answering, SelfTotals] = {}
    for key, times in self_times.items():
        is_told_apart = key.request in examples or key.request == NOT_KNOWN
        own = key if is_told_apart else key._replace(request=OTHER_REQUEST)
        found[own] = found.get(own, SelfTotals()) + times
    return found
