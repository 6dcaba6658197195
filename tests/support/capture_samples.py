"""Build captures for tests, fuzzers and benchmarks: layouts, rows, and a record of every kind."""

from __future__ import annotations

import functools
import io
import struct
from collections.abc import Callable
from typing import Any, Union

from httpcapture import (
    CallCauses,
    Code,
    End,
    Field,
    Heads,
    HeadText,
    JitMap,
    Layout,
    Lost,
    MappedModule,
    Meta,
    Module,
    Process,
    Reader,
    Record,
    Section,
    Stack,
    Writer,
)


def layout(*fields: str) -> Layout:
    """Return a layout of adjacent fields, each given as "type name [unit [coding]]"; "-" is no unit."""
    offset, placed = 0, []
    for field in fields:
        kind, name, *more = field.split()
        placed.append(Field(name, kind, offset, *(word.replace("-", "") for word in more)))
        offset += int(kind[5:]) if kind.startswith("bytes") else int(kind[1:]) // 8
    return Layout(offset + -offset % 8, tuple(placed))


def pack(layout: Layout, **values: bytes | int) -> bytes:
    """Return one row of a layout; every field must be given."""
    form, names = _row_format(layout)
    assert values.keys() == set(names), values.keys() ^ set(names)
    return form.pack(*(values[name] for name in names))


@functools.cache
def _row_format(layout: Layout) -> tuple[struct.Struct, list[str]]:
    """Return the struct format of a row whose fields follow each other without gaps, and the names of the fields."""
    letters = {"u8": "B", "u16": "H", "u32": "I", "u64": "Q"}
    kinds = [letters.get(field.type) or f"{field.type[5:]}s" for field in layout.fields]
    form = "<" + "".join(kinds)
    return struct.Struct(f"{form}{layout.size - struct.calcsize(form)}x"), [field.name for field in layout.fields]


CALL_LAYOUT = layout(
    "u64 process_start ns group",
    "u64 connection - group",
    "u64 cgroup - group",
    "bytes16 process - group",
    "bytes16 local_address - group",
    "bytes16 peer_address - group",
    "u32 pid - group",
    "u16 local_port - group",
    "u16 peer_port - group",
    "u64 t0 ns delta",
    "u64 t1 ns delta",
    "u64 t2 ns delta",
    "u64 t3 ns delta",
    "u64 sent bytes planes",
    "u64 received bytes planes",
    "u64 stack",
    "u64 receive_stack",
    "u64 connect_time ns",
    "u64 handshake_time ns",
    "bytes16 comm",
    "bytes16 request_head",
    "bytes16 response_head",
    "u32 sequence - delta",
    "u32 tid",
    "u32 receive_tid",
    "u32 request_seq - delta",
    "u32 round_trip",
    "u32 segments",
    "u32 retransmitted",
    "u32 out_of_order",
    "u32 stream",
    "u32 http2_error",
    "u32 response_seq - delta",
    "u8 role",
    "u8 role_source",
    "u8 outcome",
    "u8 stack_status",
    "u8 receive_stack_status",
    "u8 stack_is_late",
    "u8 judged_by",
    "u8 first_byte_is_guess",
    "u8 is_encrypted",
)
COMPLETION_LAYOUT = layout(
    "u64 connection - group",
    "u64 t3 ns delta",
    "u64 sent bytes planes",
    "u64 received bytes planes",
    "u32 sequence - delta",
    "u32 http2_error",
)
SHORT_LAYOUT = layout(
    "u64 connection - group",
    *(f"u64 {name} ns delta" for name in ("t0", "t1", "t2", "t3")),
    *(f"u64 {name} bytes planes" for name in ("sent", "received")),
    "u32 pid",
    "u32 sequence - delta",
    "u32 tid",
    "u32 receive_tid",
    "u32 request_seq - delta",
    "u32 response_seq - delta",
    "u32 stream",
    "u8 role",
    "u8 outcome",
)
CONNECTION_LAYOUT = layout(
    "u64 process_start ns group",
    "u64 connection - group",
    "bytes16 process - group",
    "bytes16 local_address - group",
    "bytes16 peer_address - group",
    "u32 pid - group",
    "u16 local_port - group",
    "u16 peer_port - group",
)
META = Meta(
    tool="httprec 0.1.0",
    host="web-1",
    kernel="6.1.0-18-amd64",
    arch="x86_64",
    boot_id="0f1f9a38-5a3c-4d0e-8f3b-3f5f0d3b1a11",
    started_monotonic_ns=5_000_000_000,
    started_realtime_ns=1_700_000_000_000_000_000,
    threshold_ns=100_000_000,
    process_filters=(b"nova-api",),
    probes="fexit",
    clock_ticks=100,
    page_size=4096,
    limits={"call_ring": 1 << 24, "connections": 65536},
    call_layout=CALL_LAYOUT,
    completion_layout=COMPLETION_LAYOUT,
    duration_rule="whole",
    short_layout=SHORT_LAYOUT,
    connection_layout=CONNECTION_LAYOUT,
)
MODULE = Module(7, b"/usr/bin/python3.11", bytes(range(20)), 6_842_880, b"", "no map_files", 62)
SECTION = Section(7, ".eh_frame", 0x5E2D48, 0x9_0000, 0x100, bytes(range(24)), "the file ends here")
PROCESS = Process(
    pid=4242,
    start_ns=3_000_000_000,
    taken_ns=5_000_100_000,
    name=b"nova-api",
    executable=b"/usr/bin/python3.11",
    namespace_pid=17,
    maps=b"00400000-00a00000 r-xp 00000000 00:19 7 /usr/bin/python3.11\n",
    modules=(MappedModule(0x400000, 7),),
    problem="",
    read_ns=5_000_200_000,
    unchanged=True,
    cgroups=b"0::/system.slice/nova-api.service\n",
    container_name=b"/nova-api",
)
JIT_MAP = JitMap(4242, 3_000_000_000, 6_000_000_000, 0, b"7f0000001000 40 LazyCompile:~get /srv/app.js:12\n", "cut", 7)
CODE = Code(
    pid=4242,
    process_start_ns=3_000_000_000,
    address=0x7F00_0000_2000,
    cookie=0x1234_5678_9ABC_DEF1,
    problem="",
    name=b"Shop.checkout",
    name_width=1,
    filename=b"/srv/app/views.py",
    filename_width=1,
    first_line=55,
    table=b"\xd8\x04\x05\x80",
    bytecode=0x7F00_0000_20B8,
    bytecode_size=24,
    first_traceable=1,
    position=200,
    line_ends=bytes(range(8)),
)
STACK = Stack(
    id=1,
    pid=4242,
    process_start_ns=3_000_000_000,
    taken_ns=5_100_000_000,
    frames=(0x401234).to_bytes(8, "little") * 3,
    registers=bytes(range(168)),
    memory_address=0x7FFC_0000_1008,
    memory=bytes(range(200, 256)),
    missing_pages=2,
    end="whole",
    found=b"\0\1\4",
    copied=56,
    maps=1,
    other_maps=2,
    python=bytes(range(40)),
    python_version=0x30B,
    python_status=1,
    v8=bytes(range(64)),
    v8_version=0xB03,
    php=bytes(range(80)),
    php_version=0x802,
    php_status=2,
)
HEAD_TEXT = HeadText(1, b"GET /v2/servers/{...}?... HTTP/1.1\nhost: nova:8774\n...")
HEADS = Heads((77).to_bytes(8, "little"), b"\2\0\0\0", b"\1\0\0\0", bytes(4))
CALL_CAUSES = CallCauses((77).to_bytes(8, "little"), b"\2\0\0\0", (78).to_bytes(8, "little"), b"\1\0\0\0", b"\2", b"\3")
LOST = Lost(6_000_000_000, {"call_ring_full": 2}, 46_000_000, (0, 0, 5))
END = End(6_000_000_000, "signal", True, 3, 3, 0, {"call_ring_full": 2})


OneByOne = Union[Module, Section, Process, JitMap, Code, Stack, HeadText, Heads, CallCauses, Lost]
_METHODS: dict[type, Callable[[Writer, Any], None]] = {
    Module: Writer.module,
    Section: Writer.section,
    Process: Writer.process,
    JitMap: Writer.jit_map,
    Code: Writer.code,
    Stack: Writer.stack,
    HeadText: Writer.head_text,
    Heads: Writer.heads,
    CallCauses: Writer.call_causes,
    Lost: Writer.lost,
}


def call_rows(count: int, seed: int = 1) -> bytes:
    """Return `count` rows of the call layout in which every byte differs from its neighbours."""
    size = CALL_LAYOUT.size * count
    return bytes((position * 37 + (position >> 8) * 11 + seed) & 0xFF for position in range(size))


def write(writer: Writer, record: Record) -> None:
    """Give the writer a record of any kind that is written one by one."""
    _METHODS[type(record)](writer, record)


def write_all(writer: Writer, calls: int = 3) -> None:
    """Write a record of every kind, and END."""
    writer.module(MODULE)
    writer.section(SECTION)
    writer.process(PROCESS)
    writer.jit_map(JIT_MAP)
    writer.code(CODE)
    writer.stack(STACK)
    writer.head_text(HEAD_TEXT)
    writer.heads(HEADS)
    writer.lost(LOST)
    writer.calls(call_rows(calls))
    writer.completions(bytes(range(COMPLETION_LAYOUT.size)))
    writer.connections(bytes(range(CONNECTION_LAYOUT.size)))
    writer.short_calls(bytes(range(2 * SHORT_LAYOUT.size)))
    writer.end(END)


def write_capture(calls: int = 3) -> bytes:
    """Return a whole capture with a record of every kind, each in a chunk of its own."""
    stream = io.BytesIO()
    write_all(Writer(stream, META), calls)
    return stream.getvalue()


def read_all(capture: bytes) -> tuple[list[Record], str | None]:
    """Return the records of a capture and its `cut_off`."""
    reader = Reader(io.BytesIO(capture))
    records = list(reader)
    return records, reader.cut_off
