"""What the kept calls sum up to, by stack and by peer: it grows with what is distinct, not with the calls, and can be
added to another capture's.

`Summing` takes calls as columns and adds by number (`interner.py`). A quantile is told from a histogram with 128 bins
for each doubling of the duration, so it is at most 0.4 % off; sums, counts and the slowest are exact.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from httpcapture import Role, StackStatus

from ..common.interning import Interner, Numbers, Words, bytes_of, words_of
from ..common.value_counts import ValueCounts
from .lazy_table import LazyTable
from .schema import Integers, duration_ns

_BIN_BITS = 7  # of a double's fraction (IEEE 754 binary64: 52 bits, 1023 is the exponent of 1)
_FIRST_BIN = 1023 << _BIN_BITS
_SHIFT = np.uint64(52 - _BIN_BITS)
_BIN_WIDTH = np.uint64(13)  # bits of a bin's number
_HALF, _LOW = np.uint64(32), np.uint64(0xFFFFFFFF)


@dataclass(frozen=True)
class Sums:
    """Of some calls."""

    calls: int = 0
    time_ns: int = 0  # of their durations
    microseconds: int = 0  # of their durations, each rounded down
    slowest_ns: int = 0

    def __add__(self, other: Sums) -> Sums:
        return Sums(
            self.calls + other.calls,
            self.time_ns + other.time_ns,
            self.microseconds + other.microseconds,
            max(self.slowest_ns, other.slowest_ns),
        )


@dataclass(frozen=True)
class Latencies:
    """Of some calls, with how many durations fall into which bin."""

    sums: Sums
    bins: Mapping[int, int]

    def __add__(self, other: Latencies) -> Latencies:
        return Latencies(self.sums + other.sums, Counter(self.bins) + Counter(other.bins))

    def quantile_ns(self, share: float) -> int:
        """The duration that this share of the calls does not exceed, at most 0.4 % off."""
        if math.ceil(share * self.sums.calls) >= self.sums.calls:
            return self.sums.slowest_ns
        left = share * self.sums.calls
        for number, count in sorted(self.bins.items()):
            left -= count
            if left <= 0:
                return min(_middle_ns(number), self.sums.slowest_ns)
        return self.sums.slowest_ns


class StackKey(NamedTuple):
    """What calls of one process name and one recorded stack have in common; `stack` is 0 where there is none."""

    process: bytes
    stack_status: int
    stack: int


class PeerKey(NamedTuple):
    """What calls of one process name with one peer have in common. Only a client's peer has a port of its own; the
    ports of others are 0, since each connection has another one."""

    process: bytes
    role: int
    address: bytes
    port: int


class Durations:
    """Of some calls, in what is summed of them."""

    def __init__(self, durations: Integers) -> None:
        self.ns = durations
        microseconds = durations // np.uint64(1000)
        self.halves = [durations & _LOW, durations >> _HALF, microseconds & _LOW, microseconds >> _HALF]


class SumsByValue:
    """Sums of durations for each value of so many words. Halves of 32 bits are summed apart: no sum wraps around."""

    def __init__(self, width: int) -> None:
        self._interner = Interner(width)
        self._columns = np.zeros((6, 0), np.uint64)  # calls, slowest, low and high half of time and of microseconds

    def __len__(self) -> int:
        return len(self._interner)

    @property
    def values(self) -> Words:
        """The distinct values, by number: shape (width, count)."""
        return self._interner.values

    def intern(self, *words: Words) -> Numbers:
        """The number of each value, given as one array for each of its words."""
        return self._interner.intern(*words)

    def add(self, durations: Durations, numbers: Numbers) -> None:
        """Durations, and the number of each one's value."""
        self._columns = _with_room(self._columns, len(self))
        calls, slowest, *sums = self._columns
        np.add.at(calls, numbers, np.ones(len(numbers), np.uint64))
        np.maximum.at(slowest, numbers, durations.ns)
        for sum, half in zip(sums, durations.halves):
            if half.any():
                np.add.at(sum, numbers, half)

    def sums(self) -> Iterator[Sums]:
        """Those of each value."""
        for calls, slowest, low, high, micros, more in zip(*self._columns[:, : len(self)].tolist()):
            yield Sums(calls, (high << 32) + low, (more << 32) + micros, slowest)


class Summing:
    """Adds up calls as they come."""

    def __init__(self) -> None:
        self._processes = Interner(2)
        self._stacks = SumsByValue(2)
        self._peers = SumsByValue(3)
        self._bins = ValueCounts()

    @property
    def nbytes(self) -> int:
        """What by_stack and by_peer will take, about."""
        return 400 * len(self._stacks) + 700 * len(self._peers) + 128 * len(self._bins)

    def add(self, calls: LazyTable) -> None:
        """At least one call."""
        durations = Durations(duration_ns(calls))
        first, run = calls.runs("process", "role", "peer_address", "peer_port")  # far fewer than calls
        process = self._processes.intern(*words_of(calls.values_at("process", first))).astype(np.uint64)
        role = calls.values_at("role", first).astype(np.uint64)
        port = np.where(role == Role.CLIENT, calls.values_at("peer_port", first), 0).astype(np.uint64)
        kind = process << np.uint64(32) | role << np.uint64(16) | port
        peer = self._peers.intern(kind, *words_of(calls.values_at("peer_address", first)))[run]
        self._peers.add(durations, peer)
        status = calls["stack_status"]
        stack = np.where(status == StackStatus.RECORDED, calls["stack"], 0)
        self._stacks.add(durations, self._stacks.intern((process << np.uint64(8))[run] | status, stack))
        self._bins.add(peer.astype(np.uint64) << _BIN_WIDTH | _bin(durations.ns))

    def by_stack(self) -> Mapping[StackKey, Sums]:
        names, (kinds, stacks) = self._names(), self._stacks.values.tolist()
        keys = (StackKey(names[kind >> 8], kind & 0xFF, stack) for kind, stack in zip(kinds, stacks))
        return dict(zip(keys, self._stacks.sums()))

    def by_peer(self) -> Mapping[PeerKey, Latencies]:
        bins: list[dict[int, int]] = [{} for _ in range(len(self._peers))]
        for key, count in zip(*(column.tolist() for column in self._bins.counts())):
            peer, number = divmod(key, 1 << int(_BIN_WIDTH))
            bins[peer][number] = count
        names, kinds = self._names(), self._peers.values[0].tolist()
        keys = (
            PeerKey(names[kind >> 32], kind >> 16 & 0xFF, address, kind & 0xFFFF)
            for kind, address in zip(kinds, bytes_of(self._peers.values[1:]))
        )
        return dict(zip(keys, map(Latencies, self._peers.sums(), bins)))

    def _names(self) -> list[bytes]:
        return bytes_of(self._processes.values)


def _with_room(columns: Words, count: int) -> Words:
    """Columns of at least so many places."""
    if columns.shape[1] >= count:
        return columns
    longer = np.zeros((len(columns), 2 * count), np.uint64)
    longer[:, : columns.shape[1]] = columns
    return longer


def _bin(durations: Integers) -> Integers:
    doubles = np.maximum(durations, np.uint64(1)).astype(np.float64)
    return np.asarray((doubles.view(np.uint64) >> _SHIFT) - np.uint64(_FIRST_BIN))


def _middle_ns(number: int) -> int:
    """Of the durations in a bin."""
    exponent, fraction = divmod(number, 1 << _BIN_BITS)
    return ((((1 << _BIN_BITS) + fraction) * 2 + 1) << exponent) >> (_BIN_BITS + 1)
