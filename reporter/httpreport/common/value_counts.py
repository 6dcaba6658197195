"""Count how often each value occurs, for input with far more values than distinct ones.

Many values are counted at a time: small ones in an array indexed by value, which takes a few nanoseconds each and less
than a look-up in a table larger than the processor's cache; larger ones by sorting.
"""

from __future__ import annotations

import numpy as np

from . import tuning
from .interning import Words


class ValueCounts:
    """Count values as they are added."""

    def __init__(self) -> None:
        self._values = self._counts = np.zeros(0, np.uint64)
        self._new: list[Words] = []
        self._new_count = 0

    def __len__(self) -> int:
        """Return how many distinct values have been counted, without those added last."""
        return len(self._values)

    def add(self, values: Words) -> None:
        """Add values (uint64). They are counted once enough have been added, so the array must not change."""
        self._new.append(values)
        self._new_count += len(values)
        if self._new_count >= tuning.VALUES_COUNTED_AT_ONCE:
            self._count()

    def counts(self) -> tuple[Words, Words]:
        """Return the distinct values in ascending order, and how often each occurs."""
        self._count()
        return self._values, self._counts

    def _count(self) -> None:
        if not self._new_count:
            return
        new, counts = _counted(np.concatenate(self._new))
        self._new, self._new_count = [], 0
        values = np.concatenate([self._values, new])
        order = np.argsort(values, kind="stable")
        values, counts = values[order], np.concatenate([self._counts, counts])[order]
        first = np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]]))
        self._values, self._counts = values[first], np.add.reduceat(counts, first)


def _counted(values: Words) -> tuple[Words, Words]:
    if values.max() < tuning.COUNT_ARRAY_SIZE:
        counts = np.bincount(values.astype(np.intp))
        values = np.flatnonzero(counts).astype(np.uint64)
        return values, counts[counts > 0].astype(np.uint64)
    values, counts = np.unique(values, return_counts=True)
    return values, counts.astype(np.uint64)
