"""Give each call of a capture one word, made of its connection and sequence, so that what comes later in the file about
calls is found by a sorted search."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..common.interning import UNKNOWN, Interner
from .schema import ColumnsByName, Integers

Indices = npt.NDArray[np.intp]
_SEQUENCE_BITS = np.uint64(32)


class CallKeys:
    """Number the connections of one capture."""

    def __init__(self) -> None:
        self._connections = Interner()

    @property
    def nbytes(self) -> int:
        """Return roughly how many bytes the numbers take in memory."""
        return 128 * len(self._connections)

    def add(self, connections: npt.NDArray[Any], sequences: npt.NDArray[Any]) -> Integers:
        """Return the key of each call."""
        first, run = _runs(connections)
        numbers = self._connections.intern(connections[first].astype(np.uint64))[run]
        return _keys(numbers, sequences)

    def find(self, calls: ColumnsByName, known: Integers) -> tuple[Indices, Indices]:
        """Return the indices of the calls whose key is among `known`, which are sorted and distinct, and for each of
        them the index of its key there, ascending."""
        if not len(known):
            return np.zeros(0, np.intp), np.zeros(0, np.intp)
        connections = calls["connection"]
        first, run = _runs(connections)
        numbers = self._connections.find(connections[first].astype(np.uint64))[run]
        candidates = np.flatnonzero(numbers != UNKNOWN)
        wanted = _keys(numbers[candidates], calls["sequence"][candidates])
        order = np.argsort(wanted, kind="stable")  # a sorted search stays in the cache
        wanted = wanted[order]
        places = np.searchsorted(known, wanted)
        found = np.flatnonzero(known[np.minimum(places, len(known) - 1)] == wanted)
        return candidates[order[found]], places[found]


def _runs(values: npt.NDArray[Any]) -> tuple[Indices, Indices]:
    """Return the index of the first of each run of equal values, and for each value the number of its run."""
    begins = np.ones(len(values), np.bool_)
    begins[1:] = values[1:] != values[:-1]
    return np.flatnonzero(begins), np.cumsum(begins) - 1


def _keys(numbers: Indices, sequences: npt.NDArray[Any]) -> Integers:
    """Return for each call one word: the number of its connection, and its sequence."""
    return np.asarray(numbers.astype(np.uint64) << _SEQUENCE_BITS | sequences)
