"""Look up which heads the calls of a capture have: the texts of their requests and responses.

The records that tell it come later in the file than the calls, but filters may ask for what is in a head. So all of
them are read before the first call. Columns of calls have the place of a text among all texts, from 1, or 0 if the head
is not known.
"""

from __future__ import annotations

from collections.abc import Set

import numpy as np
import numpy.typing as npt

from httpcapture import Heads, HeadText

from .call_keys import CallKeys
from .schema import ColumnsByName, Integers

Numbers = npt.NDArray[np.uint32]
_OVERHEAD = 160  # bytes of a text in memory, apart from its own


class CallHeads:
    """Hold the heads of one capture. Add all records, then call `finish` once."""

    def __init__(self) -> None:
        self.texts: list[bytes] = [b""]
        """The texts by their places. The first stands for a head that is not known."""
        self.ambiguous = set[int]()
        """Numbers of several texts, so that it is not known which one a call has."""
        self._by_number: dict[int, bytes] = {}
        self._keys = CallKeys()
        self._parts: list[tuple[Integers, Numbers, Numbers]] = []
        self._known = np.zeros(0, np.uint64)  # keys of the calls that have a head
        self._places = np.zeros((2, 0), np.uint32)  # of their requests and responses
        self._size = 0

    def __len__(self) -> int:
        """Return how many texts can be looked up."""
        return len(self.texts) - 1

    @property
    def nbytes(self) -> int:
        """Return roughly how many bytes the heads take in memory."""
        return self._size + self._keys.nbytes

    @property
    def numbers(self) -> Set[int]:
        """Return the numbers of all texts that were added, until `finish`."""
        return self._by_number.keys()

    def add_text(self, head: HeadText) -> None:
        """Add the text of a head."""
        if self._by_number.setdefault(head.number, head.text) != head.text:
            self.ambiguous.add(head.number)
        self._size += len(head.text) + _OVERHEAD

    def add(self, heads: Heads) -> None:
        """Add which heads calls have."""
        keys = self._keys.add(np.frombuffer(heads.connections, "<u8"), np.frombuffer(heads.sequences, "<u4"))
        requests, responses = (np.frombuffer(numbers, "<u4") for numbers in (heads.requests, heads.responses))
        self._parts.append((keys, requests, responses))
        self._size += keys.nbytes + requests.nbytes + responses.nbytes

    def finish(self) -> None:
        """Prepare the look-up."""
        known = sorted(self._by_number.keys() - self.ambiguous)
        self.texts += [self._by_number[number] for number in known]
        self._by_number.clear()
        none = np.zeros(0, np.uint32)
        keys, *columns = (np.concatenate(column) for column in zip((self._known, none, none), *self._parts))
        self._parts.clear()
        order = np.argsort(keys, kind="stable")  # of one call, later rows come later
        keys = keys[order]
        starts = np.flatnonzero(np.append(True, keys[1:] != keys[:-1])[: len(keys)])
        self._known = keys[starts]
        numbers = np.array([0, *known], np.uint32)
        self._places = np.stack([_places(numbers, _last_known(column[order], starts)) for column in columns])

    @property
    def requests(self) -> Numbers:
        """Return the places of the texts that are heads of requests, ascending."""
        places = np.unique(self._places[0])
        return np.asarray(places[places != 0], np.uint32)

    def find(self, calls: ColumnsByName, count: int) -> tuple[Numbers, Numbers]:
        """Return the places of the texts of the request and of the response of each of so many calls, which need the
        columns `connection` and `sequence`."""
        indices, places = self._keys.find(calls, self._known)
        found = np.zeros((2, count), np.uint32)
        found[:, indices] = self._places[:, places]
        return found[0], found[1]


def _last_known(numbers: Numbers, starts: npt.NDArray[np.intp]) -> Numbers:
    """Return of each run of rows, which begin at `starts`, the last number that is not 0, or 0."""
    rows = np.where(numbers != 0, np.arange(1, len(numbers) + 1), 0)
    last = np.maximum.reduceat(rows, starts) if len(starts) else rows
    return np.append(np.uint32(0), numbers)[last]


def _places(known: Numbers, numbers: Numbers) -> Numbers:
    """Return the index of each number in `known`, which is sorted, or 0 if it is not there."""
    places = np.minimum(np.searchsorted(known, numbers), len(known) - 1)
    return np.where(known[places] == numbers, places, 0).astype(np.uint32)
