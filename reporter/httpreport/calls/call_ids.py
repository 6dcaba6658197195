"""Collect the IDs of requests and traces in the heads of calls: what a service was asked under, and what it passes
on."""

from __future__ import annotations

import numpy as np

from httpcapture import Role

from .call_heads import CallHeads
from .causes_by_id import Ids
from .http_head import REQUEST_IDS, TRACE_IDS, ids, parse_headers
from .schema import ColumnsByName

_MARKS = tuple(f"\n{name}:".encode() for name in (*REQUEST_IDS, *TRACE_IDS))


def ids_in(heads: CallHeads, calls: ColumnsByName) -> Ids:
    """Return the IDs in the requests of client calls, and in the requests and responses of server calls: a service may
    name a request in its response only."""
    role, request, response = (np.asarray(calls[name]) for name in ("role", "request", "response"))
    clients, servers = (np.flatnonzero(role == one) for one in (Role.CLIENT, Role.SERVER))
    indices = np.concatenate([clients, servers, servers])
    places = np.concatenate([request[clients], request[servers], response[servers]]).astype(np.intp)
    number_of: dict[str, int] = {}
    numbers: list[int] = []  # of the IDs of all texts, one text after the other
    counts = np.zeros(len(heads.texts), np.intp)
    for place in np.unique(places).tolist():
        found = [number_of.setdefault(id, len(number_of)) for id in _ids(heads.texts[place])]
        numbers += found
        counts[place] = len(found)
    firsts = np.cumsum(counts) - counts
    of_place = np.repeat(firsts[places] - (np.cumsum(counts[places]) - counts[places]), counts[places])
    pairs = np.stack(
        [np.repeat(indices, counts[places]), np.array(numbers, np.intp)[of_place + np.arange(len(of_place))]]
    )
    calls_of, numbers_of = np.unique(pairs, axis=1)
    return Ids(calls_of, numbers_of)


def _ids(text: bytes) -> frozenset[str]:
    """Return the IDs in the text of a head."""
    return frozenset(ids(parse_headers(text)[0])) if any(mark in text for mark in _MARKS) else frozenset()
