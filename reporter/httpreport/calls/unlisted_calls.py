"""Hold the calls that are not listed because they are too short, in columns: other calls waited for them.

These are the calls below the threshold of the capture, if it has them (httprec --rows all), and those that are only
below the threshold of the report. Of the former, whose they were is in rows of their own; a call without one is left
out, since nothing would be known of it but that some process made it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..common import tuning
from ..common.interning import UNKNOWN, Interner, words_of
from .lazy_table import LazyTable
from .schema import CALL, CONNECTION, SHORT, Array, ends_of

Column = npt.NDArray[Any]
Indices = npt.NDArray[np.intp]


class UnlistedCalls:
    """Gather such calls of one capture. Add all of them, then call `finish` once; from then on, their columns are those
    of CALL."""

    def __init__(self) -> None:
        self.below = 0
        """How many calls below the threshold the capture has."""
        self.left_out = 0
        """How many calls or connections were not added because there were too many."""
        self.without_process = 0
        """Of how many calls it is not known whose they were."""
        self._waiting: dict[np.dtype[np.void], list[Array]] = {SHORT: [], CONNECTION: []}
        self._rows = {SHORT: 0, CONNECTION: 0}
        self._calls, self._connections = np.zeros(0, SHORT), np.zeros(0, CONNECTION)
        self._places = np.zeros(0, np.intp)  # of the connection of each call

    def __len__(self) -> int:
        return len(self._calls)

    @property
    def nbytes(self) -> int:
        """Return how many bytes the rows take in memory."""
        return sum(count * row.itemsize for row, count in self._rows.items())

    def add_below(self, calls: LazyTable) -> None:
        """Add calls below the threshold of the capture, whose times are clamped."""
        self.below += calls.rows
        self._add(calls, SHORT)

    def add_connections(self, connections: LazyTable) -> None:
        """Add what these have in common."""
        self._add(connections, CONNECTION)

    def add_recorded(self, calls: LazyTable) -> None:
        """Add calls that are only below the threshold of the report, which are complete."""
        self._add(calls.take(calls.runs("connection", "pid")[0]), CONNECTION)
        self._add(calls, SHORT)
        self._waiting[SHORT][-1]["t3"] = ends_of(calls)[: len(self._waiting[SHORT][-1])]

    def finish(self) -> None:
        """Find the connections of the calls, and leave out the calls without one."""
        calls, connections = (np.concatenate([np.zeros(0, row), *parts]) for row, parts in self._waiting.items())
        self._waiting.clear()
        keys = Interner(2)
        connections = _distinct(connections)
        numbers = keys.intern(*_key(connections))
        is_only = np.bincount(numbers, minlength=len(keys)) == 1
        place_of = np.full(len(keys) + 1, UNKNOWN)  # the last is that of a connection that is not known
        place_of[numbers] = np.arange(len(connections))
        place_of[:-1][~is_only] = UNKNOWN
        places = place_of[keys.find(*_key(calls))]
        known = places != UNKNOWN
        self.without_process = int(np.count_nonzero(~known))
        self._calls, self._connections, self._places = calls[known], connections, places[known]

    def __getitem__(self, name: str) -> Column:
        if name in (SHORT.names or ()):
            return np.asarray(self._calls[name])
        if name in (CONNECTION.names or ()):
            return np.asarray(self._connections[name][self._places])
        if name == "duration":
            return np.asarray(self._calls["t3"] - self._calls["t0"])
        return np.ones(len(self), np.bool_) if name == "has_end" else np.zeros(len(self), CALL[name])

    def rows(self, indices: Indices) -> Array:
        """Return the calls at these indices as rows of CALL. What is not known of them is 0."""
        rows, calls, connections = np.zeros(len(indices), CALL), self._calls[indices], self._places[indices]
        for name in SHORT.names or ():
            rows[name] = calls[name]
        for name in CONNECTION.names or ():
            rows[name] = self._connections[name][connections]
        rows["has_end"] = rows["t3_known"] = True
        rows["duration"] = rows["t3"] - rows["t0"]
        return rows

    def _add(self, table: LazyTable, row: np.dtype[np.void]) -> None:
        rows = table.to_array(row)[: max(tuning.MAX_UNLISTED - self._rows[row], 0)]
        self.left_out += table.rows - len(rows)
        self._rows[row] += len(rows)
        self._waiting[row].append(rows)


def _distinct(rows: Array) -> Array:
    """Return the distinct rows of CONNECTION; of several that differ only in the name of the process, which may have
    changed, the first."""
    names = [name for name in rows.dtype.names or () if name != "process"]
    words = [word for name in names for word in words_of(np.ascontiguousarray(rows[name]))]
    _, first = np.unique(Interner(len(words)).intern(*words), return_index=True)
    return rows[first]


def _key(rows: Array) -> list[npt.NDArray[np.uint64]]:
    return [np.ascontiguousarray(rows[name]).astype(np.uint64) for name in ("connection", "pid")]
