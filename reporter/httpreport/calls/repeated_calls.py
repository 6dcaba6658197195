"""Find calls that a completion cannot tell apart, because they have the same connection and sequence."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..common.interning import Interner, Words, words_of
from .schema import ColumnsByName

MAX_KEYS = 1 << 24  # keys of calls and completions that are compared: 8 bytes each
MAX_CONNECTIONS = 1 << 22


class RepeatedCalls:
    """Gather the keys of calls and completions. If there are too many, only the first are compared, and `is_full` is
    true."""

    def __init__(self) -> None:
        self.is_full = False
        self._connections = Interner()
        self._calls, self._completions = [np.zeros(0, np.uint64)], [np.zeros(0, np.uint64)]
        self._count = 0

    def add_calls(self, calls: ColumnsByName) -> None:
        """Add the keys of calls, which need the columns `connection` and `sequence`."""
        self._calls.append(self._keys(calls["connection"], calls["sequence"]))

    def add_completions(self, completions: ColumnsByName) -> None:
        """Add the keys of completions, which need the columns `connection` and `sequence`."""
        self._completions.append(self._keys(completions["connection"], completions["sequence"]))

    def _keys(self, connections: Any, sequences: Any) -> Words:
        """Return for each row one word: the number of its connection, and its sequence."""
        self._count += len(connections)
        self.is_full |= self._count > MAX_KEYS or len(self._connections) > MAX_CONNECTIONS
        if self.is_full or not len(connections):
            return np.zeros(0, np.uint64)
        begins = np.concatenate([[True], connections[1:] != connections[:-1]])  # rows of one connection come together
        numbers = self._connections.intern(*words_of(connections[begins]))[np.cumsum(begins) - 1]
        return np.asarray(numbers.astype(np.uint64) << np.uint64(32) | sequences)

    def any(self) -> bool:
        """Return whether two calls have the same key."""
        return bool(len(self._repeated()[0]))

    def count(self) -> int:
        """Return how many calls share the key of a completion with another call."""
        keys, counts = self._repeated()
        return int(counts[np.isin(keys, np.concatenate(self._completions))].sum())

    def _repeated(self) -> tuple[Words, Any]:
        """Return the keys that several calls have, and how many calls have each."""
        keys, counts = np.unique(np.concatenate(self._calls), return_counts=True)
        return keys[counts > 1], counts[counts > 1]
