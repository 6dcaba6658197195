"""Define `Counted`: the totals of some calls of a capture, which add up, and those of its calls that can be shown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from heapq import nlargest
from typing import Callable, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from httpcapture import Role

from ..calls.call import Call, iterate_calls
from ..calls.http_call import HttpCall
from ..calls.request_keys import NOT_KNOWN, Examples, RequestKey
from ..calls.route_totals import RouteTotals
from ..calls.schema import longest_first
from ..calls.totals import Latencies, LatencyMerger, PeerKey
from ..capture.recording import Recording
from ..report.route_totals import HostRequest, within
from ..routes.shapes import merged

MOST_SHOWN = 1_000  # of the longest calls, and of the newest
MOST_PEERS = 10_000  # that are told apart
OTHER_PEERS = PeerKey(b"others", Role.UNKNOWN, bytes(16), 0)
"""Stands for peers that are too many to be told apart."""

Key = TypeVar("Key")
Value = TypeVar("Value")


class Shown(NamedTuple):
    """Hold a call that can be shown, and what it asked for."""

    call: Call
    http: HttpCall
    request: RequestKey

    @property
    def key(self) -> tuple[int, int]:
        """Return what tells the call from others of its capture."""
        return self.call.connection, self.call.sequence

    @property
    def ended_ns(self) -> int:
        """Return when the call ended, as far as it was seen, in ns on CLOCK_MONOTONIC."""
        return self.call.t0 + self.call.duration_ns

    @property
    def peer(self) -> PeerKey:
        """Return the process and its peer, as `CallTotals` has them."""
        call = self.call
        ports = (0, call.local_port) if call.role == Role.SERVER else (call.peer_port * (call.role == Role.CLIENT), 0)
        return PeerKey(call.process, call.role, call.peer_address, *ports)


@dataclass(frozen=True)
class Counted:
    """Hold the totals of calls, by request and by peer, and the longest and the newest of them, in this order."""

    recorded: int = 0
    kept: int = 0
    not_known: int = 0  # calls that a filter left out because what it asks for is not known of them
    requests: Mapping[HostRequest, RouteTotals] = field(default_factory=dict)
    peers: Mapping[PeerKey, Latencies] = field(default_factory=dict)
    examples: Examples = field(default_factory=dict)  # of the paths of all requests
    longest: tuple[Shown, ...] = ()
    newest: tuple[Shown, ...] = ()

    @classmethod
    def of(cls, recording: Recording) -> Counted:
        """Return the totals of the kept calls of a recording."""
        requests = {HostRequest("", *key): totals for key, totals in recording.by_request.items()}
        examples = recording.request_keys.examples if recording.request_keys else {}
        listed = recording.listed
        longest, newest = longest_first(listed.durations, listed.starts), np.argsort(listed.ends, kind="stable")[::-1]
        return cls(
            recording.recorded,
            recording.kept,
            recording.not_known,
            requests,
            _bounded(recording.by_peer),
            examples,
            *(tuple(_shown(recording, order[:MOST_SHOWN])) for order in (longest, newest)),
        )

    def __add__(self, other: Counted) -> Counted:
        examples = merged((self.examples, other.examples))
        requests = _sums(self.requests, other.requests, RouteTotals.__add__)
        return Counted(
            self.recorded + other.recorded,
            self.kept + other.kept,
            self.not_known + other.not_known,
            within(requests.items(), examples),
            _bounded(_sums(self.peers, other.peers, Latencies.__add__)),
            examples,
            tuple(nlargest(MOST_SHOWN, (*self.longest, *other.longest), key=lambda one: one.call.duration_ns)),
            tuple(nlargest(MOST_SHOWN, (*other.newest, *self.newest), key=lambda one: one.ended_ns)),
        )


def _shown(recording: Recording, order: npt.NDArray[np.intp]) -> Iterator[Shown]:
    """Yield the listed calls at these indices, in their order."""
    indices = np.sort(order)
    heads, keys = recording.heads, recording.request_keys
    for call in iterate_calls(recording.some_calls(indices), np.searchsorted(indices, order)):
        request = NOT_KNOWN if keys is None else keys.keys[int(keys.numbers(np.array([call.request]))[0])]
        yield Shown(call, HttpCall.of(heads, call.request, call.response), request)


def _sums(
    ones: Mapping[Key, Value], others: Mapping[Key, Value], add: Callable[[Value, Value], Value]
) -> dict[Key, Value]:
    """Return the sum of both for each key."""
    return {**ones, **{key: add(ones[key], value) if key in ones else value for key, value in others.items()}}


def _bounded(peers: Mapping[PeerKey, Latencies]) -> Mapping[PeerKey, Latencies]:
    """Return the same, with OTHER_PEERS for those with the least time if they are too many."""
    if len(peers) <= MOST_PEERS:
        return peers
    ranked = sorted(peers, key=lambda key: (key == OTHER_PEERS, -peers[key].totals.time_ns))
    merger = LatencyMerger[PeerKey]()
    merger.add((key if place < MOST_PEERS // 2 else OTHER_PEERS, peers[key]) for place, key in enumerate(ranked))
    return merger.merged()
