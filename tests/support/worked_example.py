"""Build a complete tiny capture and its annotated hex dump, as FORMAT.md shows it.

The dump knows zstd's frames and msgpack's first bytes, not httpcapture: it is a second reading of the specification.
httprec packs columns of large batches only; here one of a batch of three calls is packed, so that it can be shown.
"""

from __future__ import annotations

import dataclasses
import io
import itertools
import struct
from collections.abc import Iterator, Sequence
from ipaddress import IPv6Address
from unittest import mock

import msgpack
import zstandard

from httpcapture import (
    NO_ROWS,
    Code,
    End,
    Field,
    Heads,
    HeadText,
    JitMap,
    JudgedBy,
    Lost,
    MappedModule,
    Meta,
    Module,
    Outcome,
    Process,
    Record,
    Role,
    RoleSource,
    Section,
    Stack,
    StackStatus,
    WalkStatus,
    Writer,
)
from support import capture_samples
from support.capture_samples import CALL_LAYOUT, pack

SEQUENCE_NUMBER = 0x7D40_0000
LEVEL = -(1 << 17)  # zstd's fastest leaves small contents as they are: the dump can then show them

META = dataclasses.replace(
    capture_samples.META,
    process_filters=(b"nova*",),
    limits={"stack_pages": 4, "receive_stacks": 0},
    run="5f3a9c0e",
    short_layout=NO_ROWS,
    connection_layout=NO_ROWS,
)
MODULE = Module(
    id=7, path=b"/bin/nova", build_id=bytes.fromhex("c0ffee"), size=70_000, first_page_sha256=b"", machine=62
)
SECTIONS = [
    Section(module=7, name=".dynstr", address=0x400320, size=11, start=0, data=b"\0libc.so.6\0"),
    Section(module=7, name=".symtab", address=0, size=90_000, start=0, data=b"", problem="no room"),
]
PROCESS = Process(
    pid=4242,
    start_ns=3_000_000_000,
    taken_ns=5_000_100_000,
    name=b"nova-api",
    executable=b"/bin/nova",
    namespace_pid=17,
    maps=b"400000-411000 r-xp 00000000 00:19 7 /bin/nova\n7ffc00000000-7ffc00021000 rw-p 00000000 00:00 0 [stack]\n",
    modules=(MappedModule(0x400000, 7),),
    read_ns=5_000_400_000,
    cgroups=b"0::/system.slice/nova-api.service\n",
)
JIT_MAP = JitMap(
    pid=4242, process_start_ns=3_000_000_000, taken_ns=5_900_000_000, start=0, data=b"7f0000001000 40 LazyCompile:get\n"
)
CODE = Code(
    pid=4242,
    process_start_ns=3_000_000_000,
    address=0x7F00_0000_2000,
    cookie=0x51,
    problem="",
    name=b"checkout",
    filename=b"/srv/views.py",
    first_line=55,
    table=bytes((0x80, 0, 0xD8, 8)),
    bytecode=0x7F00_0000_20B8,
    bytecode_size=4,
)
STACK = Stack(
    id=1,
    pid=4242,
    process_start_ns=3_000_000_000,
    taken_ns=5_100_000_000,
    frames=struct.pack("<2Q", 0x401234, 0x402345),
    registers=struct.pack(
        "<21Q",
        *(0, 0, 0, 0x402000, 0x7FFC_0000_1020, 0x7FFC_0000_1010, 0x246, 0, 0, 0),
        *((1 << 64) - 38, 0x401234, 96, 0x404000, 5, 44, 0x401234, 0x33, 0x246, 0x7FFC_0000_1010, 0x2B),
    ),
    memory_address=0x7FFC_0000_1010,
    memory=struct.pack("<4Q", 5, 0x602000, 0, 0x402345),
    python=struct.pack("<5Q", 0x7F00_0000_3000, 0x7F00_0000_2000, 0x7F00_0000_20BA, 0x51, 1),
    python_version=0x30B,
    python_status=WalkStatus.WHOLE,
)


def _network(role: Role, sequence: int) -> dict[str, int]:
    """Return the columns that tell of the network: only a client has connected, before its first call."""
    connect_time = 1_200_000 if role == Role.CLIENT and sequence == 1 else 0
    counts = {"segments": 3, "retransmitted": 1, "out_of_order": 0}
    return {"connect_time": connect_time, "handshake_time": 0, "round_trip": 1150, **counts}


def _row(
    *,
    connection: int,
    peer: str,
    ports: tuple[int, int],
    times: tuple[int, int, int, int],
    sizes: tuple[int, int],
    heads: tuple[bytes, bytes],
    sequence: int,
    tid: int,
    role: Role,
    outcome: Outcome,
) -> bytes:
    """Return a call of nova-api as a row of CALL_LAYOUT. Only a client's call has a stack, which is late if the first
    byte of its response is not."""
    addresses = (IPv6Address("::ffff:10.0.0.5").packed, IPv6Address(peer).packed)
    stack, stack_status = (1, StackStatus.RECORDED) if role == Role.CLIENT else (0, StackStatus.NOT_TAKEN)
    return pack(
        CALL_LAYOUT,
        process_start=PROCESS.start_ns,
        connection=connection,
        cgroup=4711,
        process=PROCESS.name,
        local_address=addresses[0],
        peer_address=addresses[1],
        pid=PROCESS.pid,
        local_port=ports[0],
        peer_port=ports[1],
        t0=times[0],
        t1=times[1],
        t2=times[2],
        t3=times[3],
        sent=sizes[0],
        received=sizes[1],
        stack=stack,
        receive_stack=0,
        comm=b"api-worker",
        request_head=heads[0],
        response_head=heads[1],
        sequence=sequence,
        tid=tid,
        receive_tid=tid,
        stream=0,
        http2_error=0,
        request_seq=SEQUENCE_NUMBER + 112 * sequence,
        response_seq=0 if outcome else SEQUENCE_NUMBER - sequence,
        role=role,
        role_source=RoleSource.CONNECTION,
        outcome=outcome,
        stack_status=stack_status,
        receive_stack_status=StackStatus.NOT_TAKEN,
        stack_is_late=int(role == Role.CLIENT and times[2] - times[0] < META.threshold_ns),
        judged_by=JudgedBy.WHOLE,
        first_byte_is_guess=0,
        is_encrypted=0,
        **_network(role, sequence),
    )


CALLS = [
    _row(
        connection=77,
        peer="::ffff:10.0.0.9",
        ports=(40001, 8774),
        times=(5_100_000_000, 5_101_000_000, 5_350_000_000, 5_350_000_000),
        sizes=(112, 380),
        heads=(b"GET /v2/", b"HTTP/1.1 200 OK\r"),
        sequence=1,
        tid=4243,
        role=Role.CLIENT,
        outcome=Outcome.ANSWERED,
    ),
    _row(
        connection=78,
        peer="::ffff:10.0.0.7",
        ports=(8080, 51234),
        times=(5_200_000_000, 5_200_500_000, 5_410_000_000, 5_410_000_000),
        sizes=(0, 96),
        heads=(b"POST /v1", b""),
        sequence=1,
        tid=4244,
        role=Role.SERVER,
        outcome=Outcome.EOF,
    ),
    _row(
        connection=77,
        peer="::ffff:10.0.0.9",
        ports=(40001, 8774),
        times=(5_380_000_000, 5_380_200_000, 5_430_000_000, 5_480_000_000),
        sizes=(112, 90),
        heads=(b"GET /v2/", b"HTTP/1.1 503 Ser"),
        sequence=2,
        tid=4243,
        role=Role.CLIENT,
        outcome=Outcome.ANSWERED,
    ),
]
COMPLETION = struct.pack("<4Q2I", 77, 5_360_000_000, 112, 9000, 1, 0)
HEAD_TEXTS = [
    HeadText(1, b"GET /v2/servers?... HTTP/1.1\nhost: nova:8774\n..."),
    HeadText(2, b"HTTP/1.1 200\nretry-after: 5"),
]
HEADS = Heads(struct.pack("<2Q", 77, 77), struct.pack("<2I", 1, 2), struct.pack("<2I", 1, 1), struct.pack("<2I", 2, 0))
LOST = Lost(at_ns=6_000_000_000, counts={"call_ring_full": 0})
END = End(at_ns=6_000_000_000, reason="SIGINT", clean=True, emitted=3, recorded=3, in_flight=0)

_CLASSES = {1: Meta, 2: Module, 3: Process, 4: Stack, 7: Lost, 8: End, 9: Section, 10: JitMap, 11: Code}
_CLASSES.update({12: HeadText, 13: Heads})
_FIELDS: dict[int, Sequence[str]] = {
    number: [field.name for field in dataclasses.fields(cls)] for number, cls in _CLASSES.items()
}
_FIELDS.update({number: ["rows", "columns", "groups"] for number in (5, 6, 14, 15)})
_NAMES = [
    "-",
    "META",
    "MODULE",
    "PROCESS",
    "STACKS",
    "CALLS",
    "COMPLETIONS",
    "LOST",
    "END",
    "SECTION",
    "JIT_MAP",
    "CODE",
    "HEAD_TEXT",
    "HEADS",
    "CONNECTIONS",
    "SHORT_CALLS",
]
_PT_REGS = "r15 r14 r13 r12 bp bx r11 r10 r9 r8 ax cx dx si di orig_ax ip cs flags sp ss"
_RAW_LAST, _RLE_LAST = 1, 3  # a block header's low three bits: last block, raw or one byte repeated
_SINGLE_SEGMENT = 0x20  # a frame header's descriptor: no window, and a content size of one byte
_BLOCK_HEADER = 3  # bytes
_ARRAY_16 = 0xDC  # msgpack's first byte of an array of more than 15
_LINE = 16  # bytes
_UNBROKEN = 48  # bytes; longer arrays and maps are shown element by element


def _packed(_: object, column: bytes) -> bytes:
    """Return a column of zeros as a zstd frame of one block that repeats a byte, if that is shorter."""
    frame = struct.pack("<IBB", zstandard.MAGIC_NUMBER, _SINGLE_SEGMENT, len(column))
    frame += (len(column) << 3 | _RLE_LAST).to_bytes(_BLOCK_HEADER, "little") + bytes(1)
    return frame if not any(column) and len(frame) < len(column) else column


@mock.patch.multiple("httpcapture.batch_builder", MIN_FRAMED_ROWS_SIZE=0, MIN_FRAMED_ROWS_PER_GROUP=1)
@mock.patch("httpcapture.batch_builder.BatchBuilder._packed", _packed)
def example_capture() -> bytes:
    stream = io.BytesIO()
    writer = Writer(stream, META, level=LEVEL)
    writer.module(MODULE)
    for section in SECTIONS:
        writer.section(section)
    writer.process(PROCESS)
    writer.jit_map(JIT_MAP)
    writer.code(CODE)
    writer.stack(STACK)
    for head in HEAD_TEXTS:
        writer.head_text(head)
    writer.calls(b"".join(CALLS))
    writer.completions(COMPLETION)
    writer.heads(HEADS)
    writer.lost(LOST)
    writer.end(END)
    return stream.getvalue()


def example_records() -> list[Record]:
    """Return all records except the two batches."""
    return [META, MODULE, *SECTIONS, PROCESS, JIT_MAP, CODE, STACK, *HEAD_TEXTS, HEADS, LOST, END]


def hex_dump(capture: bytes) -> str:
    """Return lines of offset, bytes and meaning."""
    lines, offset = [], 0
    for data, meaning in _parts(capture):
        for start in range(0, len(data), _LINE):
            piece = data[start : start + _LINE]
            lines.append(f"{offset + start:04x}  {piece.hex(' '):47}  {meaning if not start else ''}".rstrip())
        offset += len(data)
    assert offset == len(capture)
    return "\n".join(lines)


def parse_dump(dump: str) -> bytes:
    """Return the bytes of a dump."""
    return b"".join(bytes.fromhex(line[6:53]) for line in dump.splitlines())


def _parts(capture: bytes) -> Iterator[tuple[bytes, str]]:
    position = 0
    while position < len(capture):
        (magic,) = struct.unpack_from("<I", capture, position)
        frame = _skippable(capture[position:]) if magic != zstandard.MAGIC_NUMBER else _chunk(capture[position:])
        for data, meaning in frame:
            yield data, meaning
            position += len(data)


def _skippable(rest: bytes) -> Iterator[tuple[bytes, str]]:
    (size,) = struct.unpack_from("<I", rest, 4)
    if rest[8:].startswith(b"httpcap"):
        yield rest[:8], f"HEADER: a skippable frame of {size} bytes"
        yield rest[8:16], 'magic, "httpcap\\0"'
        yield rest[16:24], "version 1.0, minor required 0, reserved"
        return
    yield rest[:8], f"SEEK TABLE: a skippable frame of {size} bytes"
    for at in range(8, 8 + size - 9, 8):
        yield rest[at : at + 8], "a frame of {} bytes, content {}".format(*struct.unpack_from("<II", rest, at))
    yield rest[size - 1 : size + 8], "number of frames, descriptor, magic"


def _chunk(rest: bytes) -> Iterator[tuple[bytes, str]]:
    size = zstandard.frame_header_size(rest[:5])
    content_size = zstandard.get_frame_parameters(rest[:size]).content_size
    content = rest[size + 3 : size + 3 + content_size]
    block = int.from_bytes(rest[size : size + 3], "little")
    assert block == content_size << 3 | _RAW_LAST, "zstd compressed what the example is to show"
    yield rest[:size], f"{_NAMES[content[1]]}: a zstd frame, content of {content_size} bytes"
    yield rest[size : size + 3], f"last block, raw, {content_size} bytes"
    yield from _objects(content)
    yield rest[size + 3 + content_size :][:4], "checksum"


def _objects(content: bytes) -> Iterator[tuple[bytes, str]]:
    yield content[:3], f"[kind {content[1]}, count {content[2]}]"
    start = 3
    while start < len(content):
        end = start + _array_head(content, start)
        yield content[start:end], f"array of {len(_FIELDS[content[1]])}: the record's fields"
        start = end
        for name in _FIELDS[content[1]]:
            size = _size(content, start)
            yield from _field(content[start : start + size], name, content[1])
            start += size


def _field(data: bytes, name: str, kind: int) -> Iterator[tuple[bytes, str]]:
    if name == "columns":
        yield from _columns(data, kind)
    elif name == "registers":
        yield from _registers(data)
    else:
        yield from _value(data, f"{name}: ")


def _registers(data: bytes) -> Iterator[tuple[bytes, str]]:
    yield data[:2], f"registers: {data[1]} bytes"
    for start, name in zip(range(2, len(data), 8), _PT_REGS.split()):
        word = data[start : start + 8]
        yield word, f"  {name}: {int.from_bytes(word, 'little'):#x}"


def _columns(data: bytes, kind: int) -> Iterator[tuple[bytes, str]]:
    is_calls = kind == _NAMES.index("CALLS")
    layout, rows, groups = (META.call_layout, 3, 2) if is_calls else (META.completion_layout, 1, 1)
    shared = itertools.groupby(layout.fields, lambda field: (field.type, field.coding == "delta" or field.name))
    columns = [[Field("rows of each group", "u32", 0, coding="planes")], *([*fields] for _, fields in shared)]
    start = _array_head(data, 0)
    yield data[:start], f"columns: array of {len(columns)}"
    for number, fields in enumerate(columns):
        size = _size(data, start)
        count = groups if fields[0].coding == "group" or not number else rows
        yield from _column(data[start : start + size], fields, count)
        start += size


def _column(data: bytes, fields: Sequence[Field], rows: int) -> Iterator[tuple[bytes, str]]:
    kind, coding = fields[0].type, fields[0].coding
    bits = int(kind[1:]) if kind.startswith("u") else 8 * int(kind[len("bytes") :])
    size = rows * len(fields) * bits // 8
    stored = msgpack.unpackb(data)
    column = stored if len(stored) == size else zstandard.ZstdDecompressor().decompress(stored)
    if coding in ("planes", "delta"):
        column = bytes(column[place * rows + row] for row in range(rows) for place in range(size // rows))
    values = [column[at : at + bits // 8] for at in range(0, size, bits // 8)]
    numbers = [int.from_bytes(value, "little") for value in values]
    if coding == "delta":
        numbers = [total % (1 << bits) for total in itertools.accumulate(numbers)]
    shown = _shown(numbers if kind.startswith("u") else list(map(_bytes, values)))
    names = ", ".join(field.name for field in fields)
    if len(stored) < size:
        yield data[: -len(stored)], f"  {names}, packed:"
        yield stored[:-4], f"    a zstd frame, content of {size} bytes"
        yield stored[-4:], f"    last block, one byte {size} times: {kind}{' ' * bool(coding)}{coding}: {shown}"
    else:
        yield data, f"  {names}, {kind}{' ' * bool(coding)}{coding}: {shown}"


def _bytes(value: bytes) -> object:
    """Return a value of a bytesN column as text: an IPv4 address, or the bytes without zeros at the end."""
    return str(IPv6Address(value).ipv4_mapped) if b"\xff\xff" in value else value.rstrip(b"\0")


def _value(data: bytes, label: str) -> Iterator[tuple[bytes, str]]:
    value = msgpack.unpackb(data)
    if len(data) <= _UNBROKEN or not isinstance(value, (list, dict)):
        yield data, label + _shown(value)
        return
    start = _array_head(data, 0)
    yield data[:start], f"{label}{'array' if isinstance(value, list) else 'map'} of {len(value)}"
    while start < len(data):
        size = _size(data, start)
        yield from _value(data[start : start + size], "  " + " " * (len(label) - len(label.lstrip())))
        start += size


def _array_head(data: bytes, start: int) -> int:
    """Return how many bytes give the length of the array, or of the short map, at `start`."""
    return 3 if data[start] == _ARRAY_16 else 1


def _size(data: bytes, start: int) -> int:
    """Return how many bytes the msgpack object at `start` has."""
    unpacker = msgpack.Unpacker()
    unpacker.feed(data[start:])
    unpacker.skip()
    return int(unpacker.tell())


def _shown(value: object) -> str:
    return repr(value).replace("'", '"')
