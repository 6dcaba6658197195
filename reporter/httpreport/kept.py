"""The calls that can be listed one by one: all that the filter keeps, and where they are too many the longest.

Sums are made of all of them (`sums.py`); what is listed takes 212 bytes a call, so there is a limit. Completions are
joined at the end. One that no listed call wants is thrown away as soon as it is so old that its call, which may come a
little later in the file, must have come.
"""

from __future__ import annotations

import numpy as np

from .calls import CALL, COMPLETION, Array, complete, duration_ns, numbered_alike
from .columns import Columns
from .numbering import UNKNOWN

MAX_LISTED = 2_000_000  # calls; up to twice as many are held for a time, in 0.8 GB
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
        if self._calls.count > 2 * MAX_LISTED:
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
        calls = self._calls.taken()
        durations = duration_ns(calls)
        shortest = np.partition(durations, len(calls) - MAX_LISTED)[len(calls) - MAX_LISTED]
        listed = durations > shortest
        equal = np.flatnonzero(durations == shortest)
        earliest = np.argsort(calls["t0"][equal], kind="stable")
        listed[equal[earliest[: MAX_LISTED - int(np.count_nonzero(listed))]]] = True
        self._shortest_ns = int(shortest)
        self._calls.add(calls[listed])

    def _forget(self) -> None:
        calls, completions = self._calls.taken(), self._completions.taken()
        wanted, offered, distinct = numbered_alike(calls, completions)
        asked_for = np.zeros(distinct + 1, np.bool_)
        asked_for[wanted] = True
        asked_for[UNKNOWN] = False
        needed = asked_for[offered]
        needed[-RECENT:] = True
        self._calls.add(calls)
        self._completions.add(completions[needed])
        self._room = 2 * max(self._completions.count, RECENT)


class _Rows:
    """Rows in the order in which they came."""

    def __init__(self, dtype: np.dtype[np.void]) -> None:
        self.count = 0
        self._dtype = dtype
        self._blocks: list[Array] = []

    @property
    def nbytes(self) -> int:
        return self.count * self._dtype.itemsize

    def add(self, rows: Array) -> None:
        self._blocks.append(rows)
        self.count += len(rows)

    def taken(self) -> Array:
        """All of them as one array; they are the caller's then. Blocks go as they are copied: little is there twice."""
        rows, at = np.empty(self.count, self._dtype), 0
        plain = rows.view(np.dtype((np.void, self._dtype.itemsize)))  # whole rows are copied faster than fields
        self._blocks.reverse()
        while self._blocks:
            block = self._blocks.pop()
            plain[at : at + len(block)] = block.view(plain.dtype)
            at += len(block)
        self.count = 0
        return rows
