"""Join completions, which say how calls went on after t2, with their calls by (connection, sequence).

Completions are recorded for all processes and durations, so they may far outnumber the kept calls. Of parts with no
completion that a listed call needs, only the keys are decoded; they are dropped once they are so old that their calls,
which may come a little later in the file, must have been read.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np

from httpcapture import Completions, Outcome

from ..common import tuning
from ..common.interning import UNKNOWN, Interner, Numbers, words_of
from .lazy_table import Column, ColumnTypes, Indices, LazyTable, split_by_part
from .schema import COMPLETION, LATEST_NS, Array, ColumnsByName, Integers


class PendingCompletions:
    """Gather the completions of one capture until all calls have been read."""

    def __init__(self) -> None:
        self._types: ColumnTypes = {}
        self._parts: deque[LazyTable] = deque()
        self._rows = self._size = 0  # rows and bytes of the parts
        self._short: list[Completions] = []  # batches that wait to become a part
        self._wanted: list[LazyTable] = []  # old completions that a listed call needs

    @property
    def nbytes(self) -> int:
        """Return roughly how many bytes they take in memory."""
        return self._size + COMPLETION.itemsize * sum(wanted.rows for wanted in self._wanted)

    @property
    def has_many_old(self) -> bool:
        """Return whether so many completions are old that `drop_unclaimed` is worth its cost."""
        return self._rows > 2 * tuning.RECENT_COMPLETIONS

    def add(self, batch: Completions, types: ColumnTypes) -> None:
        """Add a batch. Raises CorruptRecord if a column is damaged."""
        self._types = types
        part = LazyTable(types, [batch], batch.rows)
        part.unpack()
        if part.packed_size < batch.rows * COMPLETION.itemsize:
            self._append(part.packed())
        elif batch.rows:
            self._short.append(batch)
            if len(self._short) == tuning.SHORT_BATCHES_JOINED:
                self._gather()

    def drop_unclaimed(self, calls: ColumnsByName) -> None:
        """Drop the old completions whose keys none of these calls has."""
        old: list[LazyTable] = []
        while self._rows - self._parts[0].rows >= tuning.RECENT_COMPLETIONS:
            old.append(self._parts.popleft())
            self._rows -= old[-1].rows
            self._size -= _size(old[-1])
        if old:
            wanted, offered, distinct = _intern_alike(calls, _keys(old))
            asked_for = np.zeros(distinct + 1, np.bool_)
            asked_for[wanted] = True
            asked_for[UNKNOWN] = False
            self._wanted.append(_take(old, np.flatnonzero(asked_for[offered])))

    def join(self, calls: Array, *, all_known: bool) -> None:
        """Set t3 of calls (dtype CALL) by their completions, by the latest if a call has several.

        A call without a completion has t3 = t2. That is certain only if `all_known`: no completion was lost.
        """
        outcome = calls["outcome"]
        calls["t3"] = calls["t2"]
        ended = (outcome == Outcome.EOF) | (outcome == Outcome.RESET) | (outcome == Outcome.CLOSED)
        calls["t3_known"] = ended | (all_known & (outcome == Outcome.ANSWERED))
        parts = self._all()
        if parts and len(calls):
            _join(calls, parts)

    def keys(self) -> ColumnsByName:
        """Return `connection` and `sequence` of each completion that a listed call may need."""
        parts = self._all()
        return _keys(parts) if parts else np.zeros(0, COMPLETION)

    def _all(self) -> list[LazyTable]:
        self._gather()
        return [*self._wanted, *self._parts]

    def _append(self, part: LazyTable) -> None:
        self._parts.append(part)
        self._rows += part.rows
        self._size += _size(part)

    def _gather(self) -> None:
        if self._short:
            rows = sum(batch.rows for batch in self._short)
            self._append(LazyTable(self._types, self._short, rows).take(np.arange(rows)))
            self._short = []


def _size(part: LazyTable) -> int:
    """Return the bytes that a table takes in memory."""
    return part.packed_size or part.rows * COMPLETION.itemsize


def _keys(parts: Sequence[LazyTable]) -> dict[str, Column]:
    """Return the key columns of all parts, each as one array."""
    return {name: np.concatenate([part.packed()[name] for part in parts]) for name in ("connection", "sequence")}


def _take(parts: Sequence[LazyTable], indices: Indices) -> LazyTable:
    """Return the rows at these ascending indices of the parts taken together; there is at least one part."""
    shares = split_by_part(indices, [part.rows for part in parts])
    taken = [parts[number].packed().take(its_indices) for number, _, its_indices in shares]
    return LazyTable.concatenated(taken or [parts[0].take(indices)])


def _join(calls: Array, parts: Sequence[LazyTable]) -> None:
    """Set t3, sent, received and t3_known of the calls for which a possible completion was found."""
    wanted, offered, distinct = _intern_alike(calls, _keys(parts))
    useful = np.flatnonzero(offered != UNKNOWN)
    completions = _take(parts, useful)
    possible = np.flatnonzero(completions["t3"] <= LATEST_NS)
    by_end = possible[np.argsort(completions["t3"][possible], kind="stable")]
    latest = np.full(distinct, UNKNOWN)
    latest[offered[useful][by_end]] = by_end
    indices = np.flatnonzero((wanted != UNKNOWN) & (calls["outcome"] == Outcome.ANSWERED))
    chosen = latest[wanted[indices]]
    indices, chosen = indices[chosen != UNKNOWN], chosen[chosen != UNKNOWN]
    later = completions["t3"][chosen] >= calls["t2"][indices]
    indices, chosen = indices[later], chosen[later]
    for name in ("t3", "sent", "received"):
        calls[name][indices] = completions[name][chosen]
    calls["t3_known"][indices] = True


def _intern_alike(calls: ColumnsByName, completions: ColumnsByName) -> tuple[Numbers, Numbers, int]:
    """Return numbers that are equal if a call and a completion have equal keys, and how many keys there are.

    The smaller side is interned; of the other side only the keys that are known get a number.
    """
    keys = Interner(2)
    if len(calls["connection"]) < len(completions["connection"]):
        return keys.intern(*_key(calls)), keys.find(*_key(completions)), len(keys)
    offered = keys.intern(*_key(completions))
    return keys.find(*_key(calls)), offered, len(keys)


def _key(rows: ColumnsByName) -> list[Integers]:
    return [*words_of(rows["connection"]), *words_of(rows["sequence"])]
