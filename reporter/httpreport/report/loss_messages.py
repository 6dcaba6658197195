"""Explain the ledger's loss counters to the reader of a report.

The keys of the table are the recorder's names for its counters. A name that is not in the table is shown unchanged.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from ..common.printable import printable


class Loss(NamedTuple):
    """Say what was lost, why, with what consequence, and which options to use next time (empty if none helps)."""

    what: str
    why: str
    consequence: str
    remedy: str = ""


_BUSY = "the recorder could not keep up"
_FEWER = "raise -t or --call-ring, or give -p"
_FEWER_ROWS = "raise --call-ring, or give -p or --rows slow"
_UNKNOWN_WHOSE = "of some calls below the threshold it is not known whose they were"
_NO_HEADS = "of some calls it is not known what was asked for"
_MISSED = "calls may be missing or wrong"

MEANING = {  # by the name of the counter in the ledger
    "call_ring_full": Loss("calls", _BUSY, "slow calls may be missing", _FEWER),
    "completion_ring_full": Loss("response ends", _BUSY, "some calls took longer than is shown", _FEWER),
    "short_ring_full": Loss("calls below the threshold", _BUSY, "self times may hold what they took", _FEWER_ROWS),
    "connection_ring_full": Loss("connections", _BUSY, _UNKNOWN_WHOSE, _FEWER_ROWS),
    "connection_not_repeated": Loss(
        "connections",
        "they are in an earlier part, and the recorder no longer had them",
        _UNKNOWN_WHOSE,
        "make parts longer",
    ),
    "stack_ring_full": Loss(
        "stacks",
        _BUSY,
        "some calls have no stack trace",
        "raise -t or --stack-ring, give -p, or copy less: a lower --stack-size, or --stack fp",
    ),
    "process_ring_full": Loss("processes", _BUSY, "some stack traces have no names", "give -p"),
    "python_ring_full": Loss(
        "frames of Python and PHP", _BUSY, "some stack traces have no frames of programs", "raise -t, or give -p"
    ),
    "javascript_not_read": Loss(
        "JavaScript frames",
        "reading them took too much of the recorder's time",
        "some stack traces have no frames of JavaScript programs",
        "raise -t, or give -p",
    ),
    "code_left_out": Loss(
        "functions of Python, PHP and JavaScript programs",
        "the capture had no room for more",
        "some frames of programs have no names",
        "record in parts with --rotate-size",
    ),
    "head_ring_full": Loss("heads of requests and responses", _BUSY, _NO_HEADS, "raise -t, or give -p"),
    "head_slots_used_up": Loss(
        "heads of requests and responses", "too many calls were waiting", _NO_HEADS, "give -p, or a lower --http-bytes"
    ),
    "head_left_out": Loss(
        "heads of requests and responses",
        "the capture had no room for more",
        _NO_HEADS,
        "record in parts with --rotate-size",
    ),
    "header_block_lost": Loss(
        "header blocks of HTTP/2", _BUSY, _NO_HEADS, "give -p, or leave them out with --http2-headers off"
    ),
    "process_gone": Loss("processes", "they ended before their maps were read", "some stack traces have no names"),
    "stack_slots_used_up": Loss(
        "stack copies",
        "too many calls were waiting",
        "some stack traces are by frame pointers only",
        "raise --stack-slots, or leave out --recv-stack",
    ),
    "process_left_out": Loss(
        "process maps",
        "the capture had no room for more",
        "some stack traces have no names",
        "record in parts with --rotate-size",
    ),
    "frame_slots_used_up": Loss(
        "stacks",
        "too many calls were waiting",
        "some calls have no stack trace",
        "raise --stack-slots",
    ),
    "module_left_out": Loss(
        "parts of binaries",
        "the capture's room for them was used up",
        "some stack traces are cut short or have no names, unless the same binaries are here",
        "raise --modules-size",
    ),
    "stack_not_repeated": Loss(
        "stacks",
        "they are in an earlier part, and the recorder no longer had them",
        "some calls have no stack trace",
        "make parts longer",
    ),
    "call_not_paired": Loss(
        "calls", "their connections were in a call when the recording began", "these calls are missing", ""
    ),
    "transfer_not_seen": Loss(
        "sends and receives", "they went through functions of the kernel that are not probed", _MISSED, ""
    ),
    "call_overtaken": Loss(
        "calls",
        "another thread began the next call of the connection before the send that answered had returned",
        "these calls are missing",
        "",
    ),
    "connection_map_full": Loss("connections", "too many were open", "their calls are missing", "raise --connections"),
    "stream_map_full": Loss("HTTP/2 calls", "too many were open", "these calls are missing"),
    "streams_out_of_step": Loss(
        "step with HTTP/2 connections",
        "a transfer had more frames than a probe can follow, or could not be read",
        "calls that were open then are missing",
    ),
    "streams_end_ring_full": Loss("ends of HTTP/2 connections", _BUSY, "calls that were open then are missing"),
    "thread_map_full": Loss("sends and receives", "too many threads had sent or received", _MISSED, "raise --threads"),
    "probe_missed": Loss("sends and receives", "the kernel skipped a probe", _MISSED, "try other --probes"),
    "probe_perhaps_missed": Loss(
        "sends and receives",
        "at most this many: this kernel also counts page faults in a probe",
        _MISSED,
        "use --probes fexit, whose count is exact",
    ),
}
SPARE_CALLS = {
    *("stack_ring_full", "stack_slots_used_up", "frame_slots_used_up", "stack_not_repeated"),
    *("process_ring_full", "process_gone", "process_left_out", "module_left_out"),
    *("python_ring_full", "javascript_not_read", "code_left_out"),
    "call_not_paired",
}
"""Losses after which every call that began during the recording is still there, with its times and what it asked for. A
call that was open when the recording began was made for a request that was, too."""
UNKNOWN_CONSEQUENCE = "this version of httpreport does not know what follows"


def losses(counts: Mapping[str, int], seen: Mapping[str, str]) -> list[str]:
    """Return a line for each cause with a count, the largest count first. `seen` has the times of each cause as
    text."""
    found = sorted((-count, cause) for cause, count in counts.items() if count > 0)
    return [_line(cause, -count, seen[cause]) for count, cause in found]


def lost_text(counts: Mapping[str, int]) -> str:
    """Return what was lost in few words, `lost calls: 4, stacks: 2`; empty if nothing was."""
    lost: Counter[str] = Counter()
    for cause, count in counts.items():
        lost[_loss(cause).what] += count
    listed = ", ".join(f"{what}: {count:,}" for what, count in lost.most_common() if count > 0)
    return listed and f"lost {listed}"


def _loss(cause: str) -> Loss:
    return MEANING.get(cause, Loss("events", printable(cause), UNKNOWN_CONSEQUENCE))


def _line(cause: str, count: int, seen: str) -> str:
    """Return the message for one cause."""
    loss = _loss(cause)
    next_time = f". Next time {loss.remedy}" if loss.remedy else ""
    return f"lost {loss.what}: {count:,} ({loss.why}, {seen}): {loss.consequence}{next_time}"
