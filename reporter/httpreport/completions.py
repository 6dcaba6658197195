"""Completions tell how calls went on after t2. Those that wait are joined with their calls when all calls are there, by
(connection, sequence).

They are the same for all filters, so there may be far more of them than of calls: of those that no listed call wants
nothing but the key is decoded, and they are thrown away as soon as they are so old that their calls, which may
come a little later in the file, must have come.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from httpcapture import Completions, Outcome

from .calls import COMPLETION, LATEST_NS, Array, ByName, Integers
from .columns import Columns, Types
from .numbering import UNKNOWN, Numbering, Numbers, words_of

RECENT = 1 << 20  # completions whose calls may still come


class Waiting:
    """Completions of one capture, as they come."""

    def __init__(self) -> None:
        self._types: Types = {}
        self._batches: deque[Completions] = deque()  # packed
        self._rows = self._size = 0  # of them
        self._wanted: list[Columns] = []  # of those that are old

    @property
    def nbytes(self) -> int:
        return self._size + COMPLETION.itemsize * sum(wanted.rows for wanted in self._wanted)

    @property
    def many_are_old(self) -> bool:
        return self._rows > 2 * RECENT

    def add(self, batch: Completions, types: Types) -> None:
        """Raises CorruptRecord where a column is damaged."""
        self._types = types
        Columns(types, [batch], batch.rows).unpack()
        self._batches.append(replace(batch, columns=batch.columns.packed()))
        self._rows += batch.rows
        self._size += batch.columns.packed_size

    def forget(self, calls: ByName) -> None:
        """Those that are old and that none of these calls wants."""
        old: list[Completions] = []
        while self._rows - self._batches[0].rows >= RECENT:
            old.append(self._batches.popleft())
            self._rows -= old[-1].rows
            self._size -= old[-1].columns.packed_size
        if not old:
            return
        completions = self._columns(old)
        wanted, offered, distinct = _numbered_alike(calls, completions)
        asked_for = np.zeros(distinct + 1, np.bool_)
        asked_for[wanted] = True
        asked_for[UNKNOWN] = False
        self._wanted.append(completions.at(np.flatnonzero(asked_for[offered])))

    def join(self, calls: Array, *, all_known: bool) -> None:
        """Give calls (CALL) their t3, of several completions the latest. A call without one had t3 = t2; that is
        certain only if `all_known`, that is, no completion was lost."""
        outcome = calls["outcome"]
        calls["t3"] = calls["t2"]
        ended = (outcome == Outcome.EOF) | (outcome == Outcome.RESET) | (outcome == Outcome.CLOSED)
        calls["t3_known"] = ended | (all_known & (outcome == Outcome.ANSWERED))
        for completions in (*self._wanted, self._columns(list(self._batches))):
            if completions.rows and len(calls):
                _join(calls, completions)

    def _columns(self, batches: Sequence[Completions]) -> Columns:
        return Columns(self._types, batches, sum(batch.rows for batch in batches))


def _join(calls: Array, completions: Columns) -> None:
    """Of completions that come later in the file."""
    wanted, offered, distinct = _numbered_alike(calls, completions)
    useful = np.flatnonzero(offered != UNKNOWN)
    offered, completions = offered[useful], completions.at(useful)
    by_end = np.argsort(completions["t3"], kind="stable")
    latest = np.full(distinct, UNKNOWN)
    latest[offered[by_end]] = by_end
    places = np.flatnonzero((wanted != UNKNOWN) & (calls["outcome"] == Outcome.ANSWERED))
    chosen = latest[wanted[places]]
    places, chosen = places[chosen != UNKNOWN], chosen[chosen != UNKNOWN]
    t3 = completions["t3"][chosen]
    possible = (t3 >= calls["t3"][places]) & (t3 <= LATEST_NS)
    places, chosen = places[possible], chosen[possible]
    for name in ("t3", "sent", "received"):
        calls[name][places] = completions[name][chosen]
    calls["t3_known"][places] = True


def _numbered_alike(calls: ByName, completions: ByName) -> tuple[Numbers, Numbers, int]:
    """Numbers that are equal where a call and a completion belong together, and how many there are. The fewer of both
    are all numbered, of the others only those that belong to one of them."""
    keys = Numbering(2)
    if len(calls["connection"]) < len(completions["connection"]):
        return keys.number(*_key(calls)), keys.find(*_key(completions)), len(keys)
    offered = keys.number(*_key(completions))
    return keys.find(*_key(calls)), offered, len(keys)


def _key(rows: ByName) -> list[Integers]:
    return [*words_of(rows["connection"]), *words_of(rows["sequence"])]
