"""Count which intervals are open at a time, for many times at once, by sorts and look-ups of whole columns."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.intp]
Times = npt.NDArray[np.int64]

NONE = -1  # stands for the index of an interval if there is none, or more than one


class OpenIntervals:
    """Hold intervals, each of one group. Groups are numbers from 0, and times in ns from 0 to 2**62; an interval ends
    when it begins or later."""

    def __init__(self, groups: Indices, starts: Times, ends: Times) -> None:
        self._keys = Keys(np.concatenate([starts, ends]))
        self._starts, self._started = _sorted(self._keys.of(groups, starts))
        self._ends, self._ended = _sorted(self._keys.of(groups, ends))

    def during(self, groups: Indices, firsts: Times, lasts: Times) -> tuple[Indices, Indices]:
        """Return how many intervals of each group begin before `lasts` and end at `firsts` or later, and the index of
        that interval if it is the only one, else NONE. `firsts` are not later than `lasts`.

        Intervals of other groups count in both sums, so they cancel each other out; what is left of the sums of indices
        if one interval is open is its index.
        """
        started = search(self._starts, self._keys.of(groups, lasts))
        ended = search(self._ends, self._keys.of(groups, firsts))
        counts = started - ended
        return counts, np.where(counts == 1, self._started[started] - self._ended[ended], NONE)


class Keys:
    """Make numbers that are in the order of groups and times. Times between two of those that are given are one."""

    def __init__(self, times: Times) -> None:
        self._times = np.sort(times)

    def of(self, groups: Indices, times: Times) -> Indices:
        """Return the number of each group and time."""
        return np.asarray(groups * (len(self._times) + 1) + search(self._times, times))


def search(values: Times, wanted: Times) -> Indices:
    """Return how many of the sorted values are less than each one that is wanted."""
    order = np.argsort(wanted, kind="stable")  # a sorted search stays in the cache
    places = np.empty(len(wanted), np.intp)
    places[order] = np.searchsorted(values, wanted[order])
    return places


def _sorted(keys: Indices) -> tuple[Indices, Indices]:
    """Return the keys sorted, and before each of them, and after the last, the sum of the indices of those before."""
    order = np.argsort(keys, kind="stable")
    return keys[order], np.append(0, np.cumsum(order))
