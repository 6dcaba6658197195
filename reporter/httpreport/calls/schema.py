"""Define the dtypes of calls. All calls are one numpy array, so a million are filtered, joined and summed without a
loop.

The columns of a capture (`lazy_table.py`) have the fields of RECORDED. `durations.py` joins them with their
completions. Kept calls become rows of CALL, for which t0 <= t1 <= t2 <= t3 holds, whatever the file contained.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from httpcapture import COUNT_NOT_KNOWN, StackStatus

LATEST_NS = 1 << 62  # 146 years after boot: a time beyond it is damage

RECORDED = np.dtype(
    [
        ("connection", "<u8"),
        ("t0", "<u8"),  # ns on CLOCK_MONOTONIC, as t1 to t3
        ("t1", "<u8"),
        ("t2", "<u8"),
        ("t3", "<u8"),  # as far as the row tells
        ("sent", "<u8"),  # bytes that the process sent up to then
        ("received", "<u8"),
        ("cgroup", "<u8"),
        ("process_start", "<u8"),  # ns since boot
        ("stack", "<u8"),  # Stack.id
        ("comm", "S16"),
        ("process", "S16"),
        ("local_address", "S16"),  # IPv6 or v4-mapped; numpy leaves off zero bytes at the end
        ("peer_address", "S16"),
        ("request_head", "S16"),
        ("response_head", "S16"),
        ("sequence", "<u4"),
        ("pid", "<u4"),
        ("tid", "<u4"),
        ("receive_tid", "<u4"),
        ("local_port", "<u2"),
        ("peer_port", "<u2"),
        ("role", "u1"),  # this and the next three: Role, RoleSource, Outcome, StackStatus, or an unknown number
        ("role_source", "u1"),
        ("outcome", "u1"),
        ("stack_status", "u1"),
        ("receive_stack", "<u8"),  # Stack.id
        ("receive_stack_status", "u1"),
        ("stack_is_late", "u1"),  # not 0: the stack was taken after t2, when the call became slow
        ("judged_by", "u1"),  # JudgedBy, or an unknown number
        ("first_byte_is_guess", "u1"),
        ("is_encrypted", "u1"),
        ("connect_time", "<u8"),  # ns, 0 if not known, as the next one
        ("handshake_time", "<u8"),
        ("round_trip", "<u4"),  # us, 0 if not known
        ("segments", "<u4"),  # this and the next two: or COUNT_NOT_KNOWN
        ("retransmitted", "<u4"),
        ("out_of_order", "<u4"),
        ("stream", "<u4"),  # of HTTP/2; 0 for none
        ("http2_error", "<u4"),  # with which the stream was reset; 0 for none
        ("request_seq", "<u4"),  # TCP's sequence number of its first byte; 0 if not known, as the next one
        ("response_seq", "<u4"),
    ]
)
"""The fields of the capture's call layout that the reporter uses."""

PAIR = {"receive_stack": 0, "receive_stack_status": StackStatus.NOT_TAKEN}
NETWORK = {
    **dict.fromkeys(("connect_time", "handshake_time", "round_trip"), 0),
    **dict.fromkeys(("segments", "retransmitted", "out_of_order"), COUNT_NOT_KNOWN),
}
ADDED = {
    **PAIR,
    **dict.fromkeys(("t3", "stack_is_late", "judged_by", "first_byte_is_guess", "is_encrypted"), 0),
    **dict.fromkeys(("stream", "http2_error", "request_seq", "response_seq"), 0),
    **NETWORK,
}
"""Fields of RECORDED that older captures lack, and the values that stand for them then. Those of PAIR mean nothing
without each other; those of NETWORK are in `network.py`."""

RELIED_ON = frozenset({"t3", "judged_by", "stream"})
"""Those of them on which the numbers of a report depend if a capture has them."""

OPTIONAL = {**ADDED, "cgroup": 0, "role_source": 0, "receive_tid": 0, "request_head": b"", "response_head": b""}
"""Fields of RECORDED that no number of a report depends on, and the values that mean that they are not known.

A report needs all other fields."""

CALL = np.dtype(
    [
        *((name, RECORDED[name]) for name in RECORDED.names or ()),
        ("t3_known", "?"),  # false: the end was not seen, and t3 is the earliest possible time
        ("has_end", "?"),  # false: no end of the response can be told, and the call has the duration t2 - t0
        ("duration", "<u8"),  # ns; what the report judges the call by: of the whole call, or to the first byte
        ("at_least", "?"),  # the duration is not known to be longer than that
        ("kind", "u1"),  # protocol.Kind
        ("method", "S15"),  # empty if none was seen
        ("status", "<u2"),  # 0 if none was seen
        ("encrypted", "u1"),  # protocol.Encrypted
        ("request", "<u4"),  # this and the next: the place of its head's text in CallHeads.texts
        ("response", "<u4"),
        ("workload", "<u4"),  # the number of where its process ran (Workloads)
    ]
)
"""The fields of a call joined with its completion, so `t3`, `sent` and `received` are of the whole call, its duration,
its protocol, its heads and its workload."""

HEADS = ("request", "response")
"""Those of them that `call_heads.py` looks up."""

WORKLOAD = "workload"
"""That which `workloads.py` looks up."""

COMPLETION = np.dtype([("connection", "<u8"), ("t3", "<u8"), ("sent", "<u8"), ("received", "<u8"), ("sequence", "<u4")])

SHORT = np.dtype(
    [
        *((name, "<u8") for name in ("connection", "t0", "t1", "t2", "t3", "sent", "received")),
        *((name, "<u4") for name in ("pid", "sequence", "tid", "receive_tid")),
        *((name, "<u4") for name in ("request_seq", "response_seq", "stream")),
        ("role", "u1"),
        ("outcome", "u1"),
    ]
)
"""The fields of a call below the threshold that the reporter uses: those of RECORDED with these names."""

CONNECTION = np.dtype(
    [
        *((name, "<u8") for name in ("process_start", "connection")),
        *((name, "S16") for name in ("process", "local_address", "peer_address")),
        *(("pid", "<u4"), ("local_port", "<u2"), ("peer_port", "<u2")),
    ]
)
"""The fields that such calls of a process on a connection have in common."""

Array = npt.NDArray[np.void]
Integers = npt.NDArray[np.uint64]


class ColumnsByName(Protocol):
    """Give the columns of calls by the name of a field: an array of calls, or a table."""

    def __getitem__(self, name: str, /) -> Any: ...


def duration_ns(calls: ColumnsByName) -> Integers:
    """Return the duration by which the report judges each call, in ns."""
    return np.asarray(calls["duration"], np.uint64)


def ends_of(calls: ColumnsByName) -> npt.NDArray[np.int64]:
    """Return when each call ended, in ns, as far as it is known: with its first byte if no end of its response can be
    told."""
    t0, t2, t3 = (np.asarray(calls[name]).astype(np.int64) for name in ("t0", "t2", "t3"))
    return np.maximum(t0, np.where(np.asarray(calls["has_end"]), t3, t2))


def longest_first(durations: Integers, starts: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
    """Return the indices of calls, the longest first, and of equally long ones the earliest first.

    It is fast for input that is sorted in parts, because a stable sort merges these.
    """
    order = np.argsort(~durations, kind="stable")
    sorted_durations = durations[order]
    tied = equal_neighbours(sorted_durations[1:] == sorted_durations[:-1])
    order[tied] = order[tied][np.lexsort((starts[order[tied]], ~sorted_durations[tied]))]
    return order


def equal_neighbours(same: npt.NDArray[np.bool_]) -> npt.NDArray[np.intp]:
    """Return the indices of values that are equal to the one before or after them. `same` says of each value but the
    last whether it is equal to the next."""
    return np.flatnonzero(np.append(same, False) | np.append(False, same))


def exact_sum(values: Integers) -> int:
    """Return the exact sum of up to 2**32 values: their 32-bit halves are summed separately."""
    return (int((values >> np.uint64(32)).sum()) << 32) + int((values & np.uint64(0xFFFFFFFF)).sum())
