"""Build captures for the reporter's tests with the format's own writer; by default with one call of `nova-api`."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import Any

from httpcapture import (
    COUNT_NOT_KNOWN,
    NO_ROWS,
    End,
    JudgedBy,
    Layout,
    MappedModule,
    Outcome,
    Process,
    Record,
    Role,
    Stack,
    StackStatus,
    Writer,
)
from support import capture_samples
from support.capture_samples import CONNECTION_LAYOUT, SHORT_LAYOUT, layout, pack, write

MS = 1_000_000
STARTED_NS = 5_000_000_000
PROCESS_START_NS = 3_004_567_890  # not a whole clock tick
TEXT, PATH = 0x7F0000001000, b"/opt/nova/lib nova.so"
MAPS = b"%x-%x r-xp 00001000 fe:01 77    %s\n" % (TEXT, TEXT + 0x2000, PATH)

STREAM = ("stream", "http2_error")
SEQUENCE_NUMBERS = ("request_seq", "response_seq")
MARKS = ("stack_is_late", "judged_by", "first_byte_is_guess", "is_encrypted")
NETWORK = ("connect_time", "handshake_time", "round_trip", "segments", "retransmitted", "out_of_order")

# In another order than the recorder's, and with few codings: the reporter must find fields by their names.
CALL_LAYOUT = layout(
    "u64 connection - group",
    *(f"u64 {name}" for name in ["t0", "t1", "t2", "t3", "sent", "received", "cgroup", "process_start", "stack"]),
    *(f"bytes16 {name}" for name in ["comm", "process", "local_address", "peer_address"]),
    "bytes16 request_head",
    "bytes16 response_head",
    *(f"u64 {name}" for name in NETWORK[:2]),
    *(f"u32 {name}" for name in [*NETWORK[2:], "sequence", "pid", "tid", "receive_tid", *STREAM, *SEQUENCE_NUMBERS]),
    *(f"u16 {name}" for name in ["local_port", "peer_port"]),
    *(f"u8 {name}" for name in ["role", "role_source", "outcome", "stack_status"]),
    "u64 receive_stack",
    *(f"u8 {name}" for name in ["receive_stack_status", *MARKS]),
)
COMPLETION_LAYOUT = layout(
    "u64 connection - group", "u64 t3", "u64 sent", "u64 received", "u32 sequence", "u32 http2_error"
)
META = replace(
    capture_samples.META,
    process_filters=(),
    limits={},
    call_layout=CALL_LAYOUT,
    completion_layout=COMPLETION_LAYOUT,
    short_layout=NO_ROWS,
    connection_layout=NO_ROWS,
)
OLDER_CALL_LAYOUT = layout(
    *(
        " ".join(["bytes8" if field.name == "request_head" else field.type, field.name, "-", field.coding]).rstrip(" -")
        for field in CALL_LAYOUT.fields
        if field.name not in ("t3", *STREAM, *SEQUENCE_NUMBERS, *MARKS, *NETWORK)
    )
)
OLDER: dict[str, Any] = {"call_layout": OLDER_CALL_LAYOUT, "duration_rule": ""}
assert META.started_monotonic_ns == STARTED_NS


@dataclass(frozen=True)
class Row:
    """Describe one row of the call layout: addresses are text, times count from the start of the recording, t2 is
    `duration_ns` after it, and t3 `response_ns` later, as far as the row tells."""

    duration_ns: int = 250 * MS
    response_ns: int = 0
    start_ns: int = 0
    request_ns: int = 0
    connection: int = 1
    sequence: int = 0
    sent: int = 112
    received: int = 400
    comm: bytes = b"nova-api"
    process: bytes = b"nova-api"
    local: str = "192.168.1.10"
    local_port: int = 40000
    peer: str = "192.168.1.20"
    peer_port: int = 80
    request_head: bytes = b"GET /v2/"
    response_head: bytes = b"HTTP/1.1 200 OK\r"
    pid: int = 12345
    tid: int = 12346
    receive_tid: int = 12346
    stack: int = 256
    role: int = Role.CLIENT
    outcome: int = Outcome.ANSWERED
    stack_status: int = StackStatus.RECORDED
    receive_stack: int = 0
    receive_stack_status: int = StackStatus.NOT_TAKEN
    stack_is_late: int = 0
    judged_by: int = JudgedBy.WHOLE
    first_byte_is_guess: int = 0
    is_encrypted: int = 0
    connect_time: int = 0
    handshake_time: int = 0
    round_trip: int = 0
    segments: int = COUNT_NOT_KNOWN
    retransmitted: int = COUNT_NOT_KNOWN
    out_of_order: int = COUNT_NOT_KNOWN
    stream: int = 0
    http2_error: int = 0
    request_seq: int = 0
    response_seq: int = 0

    def packed(self, row_layout: Layout = CALL_LAYOUT) -> bytes:
        """Return the row, with the fields that the layout has."""
        t0 = STARTED_NS + self.start_ns
        t2 = t0 + self.duration_ns
        values = {
            **vars(self),
            **{"t0": t0, "t1": t0 + self.request_ns, "t2": t2 % (1 << 64), "t3": (t2 + self.response_ns) % (1 << 64)},
            **{"local_address": packed_address(self.local), "peer_address": packed_address(self.peer)},
            **{"cgroup": 7, "process_start": PROCESS_START_NS, "role_source": 1},
        }
        return pack(row_layout, **{field.name: values[field.name] for field in row_layout.fields})


def packed_address(text: str) -> bytes:
    address = ip_address(text)
    return address.packed if address.version == 6 else bytes(10) + b"\xff\xff" + address.packed


def completion(row: Row, after_ns: int, sent: int, received: int) -> bytes:
    """Return the completion of a call whose t3 is `after_ns` after its t2."""
    t3 = STARTED_NS + row.start_ns + row.duration_ns + after_ns
    return pack(
        COMPLETION_LAYOUT,
        connection=row.connection,
        t3=t3,
        sent=sent,
        received=received,
        sequence=row.sequence,
        http2_error=0,
    )


def stack(*addresses: int, id: int = 256, taken_ns: int = STARTED_NS + 1, pid: int = 12345) -> Stack:
    return Stack(id, pid, PROCESS_START_NS, taken_ns, struct.pack(f"<{len(addresses)}Q", *addresses))


def process(
    maps: bytes = MAPS,
    modules: Iterable[tuple[int, int]] = (),
    taken_ns: int = STARTED_NS,
    pid: int = 12345,
    problem: str = "",
) -> Process:
    mapped = tuple(MappedModule(*pair) for pair in modules)
    return Process(pid, PROCESS_START_NS, taken_ns, b"nova-api", b"/opt/nova/api", 1, maps, mapped, problem)


def capture(
    rows: Sequence[Row] = (Row(),),
    records: Sequence[Record] = (),
    completions: Sequence[bytes] = (),
    end: End | bool = True,
    *,
    older: bool = False,
    short: Sequence[Row] | None = None,
    connections: Sequence[Row] | None = None,
    **meta: Any,
) -> bytes:
    """Return a capture; `end` may be left out (False) or replaced. With `older`, its recorder judged calls by their
    first byte. `short` are the calls below the threshold if it has them; what they have in common is that of
    `connections`, by default their own."""
    stream = io.BytesIO()
    if short is not None:
        meta = {"short_layout": SHORT_LAYOUT, "connection_layout": CONNECTION_LAYOUT, **meta}
    writer = Writer(stream, replace(META, **{**(OLDER if older else {}), **meta}))
    for record in records:
        write(writer, record)
    writer.calls(b"".join(row.packed(OLDER_CALL_LAYOUT) if older else row.packed() for row in rows))
    writer.completions(b"".join(completions))
    whose = short if connections is None else connections
    writer.connections(b"".join(row.packed(CONNECTION_LAYOUT) for row in whose or ()))
    writer.short_calls(b"".join(row.packed(SHORT_LAYOUT) for row in short or ()))
    if end is True:
        end = End(STARTED_NS + 10_000 * MS, "signal", True, len(rows), len(rows), 0, {})
    if end:
        writer.end(end)
    else:
        writer.flush()
    return stream.getvalue()
