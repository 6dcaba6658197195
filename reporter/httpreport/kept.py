"""The calls that can be listed one by one: all that the filter keeps, and where they are too many the longest.

Sums are made of all of them (`sums.py`); what is listed takes 212 bytes a call, so there is a limit.
"""

from __future__ import annotations

import numpy as np

from httpcapture import Completions

from .calls import CALL, Array, Integers, duration_ns
from .columns import Columns, Types
from .completions import Waiting

MAX_LISTED = 2_000_000  # calls; up to a quarter more are held for a time, in 0.5 GB
PART_OVERHEAD = 4 << 10  # bytes that the arrays of some calls take beside their values, about


class Listed:
    """Gathers calls and completions of one capture."""

    def __init__(self) -> None:
        self._shortest_ns = 0  # that is still taken
        self._parts: list[Columns] = []  # of the calls, in their order
        self._count = 0
        self._completions = Waiting()

    @property
    def nbytes(self) -> int:
        return self._count * CALL.itemsize + len(self._parts) * PART_OVERHEAD + self._completions.nbytes

    def add(self, calls: Columns) -> None:
        if self._shortest_ns:
            calls = calls.at(np.flatnonzero(duration_ns(calls) >= np.uint64(self._shortest_ns)))
        self._parts.append(calls.whole())
        self._count += calls.rows
        if self._count > MAX_LISTED + MAX_LISTED // 4:
            self._leave_out()

    def complete(self, batch: Completions, types: Types) -> None:
        """Raises CorruptRecord where a column is damaged."""
        self._completions.add(batch, types)
        if self._completions.many_are_old:
            self._completions.forget({name: self._of_all(name) for name in ("connection", "sequence")})

    def calls(self, *, all_known: bool) -> Array:
        """Those listed, in the order of the file, with their completions. They are the caller's then."""
        if self._count > MAX_LISTED:
            self._leave_out()
        calls, first = np.zeros(self._count, CALL), 0
        self._parts.reverse()
        while self._parts:  # these go as they are copied: little is there twice
            part = self._parts.pop()
            part.fill(calls[first : first + part.rows])
            first += part.rows
        np.clip(calls["t1"], calls["t0"], calls["t2"], out=calls["t1"])
        self._completions.join(calls, all_known=all_known)
        return calls

    def _leave_out(self) -> None:
        """Keep the longest calls, of equally long ones the earliest."""
        durations = np.concatenate([duration_ns(part) for part in self._parts])
        shortest = np.partition(durations, len(durations) - MAX_LISTED)[len(durations) - MAX_LISTED]
        listed = durations > shortest
        equal = np.flatnonzero(durations == shortest)
        earliest = np.argsort(self._of_all("t0")[equal], kind="stable")
        listed[equal[earliest[: MAX_LISTED - int(np.count_nonzero(listed))]]] = True
        first = 0
        for number, part in enumerate(self._parts):
            self._parts[number] = part.at(np.flatnonzero(listed[first : first + part.rows]))
            first += part.rows
        self._shortest_ns, self._count = int(shortest), MAX_LISTED

    def _of_all(self, name: str) -> Integers:
        return np.concatenate([np.zeros(0, np.uint64), *(part[name] for part in self._parts)])
