"""Hold the calls that are not listed because they are too short, in columns: other calls waited for them.

These are the calls below the threshold of the capture, if it has them (httprec --rows all), and those that are only
below the threshold of the report. Of the former, whose they were is in rows of their own; a call without one is left
out, since nothing would be known of it but that some process made it.

Nobody waited for a call while no listed call was open, and which are listed is known once all have been read. So the
calls stay packed as in the file until then, and only those that were open together with a listed one are unpacked.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..common import tuning
from ..common.interning import UNKNOWN, Interner, words_of
from .covered_time import CoveredTime
from .durations import DurationRule
from .lazy_table import LazyTable
from .schema import CALL, CONNECTION, SHORT, Array, Integers, ends_of

Column = npt.NDArray[Any]
Indices = npt.NDArray[np.intp]
_NAMES = [*(SHORT.names or ()), *(CONNECTION.names or ())]


class _Packed(NamedTuple):
    """Hold calls as they were read."""

    calls: LazyTable
    bits: npt.NDArray[np.uint8] | None  # which of them are not listed, packed; None: all, which have no completions


class UnlistedCalls:
    """Gather such calls of one capture. Add all of them, then call `finish` once; from then on, their columns are those
    of CALL."""

    def __init__(self, rule: DurationRule) -> None:
        self.below = 0
        """How many calls below the threshold the capture has."""
        self.left_out = 0
        """How many calls or connections were not added because there were too many."""
        self.without_process = 0
        """Of how many calls it is not known whose they were."""
        self.nbytes = 0
        """How many bytes what was added takes in memory, roughly."""
        self._rule = rule
        self._packed: list[_Packed] = []
        self._rows: dict[np.dtype[np.void], list[Array]] = {SHORT: [], CONNECTION: []}
        self._count = {SHORT: 0, CONNECTION: 0}
        self._calls, self._connections = np.zeros(0, SHORT), np.zeros(0, CONNECTION)
        self._places = np.zeros(0, np.intp)  # of the connection of each call

    def __len__(self) -> int:
        return len(self._calls)

    def add_below(self, calls: LazyTable) -> None:
        """Add calls below the threshold of the capture. Raises CorruptRecord if a column is damaged."""
        calls.unpack(_NAMES)
        self.below += calls.rows
        self._pack(calls, None)

    def add_connections(self, connections: LazyTable) -> None:
        """Add what these have in common."""
        rows = _distinct(connections.to_array(CONNECTION))
        self._hold(CONNECTION, rows[: self._room_for(CONNECTION, len(rows))])

    def add_recorded(self, calls: LazyTable, is_unlisted: npt.NDArray[np.bool_]) -> None:
        """Add those of the calls that are only below the threshold of the report. Raises CorruptRecord if a column is
        damaged."""
        if is_unlisted.any():
            calls.unpack(_NAMES)
            self._pack(calls, np.packbits(is_unlisted))

    def finish(self, starts: Integers, ends: Integers) -> None:
        """Find the calls that were open together with a listed one, and their connections. Listed calls began and ended
        at these times. Calls without a connection are left out."""
        open_times = CoveredTime(np.zeros(len(starts), np.intp), starts.astype(np.int64), ends.astype(np.int64))
        self._packed.reverse()
        while self._packed:  # each is freed once it is unpacked, so that little is in memory twice
            self._unpack(self._packed.pop(), open_times)
        calls, connections = (np.concatenate([np.zeros(0, row), *parts]) for row, parts in self._rows.items())
        self._rows.clear()
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

    def _pack(self, calls: LazyTable, bits: npt.NDArray[np.uint8] | None) -> None:
        packed = _Packed(calls.packed(), bits)
        self._packed.append(packed)
        self.nbytes += packed.calls.packed_size + (0 if bits is None else bits.nbytes) + tuning.PART_OVERHEAD

    def _unpack(self, packed: _Packed, open_times: CoveredTime) -> None:
        """Take the calls that were open together with a listed one."""
        calls, bits = packed
        if bits is None:
            calls.clamp_times()
            t3, wanted = calls["t3"], np.ones(calls.rows, np.bool_)
        else:
            calls.complete(self._rule)
            t3, wanted = ends_of(calls), np.unpackbits(bits, count=calls.rows).view(np.bool_)
        indices = np.flatnonzero(wanted & open_times.touches(calls["t0"].astype(np.int64), t3.astype(np.int64)))
        indices = indices[: self._room_for(SHORT, len(indices))]
        if not len(indices):  # then their other columns are not unpacked
            return
        taken = calls.take(indices)
        rows = taken.to_array(SHORT)
        rows["t3"] = t3[indices]
        self._hold(SHORT, rows)
        if bits is not None:
            self.add_connections(taken.take(taken.runs("connection", "pid")[0]))

    def _room_for(self, row: np.dtype[np.void], rows: int) -> int:
        """Return for how many of so many rows there is room; the others are counted as left out."""
        room = min(rows, tuning.MAX_UNLISTED - self._count[row])
        self.left_out += rows - room
        return room

    def _hold(self, row: np.dtype[np.void], rows: Array) -> None:
        self._count[row] += len(rows)
        self._rows[row].append(rows)
        self.nbytes += rows.nbytes


def _distinct(rows: Array) -> Array:
    """Return the distinct rows of CONNECTION; of several that differ only in the name of the process, which may have
    changed, the first."""
    names = [name for name in rows.dtype.names or () if name != "process"]
    words = [word for name in names for word in words_of(np.ascontiguousarray(rows[name]))]
    _, first = np.unique(Interner(len(words)).intern(*words), return_index=True)
    return rows[first]


def _key(rows: Array) -> list[npt.NDArray[np.uint64]]:
    return [np.ascontiguousarray(rows[name]).astype(np.uint64) for name in ("connection", "pid")]
