"""Hold the calls that can be listed one by one: all that the filter keeps, or the longest if they are too many.

Totals are made of all kept calls (`totals.py`). A listed call takes 303 bytes, so their number is bounded. Most calls
that are listed for a while are not among the longest in the end. So calls stay packed as in the file, which takes a
tenth of the memory, as long as so many of their batch are listed that this is shorter.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ..common import tuning
from .durations import DurationRule
from .lazy_table import Column, Indices, LazyTable, split_by_part
from .schema import CALL, Array, Integers, duration_ns, ends_of

_NONE = np.zeros(0, np.uint64)


class ListedCalls:
    """Gather the calls of one capture. Per-call results are in the order of the file."""

    def __init__(self, rule: DurationRule) -> None:
        self._rule = rule
        self._shortest_ns = 0  # a shorter call is not taken any more
        self._parts: list[_Part] = []  # in the order of the file
        self._count = self._size = 0  # listed calls, and bytes of the parts

    def __len__(self) -> int:
        return self._count

    @property
    def nbytes(self) -> int:
        """Return about how many bytes the listed calls take in memory."""
        return self._size

    def add(self, calls: LazyTable) -> None:
        """Add kept calls, which are complete. Those shorter than the shortest that can still be listed are left
        out."""
        part = _Part.of(calls, self._shortest_ns, self._rule)
        self._parts.append(part)
        self._count += len(part.indices)
        self._size += part.nbytes
        if len(self._parts) % tuning.SMALL_PARTS_JOINED == 0:
            last = self._parts[-tuning.SMALL_PARTS_JOINED :]
            self._parts[-tuning.SMALL_PARTS_JOINED :] = joined = list(_join_small_parts(last))
            self._size += sum(part.nbytes for part in joined) - sum(part.nbytes for part in last)
        if self._count > tuning.MAX_LISTED + tuning.MAX_LISTED // 2:
            self._keep_longest()

    def finish(self) -> None:
        """Bound the list. Call it once all calls have been added."""
        if self._count > tuning.MAX_LISTED:
            self._keep_longest()

    @property
    def durations(self) -> Integers:
        """Return the duration of each listed call, in ns."""
        return np.concatenate([_NONE, *(part.durations for part in self._parts)])

    @property
    def starts(self) -> Integers:
        """Return t0 of each listed call, in ns on CLOCK_MONOTONIC."""
        return np.concatenate([_NONE, *(part.starts for part in self._parts)])

    @property
    def ends(self) -> Integers:
        """Return when each listed call ended (`ends_of`)."""
        return np.concatenate([_NONE, *(part.ends for part in self._parts)])

    def values(self, name: str) -> Column:
        """Return one column of the listed calls. It must not be one of the times, bytes or durations, which are not
        those of the whole calls here."""
        return np.concatenate([np.zeros(0, CALL[name]), *(part.values(name) for part in self._parts)])

    def rows(self) -> Array:
        """Return all listed calls (dtype CALL).

        From then on, the returned array is held instead of the packed calls.
        """
        rows, first = np.empty(self._count, CALL), 0
        heads, workloads = next(((part.calls.heads, part.calls.workloads) for part in self._parts), (None, None))
        self._parts.reverse()
        while self._parts:  # each part is freed once it is copied, so that little is in memory twice
            part = self._parts.pop()
            last = first + len(part.indices)
            part.rows(np.arange(len(part.indices))).fill(rows[first:last])
            first = last
        _clamp_t1(rows)
        self._parts = [_Part.of(LazyTable.of_rows(rows, heads, workloads), 0, self._rule)]
        return rows

    def rows_at(self, indices: Indices) -> Array:
        """Return what `rows` returns, but only the rows at these ascending indices, and without holding them."""
        rows = np.empty(len(indices), CALL)
        for number, rows_of_part, its_indices in split_by_part(indices, [len(part.indices) for part in self._parts]):
            self._parts[number].rows(its_indices).fill(rows[rows_of_part])
        _clamp_t1(rows)
        return rows

    def _keep_longest(self) -> None:
        """Keep the MAX_LISTED longest calls, and of equally long ones the earliest."""
        durations = self.durations
        shortest = np.partition(durations, len(durations) - tuning.MAX_LISTED)[len(durations) - tuning.MAX_LISTED]
        listed = durations > shortest
        equal = np.flatnonzero(durations == shortest)
        earliest = np.argsort(self.starts[equal], kind="stable")
        listed[equal[earliest[: tuning.MAX_LISTED - int(np.count_nonzero(listed))]]] = True
        ends = np.cumsum([len(part.indices) for part in self._parts])
        for number, kept in enumerate(np.split(listed, ends[:-1])):  # one by one, so that little is in memory twice
            self._parts[number] = self._parts[number].keep(kept)
        self._parts = list(_join_small_parts(self._parts))
        self._size = sum(part.nbytes for part in self._parts)
        self._shortest_ns, self._count = int(shortest), tuning.MAX_LISTED


@dataclass(frozen=True)
class _Part:
    """Hold some calls and which of them are listed."""

    calls: LazyTable
    indices: Indices
    durations: Integers  # of the listed calls, in ns
    starts: Integers  # their t0, in ns
    rule: DurationRule

    @classmethod
    def of(cls, calls: LazyTable, shortest_ns: int, rule: DurationRule) -> _Part:
        """Return a part that lists the calls which took at least `shortest_ns`."""
        durations = duration_ns(calls)
        indices = np.flatnonzero(durations >= np.uint64(shortest_ns))
        return cls(calls, indices, durations[indices], calls["t0"][indices], rule)._compact()

    @classmethod
    def joined_part(cls, parts: Sequence[_Part]) -> _Part:
        """Return one part for several that are not packed and list all of their calls."""
        calls = LazyTable.concatenated([part.calls for part in parts])
        durations, starts = zip(*((part.durations, part.starts) for part in parts))
        return cls(calls, np.arange(calls.rows), np.concatenate(durations), np.concatenate(starts), parts[0].rule)

    @property
    def is_small(self) -> bool:
        return self.calls.rows < tuning.SMALL_PART_ROWS and not self.calls.packed_size

    @property
    def nbytes(self) -> int:
        calls = self.calls.packed_size or self.calls.rows * CALL.itemsize
        return calls + 3 * self.indices.nbytes + tuning.PART_OVERHEAD

    @property
    def ends(self) -> Integers:
        if not self.rule.first_byte:
            return self.starts + self.durations
        calls = self.calls.packed()
        calls.complete(self.rule)
        return ends_of(calls)[self.indices].astype(np.uint64)

    def keep(self, listed: npt.NDArray[np.bool_]) -> _Part:
        """Return the part that lists only the listed calls that the mask selects."""
        durations, starts = self.durations[listed], self.starts[listed]
        return replace(self, indices=self.indices[listed], durations=durations, starts=starts)._compact()

    def rows(self, listed: Indices) -> LazyTable:
        """Return the listed calls at these indices. What is unpacked for that is not kept."""
        calls = self.calls.packed()
        calls.complete(self.rule)
        return calls.take(self.indices[listed])

    def values(self, name: str) -> Column:
        """Return one column of the listed calls. What is unpacked for that is not kept."""
        return self.calls.packed().values_at(name, self.indices)

    def _compact(self) -> _Part:
        """Return an equal part in the form that takes less memory: packed, or only the listed rows."""
        if len(self.indices) == self.calls.rows and not self.calls.packed_size:
            return self
        if 0 < self.calls.packed_size < len(self.indices) * CALL.itemsize:
            return replace(self, calls=self.calls.packed())
        self.calls.complete(self.rule)  # again, if they were packed
        return replace(self, calls=self.calls.take(self.indices), indices=np.arange(len(self.indices)))


def _join_small_parts(parts: Sequence[_Part]) -> Iterator[_Part]:
    """Yield the parts with runs of small ones joined: their many arrays would take more memory than the calls in
    them."""
    small: list[_Part] = []
    for part in parts:
        if small and not (part.is_small and len(small) < tuning.SMALL_PARTS_JOINED):
            yield _Part.joined_part(small)
            small = []
        if part.is_small:
            small.append(part)
        else:
            yield part
    if small:
        yield _Part.joined_part(small)


def _clamp_t1(rows: Array) -> None:
    np.clip(rows["t1"], rows["t0"], rows["t2"], out=rows["t1"])
