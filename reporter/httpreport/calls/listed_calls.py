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

from ..common import tuning
from .columns import Column, Columns, Places, Types, shared
from .completions import Waiting
from .repeated_calls import Repeated
from .schema import CALL, RECORDED, Array, Integers, duration_ns

_NONE = np.zeros(0, np.uint64)


class Listed:
    """Gathers calls and completions of one capture."""

    def __init__(self) -> None:
        self._shortest_ns = 0  # that is still taken
        self._parts: list[_Part] = []  # in the order of the file
        self._count = self._size = 0  # of what is listed, and bytes of the parts
        self._completions = Waiting()

    def __len__(self) -> int:
        return self._count

    @property
    def nbytes(self) -> int:
        return self._size + self._completions.nbytes

    def add(self, calls: Columns) -> None:
        part = _Part.of(calls, self._shortest_ns)
        self._parts.append(part)
        self._count += len(part.places)
        self._size += part.nbytes
        if len(self._parts) % tuning.SMALL_PARTS == 0:
            last = self._parts[-tuning.SMALL_PARTS :]
            self._parts[-tuning.SMALL_PARTS :] = together = list(_together(last))
            self._size += sum(part.nbytes for part in together) - sum(part.nbytes for part in last)
        if self._count > tuning.MAX_LISTED + tuning.MAX_LISTED // 2:
            self._leave_out()

    def complete(self, batch: Completions, types: Types) -> None:
        """Raises CorruptRecord where a column is damaged."""
        self._completions.add(batch, types)
        if self._completions.many_are_old:
            self._completions.forget({name: self.values(name) for name in ("connection", "sequence")})

    def end(self) -> None:
        """Once all calls are there."""
        if self._count > tuning.MAX_LISTED:
            self._leave_out()

    @property
    def durations(self) -> Integers:
        """Of those that are listed, in the order of the file; as everywhere here."""
        return np.concatenate([_NONE, *(part.durations for part in self._parts)])

    @property
    def began(self) -> Integers:
        """Their t0."""
        return np.concatenate([_NONE, *(part.began for part in self._parts)])

    def values(self, name: str) -> Column:
        """A column of RECORDED, but not of times."""
        return np.concatenate([np.zeros(0, RECORDED[name]), *(part.values(name) for part in self._parts)])

    def repeated(self) -> int:
        """Return how many of them share the key of a completion with another one."""
        repeated = Repeated()
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
            last = first + len(part.places)
            part.rows(np.arange(len(part.places))).fill(rows[first:last])
            first = last
        self._complete(rows, all_known=all_known)
        self._parts = [_Part.of(Columns.of(rows), 0)]
        return rows

    def some_rows(self, places: Places, *, all_known: bool) -> Array:
        """As `rows`, but only those at these places, which ascend."""
        rows = np.empty(len(places), CALL)
        for number, those, its_places in shared(places, [len(part.places) for part in self._parts]):
            self._parts[number].rows(its_places).fill(rows[those])
        self._complete(rows, all_known=all_known)
        return rows

    def _complete(self, rows: Array, *, all_known: bool) -> None:
        np.clip(rows["t1"], rows["t0"], rows["t2"], out=rows["t1"])
        self._completions.join(rows, all_known=all_known)

    def _leave_out(self) -> None:
        """Keep the longest calls, of equally long ones the earliest."""
        durations = self.durations
        shortest = np.partition(durations, len(durations) - tuning.MAX_LISTED)[len(durations) - tuning.MAX_LISTED]
        listed = durations > shortest
        equal = np.flatnonzero(durations == shortest)
        earliest = np.argsort(self.began[equal], kind="stable")
        listed[equal[earliest[: tuning.MAX_LISTED - int(np.count_nonzero(listed))]]] = True
        ends = np.cumsum([len(part.places) for part in self._parts])
        for number, those in enumerate(np.split(listed, ends[:-1])):  # one by one: little is there twice
            self._parts[number] = self._parts[number].only(those)
        self._parts = list(_together(self._parts))
        self._size = sum(part.nbytes for part in self._parts)
        self._shortest_ns, self._count = int(shortest), tuning.MAX_LISTED


@dataclass(frozen=True)
class _Part:
    """Some calls, those of them that are listed."""

    calls: Columns
    places: Places
    durations: Integers  # of those that are listed
    began: Integers  # their t0

    @classmethod
    def of(cls, calls: Columns, shortest_ns: int) -> _Part:
        """Those that took at least so long."""
        durations = duration_ns(calls)
        places = np.flatnonzero(durations >= np.uint64(shortest_ns))
        return cls(calls, places, durations[places], calls["t0"][places])._small()

    @classmethod
    def one(cls, parts: Sequence[_Part]) -> _Part:
        """Of parts that are not packed, of which all calls are listed."""
        calls = Columns.together([part.calls for part in parts])
        durations, began = zip(*((part.durations, part.began) for part in parts))
        return cls(calls, np.arange(calls.rows), np.concatenate(durations), np.concatenate(began))

    @property
    def is_little(self) -> bool:
        return self.calls.rows < tuning.SMALL_PART and not self.calls.packed_size

    @property
    def nbytes(self) -> int:
        calls = self.calls.packed_size or self.calls.rows * CALL.itemsize
        return calls + 3 * self.places.nbytes + tuning.PART_OVERHEAD

    def only(self, listed: npt.NDArray[np.bool_]) -> _Part:
        """Of those that are listed these."""
        return _Part(self.calls, self.places[listed], self.durations[listed], self.began[listed])._small()

    def rows(self, listed: Places) -> Columns:
        """Those of the listed ones; what is unpacked for that does not stay, as with `values`."""
        calls = self.calls.packed()
        calls.make_possible()
        return calls.at(self.places[listed])

    def values(self, name: str) -> Column:
        """Of those that are listed."""
        return self.calls.packed().some(name, self.places)

    def _small(self) -> _Part:
        """The same in little memory."""
        if len(self.places) == self.calls.rows and not self.calls.packed_size:
            return self
        if 0 < self.calls.packed_size < len(self.places) * CALL.itemsize:
            return replace(self, calls=self.calls.packed())
        self.calls.make_possible()  # again, if they were packed
        return replace(self, calls=self.calls.at(self.places), places=np.arange(len(self.places)))


def _together(parts: Sequence[_Part]) -> Iterator[_Part]:
    """Little ones that follow one another become one: so many arrays would take more than the calls in them."""
    little: list[_Part] = []
    for part in parts:
        if little and not (part.is_little and len(little) < tuning.SMALL_PARTS):
            yield _Part.one(little)
            little = []
        if part.is_little:
            little.append(part)
        else:
            yield part
    if little:
        yield _Part.one(little)
