"""Look up when the responses of calls ended, and how many bytes they had by then.

A completion comes later in the file than its call, often much later, but the duration of a call decides whether it is
kept. So all completions are read before the first call. They may be as many as the calls and are of all processes and
durations; hence each takes 32 bytes at most, in arrays that are sorted by call.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..common import tuning
from .call_keys import CallKeys, Indices
from .schema import COMPLETION, LATEST_NS, ColumnsByName, Integers, equal_neighbours

_VALUES = ("t3", "sent", "received")


class CallEnds:
    """Hold the last completion of each call of one capture. Add all of them, then call `finish` once."""

    def __init__(self) -> None:
        self.left_out = 0
        """How many completions were not added because there were too many."""
        self.repeated = 0
        """How many of the counted calls have a completion that another one has too."""
        self._keys = CallKeys()
        self._waiting: dict[str, list[npt.NDArray[Any]]] = {name: [] for name in ("key", *_VALUES)}
        self._columns = {name: np.zeros(0, np.uint64) for name in ("key", *_VALUES)}
        self._uses = np.zeros(0, np.uint8)  # by how many counted calls each is used: none, one, or several
        self._rows = 0

    def __len__(self) -> int:
        return self._rows

    @property
    def nbytes(self) -> int:
        """Return roughly how many bytes the completions take in memory."""
        return self._rows * COMPLETION.itemsize + self._keys.nbytes

    def add(self, completions: ColumnsByName) -> None:
        """Add completions with the columns of COMPLETION. A t3 that is impossible counts as none."""
        possible = np.flatnonzero(completions["t3"] <= LATEST_NS)
        room = max(tuning.MAX_COMPLETIONS - self._rows, 0)
        self.left_out += max(len(possible) - room, 0)
        possible = possible[:room]
        self._rows += len(possible)
        keys = self._keys.add(completions["connection"][possible], completions["sequence"][possible])
        self._waiting["key"].append(keys)
        for name in _VALUES:
            values = completions[name][possible]
            self._waiting[name].append(values.astype(np.min_scalar_type(values.max(initial=0)), copy=False))

    def finish(self) -> None:
        """Sort what was added. Of several completions of one call, the one with the latest t3 stays."""
        for name, parts in self._waiting.items():  # one by one, so that little is in memory twice
            self._columns[name] = np.concatenate([np.zeros(0, np.uint8), *parts])
            parts.clear()
        key, t3 = self._columns["key"].astype(np.uint64, copy=False), self._columns["t3"]
        order = np.argsort(key, kind="stable")
        tied = equal_neighbours(key[order[1:]] == key[order[:-1]])
        order[tied] = order[tied][np.lexsort((t3[order[tied]], key[order[tied]]))]
        order = order[np.append(key[order[1:]] != key[order[:-1]], True)[: len(order)]]
        for name, column in self._columns.items():
            self._columns[name] = column[order]
        self._rows = len(order)
        self._uses = np.zeros(self._rows, np.uint8)

    def find(self, calls: ColumnsByName) -> tuple[Indices, Indices]:
        """Return the indices of the calls that have a completion, and for each of them the index of the completion,
        ascending."""
        return self._keys.find(calls, self._columns["key"])

    def count(self, places: Indices) -> None:
        """Count calls that have the completions at these ascending indices."""
        first = np.flatnonzero(np.append(True, places[1:] != places[:-1])[: len(places)])
        counts = np.diff(np.append(first, len(places)))
        before = self._uses[places[first]]
        again = (before > 0) | (counts > 1)
        self.repeated += int(counts[again].sum()) + int(np.count_nonzero(again & (before == 1)))
        self._uses[places[first]] = np.minimum(before + counts, 2)

    def values(self, name: str, places: Indices) -> Integers:
        """Return `t3`, `sent` or `received` of the completions at these indices."""
        return self._columns[name][places].astype(np.uint64)
