"""The calls that can be listed one by one: all that the filter keeps, and where they are too many the longest.

Sums are made of all of them (`sums.py`); what is listed takes 212 bytes a call, so there is a limit. Completions are
joined at the end. One that no listed call wants is thrown away as soon as it is so old that its call, which may come a
little later in the file, must have come.
"""

from __future__ import annotations

from operator import itemgetter
from typing import Any, Callable

import numpy as np
import numpy.typing as npt

from .calls import CALL, COMPLETION, Array, complete, duration_ns, numbered_alike
from .columns import Columns
from .numbering import UNKNOWN

MAX_LISTED = 2_000_000  # calls; up to a quarter more are held for a time, in 0.5 GB
RECENT = 1 << 20  # completions that wait for their calls


class Listed:
    """Gathers calls and completions of one capture."""

    def __init__(self) -> None:
        self._shortest_ns = 0  # that is still taken
        self._calls = _Rows(CALL)
        self._completions = _Rows(COMPLETION)
        self._room = 2 * RECENT

    @property
    def nbytes(self) -> int:
        return self._calls.nbytes + self._completions.nbytes

    def add(self, calls: Columns) -> None:
        if self._shortest_ns:
            calls = calls.at(np.flatnonzero(duration_ns(calls) >= np.uint64(self._shortest_ns)))
        rows = calls.array(CALL)
        np.clip(rows["t1"], rows["t0"], rows["t2"], out=rows["t1"])
        self._calls.add(rows)
        if self._calls.count > MAX_LISTED + MAX_LISTED // 4:
            self._leave_out()

    def complete(self, batches: Columns) -> None:
        self._completions.add(batches.array(COMPLETION))
        if self._completions.count > self._room:
            self._forget()

    def calls(self, *, all_known: bool) -> Array:
        """Those listed, in the order of the file, with their completions."""
        if self._calls.count > MAX_LISTED:
            self._leave_out()
        calls = self._calls.taken()
        complete(calls, self._completions.taken(), all_known=all_known)
        return calls

    def _leave_out(self) -> None:
        """Keep the longest calls, of equally long ones the earliest."""
        durations = self._calls.of_each(duration_ns)
        shortest = np.partition(durations, len(durations) - MAX_LISTED)[len(durations) - MAX_LISTED]
        listed = durations > shortest
        equal = np.flatnonzero(durations == shortest)
        earliest = np.argsort(self._calls.of_each(itemgetter("t0"))[equal], kind="stable")
        listed[equal[earliest[: MAX_LISTED - int(np.count_nonzero(listed))]]] = True
        self._shortest_ns = int(shortest)
        self._calls.keep(listed)

    def _forget(self) -> None:
        completions = self._completions.taken()
        keys = np.empty(self._calls.count, [(name, CALL[name]) for name in ("connection", "sequence")])
        for name in ("connection", "sequence"):
            keys[name] = self._calls.of_each(itemgetter(name))
        wanted, offered, distinct = numbered_alike(keys, completions)
        asked_for = np.zeros(distinct + 1, np.bool_)
        asked_for[wanted] = True
        asked_for[UNKNOWN] = False
        needed = asked_for[offered]
        needed[-RECENT:] = True
        self._completions.add(completions[needed])
        self._room = 2 * max(self._completions.count, RECENT)


class _Rows:
    """Rows in the order in which they came."""

    def __init__(self, dtype: np.dtype[np.void]) -> None:
        self.count = 0
        self._dtype = dtype
        self._plain = np.dtype((np.void, dtype.itemsize))  # whole rows are copied faster than fields
        self._blocks: list[Array] = []

    @property
    def nbytes(self) -> int:
        return self.count * self._dtype.itemsize

    def add(self, rows: Array) -> None:
        self._blocks.append(rows)
        self.count += len(rows)

    def of_each(self, field: Callable[[Array], npt.NDArray[Any]]) -> npt.NDArray[Any]:
        """What this tells of each row."""
        return np.concatenate([field(block) for block in (np.empty(0, self._dtype), *self._blocks)])

    def keep(self, kept: npt.NDArray[np.bool_]) -> None:
        """Only these rows. Block by block: nothing is there twice."""
        first = 0
        for number, block in enumerate(self._blocks):
            last = first + len(block)
            self._blocks[number] = block.view(self._plain)[kept[first:last]].view(self._dtype)
            first = last
        self.count = int(np.count_nonzero(kept))

    def taken(self) -> Array:
        """All of them as one array; they are the caller's then. Blocks go as they are copied: little is there twice."""
        rows, at = np.empty(self.count, self._dtype), 0
        plain = rows.view(self._plain)
        self._blocks.reverse()
        while self._blocks:
            block = self._blocks.pop()
            plain[at : at + len(block)] = block.view(self._plain)
            at += len(block)
        self.count = 0
        return rows
