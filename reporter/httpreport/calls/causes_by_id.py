"""Find the causes of calls by the IDs in their heads."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..common.interning import Interner
from .cause_columns import NO_CAUSE, Columns
from .open_intervals import Indices


@dataclass(frozen=True)
class Ids:
    """Hold pairs of the index of a call and the number of an ID in its heads. A call may have several IDs."""

    calls: Indices
    numbers: Indices


NO_IDS = Ids(np.zeros(0, np.intp), np.zeros(0, np.intp))


def by_id(columns: Columns, ids: Ids) -> Indices:
    """Return for each call the only server call that was open in its process and has an ID that it has, too. If its
    IDs name different ones, none is returned."""
    is_client, is_server = (np.isin(ids.calls, of_role) for of_role in (columns.clients, columns.servers))
    groups = Interner(2).intern(columns.process[ids.calls].astype(np.uint64), ids.numbers.astype(np.uint64))
    servers, clients = ids.calls[is_server], ids.calls[is_client]
    made = columns.t0[clients]
    _, only = columns.opened(groups[is_server], servers).during(groups[is_client], made, made)
    clients, named = clients[only != NO_CAUSE], servers[only[only != NO_CAUSE]]
    least, most = np.full(len(columns), len(columns)), np.full(len(columns), NO_CAUSE)
    np.minimum.at(least, clients, named)
    np.maximum.at(most, clients, named)
    return np.where(least == most, most, NO_CAUSE)
