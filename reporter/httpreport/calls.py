"""Calls are one numpy array, so that a million of them are filtered, joined and summed without a loop.

A batch of the capture becomes rows of RECORDED (`from_batch`); joined with their completions they become rows
of CALL (`complete`). From here on t0 <= t1 <= t2 <= t3 holds for every call, whatever the file said.
"""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt

from httpcapture import Calls, Completions, Layout, Outcome, StackStatus

from . import payload
from .errors import ReportError

LATEST_NS = 1 << 62  # 146 years after boot: a time beyond it is damage

RECORDED = np.dtype(
    [
        ("connection", "<u8"),
        ("t0", "<u8"),  # ns on CLOCK_MONOTONIC, as t1 to t3
        ("t1", "<u8"),
        ("t2", "<u8"),
        ("sent", "<u8"),  # bytes by the process up to t2
        ("received", "<u8"),
        ("cgroup", "<u8"),
        ("process_start", "<u8"),  # ns since boot
        ("stack", "<u8"),  # Stack.id
        ("comm", "S16"),
        ("process", "S16"),
        ("local_address", "S16"),  # IPv6 or v4-mapped; numpy leaves off zero bytes at the end
        ("peer_address", "S16"),
        ("request_head", "S8"),
        ("response_head", "S16"),
        ("sequence", "<u4"),
        ("pid", "<u4"),
        ("tid", "<u4"),
        ("receive_tid", "<u4"),
        ("local_port", "<u2"),
        ("peer_port", "<u2"),
        (
            "role",
            "u1",
        ),  # httpcapture's Role, RoleSource, Outcome, StackStatus; or a number that it does not know
        ("role_source", "u1"),
        ("outcome", "u1"),
        ("stack_status", "u1"),
        ("receive_stack", "<u8"),  # Stack.id
        ("receive_stack_status", "u1"),
    ]
)
"""A call as recorded: the fields of the capture's call layout that the reporter uses."""

ADDED = {"receive_stack": 0, "receive_stack_status": StackStatus.NOT_TAKEN}
"""Fields of RECORDED that older captures lack, and their values there."""

CALL = np.dtype(
    [
        *((name, RECORDED[name]) for name in RECORDED.names or ()),
        ("t3", "<u8"),
        ("t3_known", "?"),  # false: the end was not seen, t3 is the earliest that it can be
        ("kind", "u1"),  # payload.Kind
        ("method", "S7"),  # empty where none was seen
        ("status", "<u2"),  # 0 where none was seen
    ]
)
"""A call with its completion (`sent` and `received` are those of the whole call) and what its payload
says."""

COMPLETION = np.dtype([("connection", "<u8"), ("t3", "<u8"), ("sent", "<u8"), ("received", "<u8"), ("sequence", "<u4")])

Array = npt.NDArray[np.void]
Integers = npt.NDArray[np.uint64]


def from_batch(batch: Calls | Completions, layout: Layout, dtype: np.dtype[np.void]) -> Array:
    """The rows of a batch as an array of `dtype` (RECORDED or COMPLETION); other columns are left out.

    Raises ReportError where a field is missing or wider than in `dtype`.
    """
    rows = np.empty(batch.rows, dtype)
    types = {field.name: field.type for field in layout.fields}
    for name in dtype.names or ():
        if name not in types and name in ADDED:
            rows[name] = ADDED[name]
            continue
        if name not in types or name not in batch.columns:
            raise ReportError(f"the capture has no field '{name}', which this httpreport needs: use a newer httpreport")
        column = np.frombuffer(batch.columns[name], _dtype_of(types[name]), batch.rows)
        if not np.can_cast(column.dtype, dtype[name], "safe"):
            what = f"the capture's field '{name}' is {types[name]}, wider than this httpreport knows"
            raise ReportError(f"{what}: use a newer httpreport")
        rows[name] = column
    return rows


def add_up(column: bytes | bytearray, width: int) -> bytes:
    """httpcapture's `add_up`: the sums of the first 1, 2, 3, ... values of `width` bytes, modulo 2^(8 * width)."""
    return np.cumsum(np.frombuffer(column, f"<u{width}"), dtype=f"<u{width}").tobytes()


def make_possible(calls: Array) -> int:
    """Hold t0 <= t1 <= t2 by changing the calls (RECORDED) in place, and count those whose t0 or t2 cannot
    be: their duration becomes 0."""
    impossible = (calls["t2"] < calls["t0"]) | (calls["t2"] > LATEST_NS)
    calls["t0"] = np.minimum(calls["t0"], LATEST_NS)
    calls["t2"] = np.where(impossible, calls["t0"], calls["t2"])
    calls["t1"] = np.clip(calls["t1"], calls["t0"], calls["t2"])
    return int(np.count_nonzero(impossible))


def complete(recorded: Array, completions: Array, *, all_known: bool) -> Array:
    """RECORDED calls as CALL: joined with their COMPLETION by (connection, sequence), of several the one with
    the latest t3. A call without one had t3 = t2; that is certain only if `all_known`, that is, no completion
    was lost."""
    calls = np.empty(len(recorded), CALL)
    for name in RECORDED.names or ():
        calls[name] = recorded[name]
    calls["kind"], calls["method"], calls["status"] = payload.read(calls["request_head"], calls["response_head"])
    calls["t3"] = calls["t2"]
    ended = np.isin(calls["outcome"], (Outcome.EOF, Outcome.RESET, Outcome.CLOSED))
    calls["t3_known"] = ended | (all_known & (calls["outcome"] == Outcome.ANSWERED))
    _join(calls, completions)
    return calls


def _join(calls: Array, completions: Array) -> None:
    if not len(calls) or not len(completions):
        return
    connections = _numbered(np.concatenate([calls["connection"], completions["connection"]]))
    sequences = np.concatenate([calls["sequence"], completions["sequence"]])
    keys = connections << np.uint64(32) | sequences
    wanted, offered = keys[: len(calls)], keys[len(calls) :]
    order = np.lexsort((completions["t3"], offered))
    latest = order[np.maximum(np.searchsorted(offered[order], wanted, side="right") - 1, 0)]
    completion = completions[latest]
    found = (offered[latest] == wanted) & (calls["outcome"] == Outcome.ANSWERED)
    found &= (completion["t3"] >= calls["t2"]) & (completion["t3"] <= LATEST_NS)
    for name in ("t3", "sent", "received"):
        calls[name][found] = completion[name][found]
    calls["t3_known"] |= found


def duration_ns(calls: Array) -> Integers:
    """t2 - t0 of each call."""
    return np.asarray(calls["t2"] - calls["t0"], np.uint64)


def total(values: Integers) -> int:
    """The exact sum, however large: the halves of up to 2**32 values are summed apart."""
    return (int((values >> np.uint64(32)).sum()) << 32) + int((values & np.uint64(0xFFFFFFFF)).sum())


def _numbered(connections: Integers) -> Integers:
    """Small numbers (fewer than 2**32) that are equal where the connections are."""
    return np.unique(connections, return_inverse=True)[1].astype(np.uint64)


def _dtype_of(type_name: str) -> np.dtype[np.generic]:
    """The column type of a Field: u8 to u64 count bits, bytesN bytes."""
    unsigned = re.fullmatch(r"u(8|16|32|64)", type_name)
    if unsigned:
        return np.dtype(f"<u{int(unsigned[1]) // 8}")
    return np.dtype(f"S{int(type_name[len('bytes') :])}")
