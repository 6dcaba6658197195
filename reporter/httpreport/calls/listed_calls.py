"""The calls that can be listed one by one: all that the filter keeps, and where they are too many the longest.

Sums are made of all of them (`sums.py`); what is listed takes 212 bytes a call, so there is a limit. Most of those that
are listed for a time are not among the longest at the end, so calls stay packed as they were in the file, ten times
shorter, as long as so many of their batch are listed that this is shorter indeed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from httpcapture import Completions

from .completions import PendingCompletions
from .lazy_table import Column, ColumnTypes, Indices, LazyTable, split_by_part
from .repeated_calls import RepeatedCalls
from .schema import CALL, RECORDED, Array, Integers, duration_ns

MAX_LISTED = 2_000_000  # calls; for a time up to half more
PART_OVERHEAD = 4 << 10  # bytes that the arrays of a part take beside their values, about
SMALL_PART_ROWS = 1 << 10  # calls in a part
SMALL_PARTS_JOINED = 16  # little parts that become one
_NONE = np.zeros(0, np.uint64)


class ListedCalls:
    """Gathers calls and completions of one capture."""

    def __init__(self) -> None:
        self._shortest_ns = 0  # that is still taken
        self._parts: list[_Part] = []  # in the order of the file
        self._count = self._size = 0  # of what is listed, and bytes of the parts
        self._completions = PendingCompletions()

    def __len__(self) -> int:
        return self._count

    @property
    def nbytes(self) -> int:
        return self._size + self._completions.nbytes

    def add(self, calls: LazyTable) -> None:
        part = _Part.of(calls, self._shortest_ns)
        self._parts.append(part)
        self._count += len(part.indices)
        self._size += part.nbytes
        if len(self._parts) % SMALL_PARTS_JOINED == 0:
            last = self._parts[-SMALL_PARTS_JOINED:]
            self._parts[-SMALL_PARTS_JOINED:] = joined = list(_join_small_parts(last))
            self._size += sum(part.nbytes for part in joined) - sum(part.nbytes for part in last)
        if self._count > MAX_LISTED + MAX_LISTED // 2:
            self._keep_longest()

    def add_completions(self, batch: Completions, types: ColumnTypes) -> None:
        """Raises CorruptRecord where a column is damaged."""
        self._completions.add(batch, types)
        if self._completions.has_many_old:
            self._completions.drop_unclaimed({name: self.values(name) for name in ("connection", "sequence")})

    def finish(self) -> None:
        """Once all calls are there."""
        if self._count > MAX_LISTED:
            self._keep_longest()

    @property
    def durations(self) -> Integers:
        """Of those that are listed, in the order of the file; as everywhere here."""
        return np.concatenate([_NONE, *(part.durations for part in self._parts)])

    @property
    def starts(self) -> Integers:
        """Their t0."""
        return np.concatenate([_NONE, *(part.starts for part in self._parts)])

    def values(self, name: str) -> Column:
        """A column of RECORDED, but not of times."""
        return np.concatenate([np.zeros(0, RECORDED[name]), *(part.values(name) for part in self._parts)])

    def repeated(self) -> int:
        """Return how many of them share the key of a completion with another one."""
        repeated = RepeatedCalls()
        repeated.add_calls({name: self.values(name) for name in ("connection", "sequence")})
        if not repeated.any():
            return 0
        repeated.add_completions(self._completions.keys())
        return repeated.count()

    def rows(self, *, all_known: bool) -> Array:
        """All, with their completions (CALL), which are held instead of what is packed from then on. `all_known`: no
        completion was lost."""
        rows, first = np.empty(self._count, CALL), 0
        self._parts.reverse()
        while self._parts:  # they go as they are copied: little is there twice
            part = self._parts.pop()
            last = first + len(part.indices)
            part.rows(np.arange(len(part.indices))).fill(rows[first:last])
            first = last
        self._complete(rows, all_known=all_known)
        self._parts = [_Part.of(LazyTable.of_rows(rows), 0)]
        return rows

    def rows_at(self, indices: Indices, *, all_known: bool) -> Array:
        """As `rows`, but only those at these places, which ascend."""
        rows = np.empty(len(indices), CALL)
        for number, those, its_indices in split_by_part(indices, [len(part.indices) for part in self._parts]):
            self._parts[number].rows(its_indices).fill(rows[those])
        self._complete(rows, all_known=all_known)
        return rows

    def _complete(self, rows: Array, *, all_known: bool) -> None:
        np.clip(rows["t1"], rows["t0"], rows["t2"], out=rows["t1"])
        self._completions.join(rows, all_known=all_known)

    def _keep_longest(self) -> None:
        """Keep the longest calls, of equally long ones the earliest."""
        durations = self.durations
        shortest = np.partition(durations, len(durations) - MAX_LISTED)[len(durations) - MAX_LISTED]
        listed = durations > shortest
        equal = np.flatnonzero(durations == shortest)
        earliest = np.argsort(self.starts[equal], kind="stable")
        listed[equal[earliest[: MAX_LISTED - int(np.count_nonzero(listed))]]] = True
        ends = np.cumsum([len(part.indices) for part in self._parts])
        for number, those in enumerate(np.split(listed, ends[:-1])):  # one by one: little is there twice
            self._parts[number] = self._parts[number].keep(those)
        self._parts = list(_join_small_parts(self._parts))
        self._size = sum(part.nbytes for part in self._parts)
        self._shortest_ns, self._count = int(shortest), MAX_LISTED


@dataclass(frozen=True)
class _Part:
    """Some calls, those of them that are listed."""

    calls: LazyTable
    indices: Indices
    durations: Integers  # of those that are listed
    starts: Integers  # their t0

    @classmethod
    def of(cls, calls: LazyTable, shortest_ns: int) -> _Part:
        """Those that took at least so long."""
        durations = duration_ns(calls)
        indices = np.flatnonzero(durations >= np.uint64(shortest_ns))
        return cls(calls, indices, durations[indices], calls["t0"][indices])._compact()

    @classmethod
    def joined_part(cls, parts: Sequence[_Part]) -> _Part:
        """Of parts that are not packed, of which all calls are listed."""
        calls = LazyTable.concatenated([part.calls for part in parts])
        durations, starts = zip(*((part.durations, part.starts) for part in parts))
        return cls(calls, np.arange(calls.rows), np.concatenate(durations), np.concatenate(starts))

    @property
    def is_small(self) -> bool:
        return self.calls.rows < SMALL_PART_ROWS and not self.calls.packed_size

    @property
    def nbytes(self) -> int:
        calls = self.calls.packed_size or self.calls.rows * CALL.itemsize
        return calls + 3 * self.indices.nbytes + PART_OVERHEAD

    def keep(self, listed: npt.NDArray[np.bool_]) -> _Part:
        """Of those that are listed these."""
        return _Part(self.calls, self.indices[listed], self.durations[listed], self.starts[listed])._compact()

    def rows(self, listed: Indices) -> LazyTable:
        """Those of the listed ones; what is unpacked for that does not stay, as with `values`."""
        calls = self.calls.packed()
        calls.clamp_times()
        return calls.take(self.indices[listed])

    def values(self, name: str) -> Column:
        """Of those that are listed."""
        return self.calls.packed().values_at(name, self.indices)

    def _compact(self) -> _Part:
        """The same in little memory."""
        if len(self.indices) == self.calls.rows and not self.calls.packed_size:
            return self
        if 0 < self.calls.packed_size < len(self.indices) * CALL.itemsize:
            return replace(self, calls=self.calls.packed())
        self.calls.clamp_times()  # again, if they were packed
        return replace(self, calls=self.calls.take(self.indices), indices=np.arange(len(self.indices)))


def _join_small_parts(parts: Sequence[_Part]) -> Iterator[_Part]:
    """Little ones that follow one another become one: so many arrays would take more than the calls in them."""
    small: list[_Part] = []
    for part in parts:
        if small and not (part.is_small and len(small) < SMALL_PARTS_JOINED):
            yield _Part.joined_part(small)
            small = []
        if part.is_small:
            small.append(part)
        else:
            yield part
    if small:
        yield _Part.joined_part(small)
