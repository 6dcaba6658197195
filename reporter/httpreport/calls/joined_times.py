"""Divide the time of requests among the calls that were made for them, so that what all calls get adds up to the
requests.

A call has the time in which none of the calls below it was open. Of calls below one that are open at the same time, the
one that began first has the time. What is below a call counts only while that is open.

Calls are added up by their path: what they and the calls above them have in common with others.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from .covered_time import latest_before
from .open_intervals import NONE, Indices, Times
from .schema import ColumnsByName, ends_of
from .totals import Durations, TotalsByValue
from .trees import Trees

MOST_LEVELS = 64  # calls below each other; what is further below is part of the lowest of them


class JoinedTimes(NamedTuple):
    """Hold for each path the path above it or NONE, the number of what its calls have in common, and its own time in
    ns. A path comes after the one above it."""

    above: Indices
    kinds: Indices
    times: list[int]


def joined_times(calls: ColumnsByName, trees: Trees, kinds: Indices) -> JoinedTimes:
    """Return the times of all calls below roots, and the roots. `kinds` numbers what calls have in common."""
    starts, ends, by_path = np.asarray(calls["t0"]).astype(np.int64), ends_of(calls), TotalsByValue(2)
    paths = np.full(len(starts), NONE)
    for level, own in _levels(starts, ends, trees):
        above = trees.above[level]
        path_above = np.where(above == NONE, 0, paths[above] + 1)
        paths[level] = by_path.intern(path_above.astype(np.uint64), kinds[level].astype(np.uint64))
        by_path.add(Durations(own.astype(np.uint64)), paths[level])
    values = by_path.values.astype(np.intp)
    return JoinedTimes(values[0] - 1, values[1], [totals.time_ns for totals in by_path.totals()])


def _levels(starts: Times, ends: Times, trees: Trees) -> Iterator[tuple[Indices, Times]]:
    """Yield the calls of each level, the roots first, and how much time each has."""
    by_above = np.argsort(trees.above, kind="stable")
    sorted_above = trees.above[by_above]
    level = np.flatnonzero(trees.are_roots)
    first, last = starts.copy(), ends.copy()  # of the time that a call and what is below it have
    for number in range(MOST_LEVELS):
        below = _below(level, by_above, sorted_above) if number + 1 < MOST_LEVELS else level[:0]
        below = below[np.lexsort((starts[below], trees.above[below]))]
        above = trees.above[below]
        last[below] = np.clip(ends[below], first[above], last[above])
        begin = np.clip(starts[below], first[above], last[above])
        first[below] = np.maximum(begin, latest_before(above, last[below]))
        last[below] = np.maximum(first[below], last[below])
        taken = np.zeros(len(starts), np.int64)
        np.add.at(taken, above, last[below] - first[below])
        yield level, (last - first - taken)[level]
        level = below
        if not len(level):
            return


def _below(level: Indices, by_above: Indices, sorted_above: Indices) -> Indices:
    """Return the calls below those of a level."""
    firsts, lasts = (np.searchsorted(sorted_above, level, side) for side in ("left", "right"))
    counts = lasts - firsts
    places = np.repeat(firsts - (np.cumsum(counts) - counts), counts) + np.arange(int(counts.sum()))
    return by_above[places]
