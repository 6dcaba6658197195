"""Find the causes of calls by exclusion: if one request was open when a call was made, no other can be its cause.

It may have none, so this is probable at most, and only if calls with the same stack trace are made for requests: nearly
none is made while no request is open, nearly all end before their cause does, and they have several causes.
"""

from __future__ import annotations

import numpy as np

from .cause_columns import NO_CAUSE, Columns
from .certainty import FEWEST, INSIDE_SHARE, SURE_SHARE, Certainty, Small, few_of_one, share
from .open_intervals import Indices


def by_exclusion(columns: Columns, candidates: Indices, only: Indices) -> tuple[Indices, Small]:
    """Return for each call the only server call that was open, and whether that is probably the cause. `candidates` are
    how many were open when each client call was made, and `only` the only one of the server calls or NO_CAUSE."""
    indices, known = np.full(len(columns), NO_CAUSE), np.zeros(len(columns), np.uint8)
    clients, shape = columns.clients, columns.shape[columns.clients]
    is_found, has_any = only != NO_CAUSE, candidates > 0
    indices[clients[is_found]] = columns.servers[only[is_found]]
    for_requests = share(has_any, has_any | columns.was_asked(clients), shape)[shape] >= SURE_SHARE
    _, inside = columns.inside(clients, indices[clients])
    enough = np.bincount(shape, is_found)[shape] >= FEWEST
    several = few_of_one(shape, indices[clients])
    known[clients[for_requests & (inside >= INSIDE_SHARE) & enough & several]] = Certainty.PROBABLE
    return indices, known
