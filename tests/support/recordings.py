"""Captures for the reporter's tests, written by the capture's own writer: one call of `nova-api` unless told
otherwise."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import Any

from httpcapture import (
    End,
    Field,
    JitMap,
    Layout,
    MappedModule,
    Meta,
    Outcome,
    Process,
    Record,
    Role,
    Stack,
    StackStatus,
    Writer,
)

MS = 1_000_000
STARTED_NS = 5_000_000_000
PROCESS_START_NS = 3_004_567_890  # not a whole clock tick
TEXT, PATH = 0x7F0000001000, b"/opt/nova/lib nova.so"
MAPS = b"%x-%x r-xp 00001000 fe:01 77    %s\n" % (TEXT, TEXT + 0x2000, PATH)


def layout(size: int, fields: str) -> Layout:
    """A layout from "name type" pairs in order, padded to `size`; rows of a connection are a group."""
    offset, placed = 0, []
    for name, kind in zip(*[iter(fields.split())] * 2):
        placed.append(Field(name, kind, offset, coding="group" if name == "connection" else ""))
        offset += int(kind[5:]) if kind.startswith("bytes") else int(kind[1:]) // 8
    assert size - 8 < offset <= size
    return Layout(size, placed)


CALL_LAYOUT = layout(
    200,
    """connection u64 t0 u64 t1 u64 t2 u64 sent u64 received u64 cgroup u64 process_start u64 stack u64
    comm bytes16 process bytes16 local_address bytes16 peer_address bytes16
    request_head bytes8 response_head bytes16
    sequence u32 pid u32 tid u32 receive_tid u32 local_port u16 peer_port u16
    role u8 role_source u8 outcome u8 stack_status u8
    receive_stack u64 receive_stack_status u8""",
)
COMPLETION_LAYOUT = layout(40, "connection u64 t3 u64 sent u64 received u64 sequence u32 reserved u32")
META = Meta(
    tool="httprec 0.1.0",
    host="web-1",
    kernel="6.1.0-18-amd64",
    arch="x86_64",
    boot_id="0f1f9a38-5a3c-4d0e-8f3b-3f5f0d3b1a11",
    started_monotonic_ns=STARTED_NS,
    started_realtime_ns=1_700_000_000_000_000_000,
    threshold_ns=100 * MS,
    process_filters=(),
    probes="fexit",
    clock_ticks=100,
    page_size=4096,
    limits={},
    call_layout=CALL_LAYOUT,
    completion_layout=COMPLETION_LAYOUT,
)


@dataclass(frozen=True)
class Row:
    """One row of the call layout. Addresses as text, times from the start of the recording."""

    duration_ns: int = 250 * MS
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

    def packed(self) -> bytes:
        t0 = STARTED_NS + self.start_ns
        times = (t0, t0 + self.request_ns, (t0 + self.duration_ns) % (1 << 64))
        numbers = (self.connection, *times, self.sent, self.received, 7, PROCESS_START_NS, self.stack)
        addresses = (packed_address(self.local), packed_address(self.peer))
        texts = (self.comm, self.process, *addresses, self.request_head, self.response_head)
        threads = (self.sequence, self.pid, self.tid, self.receive_tid)
        ports = (self.local_port, self.peer_port)
        kinds = (self.role, 1, self.outcome, self.stack_status)
        receive = (self.receive_stack, self.receive_stack_status)
        return struct.pack("<9Q16s16s16s16s8s16s4I2H4BQB7x", *numbers, *texts, *threads, *ports, *kinds, *receive)


def packed_address(text: str) -> bytes:
    address = ip_address(text)
    return address.packed if address.version == 6 else bytes(10) + b"\xff\xff" + address.packed


def completion(row: Row, after_ns: int, sent: int, received: int) -> bytes:
    """The completion of a call whose t3 is `after_ns` after its t2."""
    t3 = STARTED_NS + row.start_ns + row.duration_ns + after_ns
    return struct.pack("<4QII", row.connection, t3, sent, received, row.sequence, 0)


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
    **meta: Any,
) -> bytes:
    """A capture; `end` may be left out (False) or be given."""
    stream = io.BytesIO()
    writer = Writer(stream, replace(META, **meta))
    for record in records:
        getattr(writer, "jit_map" if isinstance(record, JitMap) else type(record).__name__.lower())(record)
    writer.calls(b"".join(row.packed() for row in rows))
    writer.completions(b"".join(completions))
    if end is True:
        end = End(STARTED_NS + 10_000 * MS, "signal", True, len(rows), len(rows), 0, {})
    if end:
        writer.end(end)
    else:
        writer.flush()
    return stream.getvalue()
