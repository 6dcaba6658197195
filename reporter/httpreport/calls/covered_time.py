"""Measure which part of a time is covered by intervals that may overlap, for many groups of them at once.

Groups are numbers from 0, and times in ns from 0 to 2**62. All steps are sorts and look-ups of whole columns.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .open_intervals import Indices, Keys, Times, search


class CoveredTime:
    """Hold the time that is covered by the intervals of each group."""

    def __init__(self, groups: Indices, starts: Times, ends: Times) -> None:
        order = np.lexsort((starts, groups))
        groups, starts, ends = groups[order], starts[order], ends[order]
        latest = latest_before(groups, ends)
        begins = np.append(True, (groups[1:] != groups[:-1]) | (starts[1:] > latest[1:]))[: len(groups)]
        first = np.flatnonzero(begins)
        last = np.append(first[1:], len(groups))[: len(first)] - 1
        self.groups = groups[first]
        """The groups of the spans that are covered, which do not overlap, sorted by group and time."""
        self.starts = starts[first]
        """When each of them begins."""
        self.ends = np.maximum(latest, ends)[last]
        """When each of them ends."""
        self._keys = Keys(self.starts)
        self._sorted = self._keys.of(self.groups, self.starts)
        # Sums over all groups may wrap around; the difference of two that are of one group is right nevertheless.
        self._before = np.append(0, np.cumsum(self.ends - self.starts))

    def within(self, groups: Indices, firsts: Times, lasts: Times) -> Times:
        """Return how many ns between `firsts` and `lasts`, which are not earlier, the intervals of the group cover."""
        return self._until(groups, lasts) - self._until(groups, firsts)

    def touches(self, firsts: Times, lasts: Times) -> npt.NDArray[np.bool_]:
        """Return whether an interval of group 0 has a moment from `firsts` to `lasts`, inclusive."""
        place = np.searchsorted(self.starts, lasts, "right") - 1
        return np.asarray((place >= 0) & (np.append(self.ends, 0)[place] >= firsts))

    def _until(self, groups: Indices, times: Times) -> Times:
        """Return how much is covered up to then, and in groups with lower numbers."""
        if not len(self.groups):
            return np.zeros(len(groups), np.int64)
        place = search(self._sorted, self._keys.of(groups, times)) - 1
        rest = np.where((place >= 0) & (self.groups[place] == groups), np.maximum(self.ends[place] - times, 0), 0)
        return np.asarray(self._before[place + 1] - rest)


def latest_before(groups: Indices, ends: Times) -> Times:
    """Return the latest end of the intervals of the same group that are before each one in the order of the arrays, in
    which a group is not interrupted; 0 for the first of a group."""
    if not len(groups):
        return ends
    begins = np.append(True, groups[1:] != groups[:-1])
    group = np.cumsum(begins) * len(groups)
    ranks, by_rank = np.empty(len(groups), np.intp), np.argsort(ends, kind="stable")
    ranks[by_rank] = np.arange(len(groups))
    latest = ends[by_rank[np.maximum.accumulate(group + ranks) - group]]
    return np.where(begins, 0, np.append(0, latest[:-1]))
