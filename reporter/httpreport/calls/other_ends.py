"""Find the other end of calls: the same call as the process at the other side of its connection recorded it.

Two rules, in this order, each of which joins one client call with one server call or says nothing:

1. **On one clock** (one boot of one host): the addresses and ports are the same ones, exchanged, and so is the sequence
   number of the request's first byte. Where sequence numbers are not known, both ends must have counted the same bytes
   instead, and the client no two calls at that time. Of HTTP/2 the stream must be the same; of its requests the bytes
   may differ, since a frame of flow control may reach the server after its answer.
2. **Anywhere**, also behind a NAT: the sequence numbers of the first bytes of request and response are the same, 64
   bits in all.

The server's part of a call lies inside the client's: it receives the first byte of the request after that was sent, and
sends the first byte of the response before that is received. On two clocks, each joined call thus bounds what the
server's clock is ahead by. A call whose bounds contradict those of most others is not joined.

What is ambiguous is not joined. All steps are sorts and look-ups of whole columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from httpcapture import Outcome, Role

from ..common.interning import Interner, Words, words_of
from .schema import ColumnsByName

Indices = npt.NDArray[np.intp]
Mask = npt.NDArray[np.bool_]
Times = npt.NDArray[np.int64]

NOT_JOINED = -1
DRIFT = 1e-3  # by which the rates of two clocks differ at most: NTP may slew each by 500 ppm (adjtimex(2))


class Offset(NamedTuple):
    """Say by how many ns a server's clock is ahead of a client's: from `least` to `most`, by so many calls."""

    least: int
    most: int
    calls: int


@dataclass(frozen=True)
class OtherEnds:
    """Hold the index of each call's other end, or NOT_JOINED, and the offsets between clocks by those of client and
    server."""

    indices: Indices
    offsets: Mapping[tuple[int, int], Offset]


class _Calls:
    """Hold the columns of all calls. Times are below 2**62 ns (LATEST_NS)."""

    def __init__(self, calls: ColumnsByName, clocks: Indices) -> None:
        self.clock = clocks
        self.t0, self.t2 = (np.asarray(calls[name]).astype(np.int64) for name in ("t0", "t2"))
        self.role = np.asarray(calls["role"])
        self.answered = np.asarray(calls["outcome"]) == Outcome.ANSWERED
        self.request_seq, self.response_seq = (
            np.asarray(calls[name]).astype(np.uint64) for name in ("request_seq", "response_seq")
        )
        self.stream = np.asarray(calls["stream"]).astype(np.uint64)
        self.sent, self.received = (np.asarray(calls[name]).astype(np.uint64) for name in ("sent", "received"))
        self._ends = [
            [*words_of(np.asarray(calls[f"{end}_address"])), np.asarray(calls[f"{end}_port"]).astype(np.uint64)]
            for end in ("local", "peer")
        ]

    def connection_words(self) -> list[Words]:
        """Return words that are equal at both ends of a connection: its client's address and port come first."""
        asks = self.role == Role.CLIENT
        local, peer = self._ends
        first = [np.where(asks, one, other) for one, other in zip(local, peer)]
        second = [np.where(asks, other, one) for one, other in zip(local, peer)]
        return [*first, *second, self.clock.astype(np.uint64)]


def other_ends(calls: ColumnsByName, clocks: Indices) -> OtherEnds:
    """Return the other end of each call. `clocks` numbers the clock of each call's times.

    The calls of a redacted capture must be alone: what stands for their sequence numbers means nothing in others.
    """
    columns = _Calls(calls, clocks)
    indices = np.full(len(clocks), NOT_JOINED, np.intp)
    _join(indices, *_on_one_clock(columns))
    clients, servers, offsets = _anywhere(columns, indices == NOT_JOINED)
    _join(indices, clients, servers)
    return OtherEnds(indices, offsets)


def _join(indices: Indices, clients: Indices, servers: Indices) -> None:
    indices[clients] = servers
    indices[servers] = clients


def _on_one_clock(calls: _Calls) -> tuple[Indices, Indices]:
    """Return the indices of client calls and of their other ends on the same clock."""
    words = [*calls.connection_words(), calls.request_seq, calls.stream]
    group = Interner(len(words)).intern(*words)
    clients, servers = (np.flatnonzero(calls.role == role) for role in (Role.CLIENT, Role.SERVER))
    clients = clients[np.lexsort((calls.t0[clients], group[clients]))]
    before = _last_before(group, calls.t0, clients, servers)
    found = before != NOT_JOINED
    servers, places = servers[found], before[found]
    agree = _agree(calls, clients[places], servers) & ~_overlapped(group, calls, clients)[places]
    servers, places = servers[agree], places[agree]
    once = np.bincount(places, minlength=len(clients))[places] == 1
    return clients[places[once]], servers[once]


def _last_before(group: Indices, t0: Times, clients: Indices, servers: Indices) -> Indices:
    """Return for each server call the place in `clients` of the last one of its group that began before it. `clients`
    are sorted by group and t0."""
    all_calls = np.concatenate([clients, servers])
    is_server = np.arange(len(all_calls)) >= len(clients)
    order = np.lexsort((is_server, t0[all_calls], group[all_calls]))
    places = np.where(is_server[order], NOT_JOINED, np.cumsum(~is_server[order]) - 1)
    last = np.maximum.accumulate(places) if len(places) else places
    same = (last != NOT_JOINED) & (group[clients[last]] == group[all_calls[order]]) if len(clients) else last >= 0
    before = np.full(len(all_calls), NOT_JOINED, np.intp)
    before[order] = np.where(same, last, NOT_JOINED)
    return before[len(clients) :]


def _agree(calls: _Calls, clients: Indices, servers: Indices) -> Mask:
    """Return which of the server calls, all of which began after the client calls, can be their other ends."""
    both = calls.answered[clients] & calls.answered[servers]
    inside = calls.t2[servers] <= calls.t2[clients]
    same_response = calls.received[clients] == calls.sent[servers]
    same_request = (calls.sent[clients] == calls.received[servers]) | (calls.stream[clients] != 0)
    is_numbered = calls.request_seq[clients] != 0
    return np.asarray(np.where(is_numbered, inside | ~both, both & inside & same_response & same_request))


def _overlapped(group: Indices, calls: _Calls, clients: Indices) -> Mask:
    """Return which client calls, sorted by group and t0, are open at the same time as another one of their group."""
    if not len(clients):
        return np.zeros(0, np.bool_)
    ranks = np.empty(len(clients), np.int64)
    ranks[np.argsort(calls.t2[clients], kind="stable")] = np.arange(len(clients))
    of_group = group[clients].astype(np.int64) * len(clients)
    latest = np.argsort(calls.t2[clients], kind="stable")[(np.maximum.accumulate(of_group + ranks) - of_group)]
    begins_inside = (group[clients[1:]] == group[clients[:-1]]) & (
        calls.t0[clients[1:]] <= calls.t2[clients[latest[:-1]]]
    )
    overlapped = np.append(False, begins_inside)
    overlapped[np.unique(latest[:-1][begins_inside])] = True
    return overlapped


def _anywhere(calls: _Calls, is_left: Mask) -> tuple[Indices, Indices, dict[tuple[int, int], Offset]]:
    """Return the indices of client calls and of their other ends by sequence numbers alone, and the clocks' offsets."""
    known = is_left & calls.answered & (calls.request_seq != 0) & (calls.response_seq != 0)
    key = calls.request_seq << np.uint64(32) | calls.response_seq
    clients, servers = (
        _unique(key, np.flatnonzero(known & (calls.role == role))) for role in (Role.CLIENT, Role.SERVER)
    )
    _, of_clients, of_servers = np.intersect1d(key[clients], key[servers], assume_unique=True, return_indices=True)
    clients, servers = clients[of_clients], servers[of_servers]
    least, most = calls.t2[servers] - calls.t2[clients], calls.t0[servers] - calls.t0[clients]
    fits, offsets = least <= most, dict[tuple[int, int], Offset]()
    pairs = np.stack([calls.clock[clients], calls.clock[servers]], axis=1)
    for pair in np.unique(pairs[fits], axis=0):
        of_pair = np.flatnonzero(fits & (pairs == pair).all(axis=1))
        if pair[0] == pair[1]:
            fits[of_pair] = (least[of_pair] <= 0) & (most[of_pair] >= 0)
            continue
        times = calls.t0[clients[of_pair]]
        slack = int(DRIFT * (times.max() - times.min()))
        offset, fits[of_pair] = _offset(least[of_pair], most[of_pair], slack)
        offsets[int(pair[0]), int(pair[1])] = offset
    return clients[fits], servers[fits], offsets


def _unique(key: Words, indices: Indices) -> Indices:
    """Return those of the indices whose key no other one has."""
    _, first, count = np.unique(key[indices], return_index=True, return_counts=True)
    return np.asarray(indices[first[count == 1]])


def _offset(least: Times, most: Times, slack: int) -> tuple[Offset, Mask]:
    """Return the offset that is within the bounds of the most calls, and which calls these are. Bounds are inclusive,
    and `slack` wider for the drift of the clocks."""
    low, high = least - slack, most + slack
    bounds = np.concatenate([low, high + 1])
    steps = np.repeat([1, -1], len(low))
    order = np.lexsort((-steps, bounds))
    open_calls = np.cumsum(steps[order])
    best = int(np.argmax(open_calls))
    at = bounds[order[best]]
    fits = (low <= at) & (at <= high)
    return Offset(int(low[fits].max()), int(high[fits].min()), int(fits.sum())), fits
