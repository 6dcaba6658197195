"""Write the causes of calls into a capture that is redacted, and look them up in one that was: its stacks have no bytes
by which they could be found.

Whatever a capture says, a cause is one of the server calls that were open in the process when the call was made.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from httpcapture import MAX_CALL_CAUSES, CallCauses, Role

from .call_keys import CallKeys
from .cause_columns import NO_CAUSE, Columns
from .causes import Causes, Rule, candidates_of
from .certainty import Certainty, Mask
from .open_intervals import Indices
from .schema import Array, ColumnsByName, Integers

ROW = np.dtype(
    [
        *(("connection", "<u8"), ("sequence", "<u4"), ("cause_connection", "<u8"), ("cause_sequence", "<u4")),
        *(("certainty", "u1"), ("rule", "u1")),
    ]
)
"""A row of CALL_CAUSES, with its columns in the order of the fields of the record."""


def records_of(found: Causes, calls: ColumnsByName) -> Iterator[CallCauses]:
    """Yield the causes of calls as records: at least one, which says that there are no others."""
    clients = np.flatnonzero(found.indices != NO_CAUSE)
    rows = np.zeros(len(clients), ROW)
    for name in ("connection", "sequence"):
        values = np.asarray(calls[name])
        rows[name], rows[f"cause_{name}"] = values[clients], values[found.indices[clients]]
    rows["certainty"], rows["rule"] = found.certainty[clients], found.rules[clients]
    for start in range(0, max(len(rows), 1), MAX_CALL_CAUSES):
        part = rows[start : start + MAX_CALL_CAUSES]
        yield CallCauses(*(part[name].tobytes() for name in ROW.names or ()))


class RecordedCauses:
    """Hold the causes that one capture has."""

    def __init__(self) -> None:
        self.exist = False
        """Whether the capture says which causes its calls have: then no others are looked for."""
        self._parts: list[Array] = []

    def __len__(self) -> int:
        """Return of how many calls the capture has a cause."""
        return sum(map(len, self._parts))

    def add(self, record: CallCauses) -> int:
        """Add a record, and return how many bytes that takes in memory."""
        self.exist = True
        rows = np.zeros(len(record.rules), ROW)
        for name, column in zip(ROW.names or (), vars(record).values()):
            rows[name] = np.frombuffer(column, ROW[name])
        self._parts.append(rows)
        return rows.nbytes

    def of(self, calls: ColumnsByName) -> Causes:
        """Return the causes of calls, which have the columns of CALL. Of several for one call, the last counts."""
        columns = Columns(calls, np.zeros(len(calls["t0"]), np.intp))
        found, _ = candidates_of(columns)
        rows, places = np.concatenate([np.zeros(0, ROW), *self._parts]), _Places(calls)
        clients = places.find(rows["connection"], rows["sequence"])
        servers = places.find(rows["cause_connection"], rows["cause_sequence"])
        is_known = (clients != NO_CAUSE) & (servers != NO_CAUSE)
        is_known &= np.isin(rows["certainty"], [Certainty.PROBABLE, Certainty.SURE])
        is_known &= np.isin(rows["rule"], [rule for rule in Rule if rule != Rule.NONE])
        is_known[is_known] = _may_be_causes(columns, np.asarray(calls["role"]), clients[is_known], servers[is_known])
        clients = clients[is_known]
        found.indices[clients] = servers[is_known]
        found.certainty[clients], found.rules[clients] = rows["certainty"][is_known], rows["rule"][is_known]
        return found


class _Places:
    """Look up calls by their connection and sequence. Only those of `calls` are kept, however many are looked up."""

    def __init__(self, calls: ColumnsByName) -> None:
        self._keys = CallKeys()
        of_calls = self._keys.add(calls["connection"], calls["sequence"])
        self._known, first, counts = np.unique(of_calls, return_index=True, return_counts=True)
        self._indices = np.where(counts == 1, first, NO_CAUSE)

    def find(self, connections: Integers, sequences: Integers) -> Indices:
        """Return the index of the only call that has each key, or NO_CAUSE."""
        rows, places = self._keys.find({"connection": connections, "sequence": sequences}, self._known)
        found = np.full(len(connections), NO_CAUSE)
        found[rows] = self._indices[places]
        return found


def _may_be_causes(columns: Columns, role: Integers, clients: Indices, servers: Indices) -> Mask:
    """Return whether each server call was open in the process of a client call when that was made."""
    made = columns.t0[clients]
    is_open = (columns.t0[servers] < made) & (columns.ends[servers] >= made)
    of_one = columns.process[clients] == columns.process[servers]
    return np.asarray(is_open & of_one & (role[clients] == Role.CLIENT) & (role[servers] == Role.SERVER))
