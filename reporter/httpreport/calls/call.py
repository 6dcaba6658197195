"""Define `Call`: one row of the array of calls as a value, with texts for its numbers.

Filters and totals work on whole columns (`lazy_table.py`); this is for outputs that write one call at a time.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import lru_cache
from typing import NamedTuple, Optional

import numpy as np
import numpy.typing as npt

from httpcapture import Meta, Outcome, Role, StackStatus
from httpcapture.addresses import address_text

from ..common import tuning
from .network import Network
from .protocol import Encrypted, Kind
from .schema import LATEST_NS, Array


class Call(NamedTuple):
    """Hold the fields of one row of dtype CALL, in their order. Times are ns on CLOCK_MONOTONIC."""

    connection: int
    t0: int
    t1: int
    t2: int
    t3: int
    sent: int
    received: int
    cgroup: int
    process_start: int
    stack: int
    comm: bytes
    process: bytes
    local_address: bytes
    peer_address: bytes
    request_head: bytes
    response_head: bytes
    sequence: int
    pid: int
    tid: int
    receive_tid: int
    local_port: int
    peer_port: int
    role: int
    role_source: int
    outcome: int
    stack_status: int
    receive_stack: int
    receive_stack_status: int
    stack_is_late: int
    judged_by: int
    first_byte_is_guess: int
    is_encrypted: int
    connect_time: int
    handshake_time: int
    round_trip: int
    segments: int
    retransmitted: int
    out_of_order: int
    stream: int
    http2_error: int
    request_seq: int  # TCP's sequence number of the first byte; 0 if it is not known, as of the next
    response_seq: int
    t3_known: bool
    has_end: bool
    duration_ns: int  # what the report judges the call by: of the whole call, or to the first byte
    at_least: bool  # the duration may be longer
    kind: int
    method: bytes
    status: int
    encrypted: int
    request: int  # the place of the text of its head (CallHeads.texts), as of the next; 0 if it is not known
    response: int
    workload: int  # the number of where its process ran (Workloads.values); 0 if it is not known

    @property
    def whole_ns(self) -> int:
        """Return how long the whole call took, at least; to its first byte if no end of its response can be told."""
        return (self.t3 if self.has_end else self.t2) - self.t0

    @property
    def whole_at_least(self) -> bool:
        """Return whether the whole call may have taken longer than `whole_ns`, because its end was not seen."""
        return self.has_end and not self.t3_known

    @property
    def first_byte_ns(self) -> Optional[int]:
        """Return the time from the first byte of the request to the first byte of the response, or None if the call
        has no response."""
        return self.t2 - self.t0 if self.answered else None

    @property
    def size(self) -> int:
        """Return the bytes of the request and the response together."""
        return self.sent + self.received

    @property
    def has_stack(self) -> bool:
        """Return whether `stack` is the id of a stack."""
        return self.stack_status == StackStatus.RECORDED

    @property
    def answered(self) -> bool:
        """Return whether a response was seen."""
        return self.outcome == Outcome.ANSWERED

    @property
    def response_ns(self) -> Optional[int]:
        """Return how long the response took, at least, or None if the call has no response, or one whose end cannot
        be told."""
        return self.t3 - self.t2 if self.answered and self.has_end else None

    @property
    def role_name(self) -> str:
        """Return the role as text: "client", "server" or "unknown"."""
        return enum_text(Role, self.role)

    @property
    def outcome_name(self) -> str:
        """Return how the call ended, as text: "answered", "eof", ..."""
        return enum_text(Outcome, self.outcome)

    @property
    def kind_name(self) -> str:
        """Return what the bytes of the call are, as text: "http", "tls", ..."""
        return enum_text(Kind, self.kind)

    @property
    def is_tls(self) -> Optional[bool]:
        """Return whether the connection is encrypted, or None if it is not known."""
        return None if self.encrypted == Encrypted.UNKNOWN else self.encrypted == Encrypted.YES

    @property
    def network(self) -> Network:
        """Return what is known of the connection under the call."""
        times = self.connect_time, self.handshake_time, self.round_trip
        return Network.of_columns(times, (self.segments, self.retransmitted, self.out_of_order))

    @property
    def network_text(self) -> str:
        """Return the same as text, empty if nothing is known."""
        return self.network.text(
            "it became slow" if self.stack_is_late else "its first byte" if self.answered else "its end"
        )

    @property
    def http2_error_name(self) -> str:
        """Return the error code with which the stream was reset, as text: "cancel", ...; empty if there was none."""
        return enum_text(Http2Error, self.http2_error) if self.http2_error else ""

    @property
    def source(self) -> tuple[str, int]:
        """Return address and port of the side that sent the request: a server's peer, else the process itself.

        If the role is unknown, nobody knows who sent it, and the process comes first.
        """
        return self._peer if self.role == Role.SERVER else self._local

    @property
    def destination(self) -> tuple[str, int]:
        """Return address and port of the other side than `source`."""
        return self._local if self.role == Role.SERVER else self._peer

    @property
    def _local(self) -> tuple[str, int]:
        return address_text(self.local_address), self.local_port

    @property
    def _peer(self) -> tuple[str, int]:
        return address_text(self.peer_address), self.peer_port


def iterate_calls(calls: Array, order: npt.NDArray[np.intp]) -> Iterator[Call]:
    """Yield the calls of an array (dtype CALL) one by one in the order of the indices."""
    for first in range(0, len(order), tuning.CALLS_ITERATED_AT_ONCE):
        yield from map(Call._make, calls[order[first : first + tuning.CALLS_ITERATED_AT_ONCE]].tolist())


class Http2Error(enum.IntEnum):
    """Name the error codes with which a stream is reset (RFC 9113, 7)."""

    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    FLOW_CONTROL_ERROR = 3
    SETTINGS_TIMEOUT = 4
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9
    CONNECT_ERROR = 10
    ENHANCE_YOUR_CALM = 11
    INADEQUATE_SECURITY = 12
    HTTP_1_1_REQUIRED = 13


@lru_cache(maxsize=1 << 11)
def enum_text(kind: type[enum.IntEnum], number: int) -> str:
    """Return the name of a value of an enumeration, or `unknown (7)` for a number that this version does not know."""
    try:
        return kind(number).name.lower()
    except ValueError:
        return f"unknown ({number})"


def since_1970_ns(meta: Meta, at_ns: int) -> int:
    """Convert a time on CLOCK_MONOTONIC (at most LATEST_NS) to the wall clock, in ns since 1970, by the two clocks in
    META.

    The result is clamped so that it fits into 64 bits with a sign.
    """
    offset = meta.started_realtime_ns - meta.started_monotonic_ns
    return at_ns + max(-LATEST_NS, min(offset, LATEST_NS - 1))


def iso_time(meta: Meta, at_ns: int) -> str:
    """Convert a time on CLOCK_MONOTONIC to ISO 8601 in UTC by the two clocks in META; `unknown` beyond the year
    9999."""
    return iso_since_1970(meta.started_realtime_ns + at_ns - meta.started_monotonic_ns)


def iso_since_1970(ns: int) -> str:
    """Convert a time in ns since 1970 to ISO 8601 in UTC; `unknown` beyond the year 9999."""
    seconds, nanoseconds = divmod(ns, 1_000_000_000)
    second = _second(seconds)
    return f"{second}.{nanoseconds // 1000:06}+00:00" if second else "unknown"


@lru_cache(maxsize=1 << 12)
def _second(seconds: int) -> str:
    """Return seconds since 1970 as ISO 8601 without a zone, or an empty text beyond the year 9999."""
    try:
        return (datetime(1970, 1, 1) + timedelta(seconds=seconds)).isoformat(timespec="seconds")
    except OverflowError:
        return ""
