"""Add up the kept calls by stack and by peer. Memory grows with the distinct stacks and peers, not with the calls.

`CallTotals` takes tables of calls and adds them up by interned number (`common/interning.py`). The totals of two
captures can be added. A quantile comes from a histogram with 128 bins for each doubling of the duration, so it is at
most 0.4 % off; sums, counts and the slowest duration are exact.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import repeat
from typing import Generic, NamedTuple, TypeVar

import numpy as np

from httpcapture import Role, StackStatus

from ..common.interning import Interner, Numbers, Words, bytes_of, words_of
from ..common.value_counts import ValueCounts
from .lazy_table import LazyTable
from .request_keys import RequestKeys
from .schema import Integers, duration_ns

Key = TypeVar("Key")

_BIN_BITS = 7  # of a double's fraction (IEEE 754 binary64: 52 bits, 1023 is the exponent of 1)
_FIRST_BIN = 1023 << _BIN_BITS
_SHIFT = np.uint64(52 - _BIN_BITS)
_BIN_WIDTH = np.uint64(13)  # bits of a bin's number
_HALF, _LOW = np.uint64(32), np.uint64(0xFFFFFFFF)


@dataclass(frozen=True)
class Totals:
    """Hold the totals of a set of calls."""

    calls: int = 0
    time_ns: int = 0  # the sum of their durations
    microseconds: int = 0  # the sum of their durations, each rounded down
    slowest_ns: int = 0

    def __add__(self, other: Totals) -> Totals:
        return Totals(
            self.calls + other.calls,
            self.time_ns + other.time_ns,
            self.microseconds + other.microseconds,
            max(self.slowest_ns, other.slowest_ns),
        )


@dataclass(frozen=True)
class Latencies:
    """Hold the totals of a set of calls and how many of their durations are in each bin."""

    totals: Totals
    bins: Mapping[int, int]

    def __add__(self, other: Latencies) -> Latencies:
        return Latencies(self.totals + other.totals, Counter(self.bins) + Counter(other.bins))

    def quantile_ns(self, share: float) -> int:
        """Return the duration that this share of the calls does not exceed, at most 0.4 % off."""
        if math.ceil(share * self.totals.calls) >= self.totals.calls:
            return self.totals.slowest_ns
        left = share * self.totals.calls
        for number, count in sorted(self.bins.items()):
            left -= count
            if left <= 0:
                return min(_middle_ns(number), self.totals.slowest_ns)
        return self.totals.slowest_ns


class LatencyMerger(Generic[Key]):
    """Add up latencies by key. Bins are counted in place, since they are many."""

    def __init__(self) -> None:
        self._totals: dict[Key, Totals] = {}
        self._bins: defaultdict[Key, Counter[int]] = defaultdict(Counter)

    def add(self, more: Iterable[tuple[Key, Latencies]]) -> None:
        """Add latencies."""
        for key, latencies in more:
            self._totals[key] = self._totals.get(key, Totals()) + latencies.totals
            self._bins[key].update(latencies.bins)

    def merged(self) -> dict[Key, Latencies]:
        """Return the sum for each key."""
        return {key: Latencies(totals, self._bins[key]) for key, totals in self._totals.items()}


class StackKey(NamedTuple):
    """Identify the calls of one process name and one recorded stack; `stack` is 0 if there is none. If they are to be
    told apart by what they ask for, `request` is the number of their request (RequestKeys.keys), and `role` theirs."""

    process: bytes
    stack_status: int
    stack: int
    request: int = 0
    role: int = 0


class PeerKey(NamedTuple):
    """Identify the calls of one process name with one peer.

    Only a client's peer has a port that stays the same, so the port of any other peer is 0. Of a server it is its own
    port, which is 0 for any other process.
    """

    process: bytes
    role: int
    address: bytes
    port: int
    own_port: int = 0


class Durations:
    """Hold the durations of calls, split into the 32-bit halves that are added up."""

    def __init__(self, durations: Integers) -> None:
        self.ns = durations
        microseconds = durations // np.uint64(1000)
        self.halves = [durations & _LOW, durations >> _HALF, microseconds & _LOW, microseconds >> _HALF]


class TotalsByValue:
    """Add up durations for each distinct value of `width` words. Halves of 32 bits are added separately, so no sum
    wraps around."""

    def __init__(self, width: int) -> None:
        self._interner = Interner(width)
        self._columns = np.zeros((6, 0), np.uint64)  # calls, slowest, low and high half of time and of microseconds

    def __len__(self) -> int:
        return len(self._interner)

    @property
    def values(self) -> Words:
        """Return the distinct values in the order of their numbers: shape (width, count)."""
        return self._interner.values

    def intern(self, *words: Words) -> Numbers:
        """Return the number of each value, given as one array for each of its words."""
        return self._interner.intern(*words)

    def add(self, durations: Durations, numbers: Numbers) -> None:
        """Add durations. `numbers` has the number of the value to which each of them belongs."""
        self._columns = with_room(self._columns, len(self))
        calls, slowest, *halves = self._columns
        np.add.at(calls, numbers, np.ones(len(numbers), np.uint64))
        np.maximum.at(slowest, numbers, durations.ns)
        for sum, half in zip(halves, durations.halves):
            if half.any():
                np.add.at(sum, numbers, half)

    def totals(self) -> Iterator[Totals]:
        """Yield the totals of each value in the order of their numbers."""
        for calls, slowest, low, high, us_low, us_high in zip(*self._columns[:, : len(self)].tolist()):
            yield Totals(calls, (high << 32) + low, (us_high << 32) + us_low, slowest)


class LatenciesByValue(TotalsByValue):
    """Add up durations for each distinct value, and count them by bin."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self._bins = ValueCounts()

    @property
    def nbytes(self) -> int:
        """Return roughly how many bytes `latencies` will take."""
        return 700 * len(self) + 128 * len(self._bins)

    def add(self, durations: Durations, numbers: Numbers) -> None:
        """Add durations. `numbers` has the number of the value to which each of them belongs."""
        super().add(durations, numbers)
        self._bins.add(numbers.astype(np.uint64) << _BIN_WIDTH | _bin(durations.ns))

    def latencies(self) -> Iterator[Latencies]:
        """Yield the totals and the histogram of each value in the order of their numbers."""
        bins: list[dict[int, int]] = [{} for _ in range(len(self))]
        for key, count in zip(*(column.tolist() for column in self._bins.counts())):
            number, of_value = divmod(key, 1 << int(_BIN_WIDTH))
            bins[number][of_value] = count
        return map(Latencies, self.totals(), bins)


class CallTotals:
    """Add up calls as they are read. With `requests`, stacks are told apart by what their calls ask for."""

    def __init__(self, requests: RequestKeys | None = None) -> None:
        self._requests = requests
        self._processes = Interner(2)
        self._stacks = TotalsByValue(2 if requests is None else 3)
        self._peers = LatenciesByValue(3)

    @property
    def nbytes(self) -> int:
        """Return roughly how many bytes `by_stack` and `by_peer` will take."""
        return 400 * len(self._stacks) + self._peers.nbytes

    def add(self, calls: LazyTable) -> None:
        """Add the calls of a table, which has at least one."""
        durations = Durations(duration_ns(calls))
        first, run = calls.runs("process", "role", "peer_address", "peer_port", "local_port")  # far fewer than calls
        process = self._processes.intern(*words_of(calls.values_at("process", first))).astype(np.uint64)
        role = calls.values_at("role", first).astype(np.uint64)
        ports = [calls.values_at(name, first) for name in ("peer_port", "local_port")]
        port = np.select([role == Role.CLIENT, role == Role.SERVER], ports).astype(np.uint64)  # of the server
        kind = process << np.uint64(32) | role << np.uint64(16) | port
        peer = self._peers.intern(kind, *words_of(calls.values_at("peer_address", first)))[run]
        self._peers.add(durations, peer)
        status = calls["stack_status"]
        stack = np.where(status == StackStatus.RECORDED, calls["stack"], 0)
        words = [(process << np.uint64(8))[run] | status, stack]
        if self._requests is not None:
            words.append(self._requests.numbers(calls["request"]).astype(np.uint64) << np.uint64(8) | calls["role"])
        self._stacks.add(durations, self._stacks.intern(*words))

    def by_stack(self) -> Mapping[StackKey, Totals]:
        """Return the totals for each process name and stack."""
        names, (kinds, stacks, *asked) = self._names(), self._stacks.values.tolist()
        keys = (
            StackKey(names[kind >> 8], kind & 0xFF, stack, request >> 8, request & 0xFF)
            for kind, stack, request in zip(kinds, stacks, *(asked or [repeat(0)]))
        )
        return dict(zip(keys, self._stacks.totals()))

    def by_peer(self) -> Mapping[PeerKey, Latencies]:
        """Return the totals and the histogram for each process name and peer."""
        names, kinds = self._names(), self._peers.values[0].tolist()
        keys = (
            _peer_key(names[kind >> 32], kind >> 16 & 0xFF, address, kind & 0xFFFF)
            for kind, address in zip(kinds, bytes_of(self._peers.values[1:]))
        )
        return dict(zip(keys, self._peers.latencies()))

    def _names(self) -> list[bytes]:
        return bytes_of(self._processes.values)


def _peer_key(process: bytes, role: int, address: bytes, server_port: int) -> PeerKey:
    is_server = role == Role.SERVER
    return PeerKey(process, role, address, *((0, server_port) if is_server else (server_port, 0)))


def with_room(columns: Words, count: int) -> Words:
    """Return the columns, lengthened with zeros if they have fewer than `count` entries."""
    if columns.shape[1] >= count:
        return columns
    longer = np.zeros((len(columns), 2 * count), np.uint64)
    longer[:, : columns.shape[1]] = columns
    return longer


def _bin(durations: Integers) -> Integers:
    """Return the number of the bin of each duration: the exponent and the first bits of the fraction of a double."""
    doubles = np.maximum(durations, np.uint64(1)).astype(np.float64)
    return np.asarray((doubles.view(np.uint64) >> _SHIFT) - np.uint64(_FIRST_BIN))


def _middle_ns(number: int) -> int:
    """Return the duration in the middle of a bin."""
    exponent, fraction = divmod(number, 1 << _BIN_BITS)
    return ((((1 << _BIN_BITS) + fraction) * 2 + 1) << exponent) >> (_BIN_BITS + 1)
