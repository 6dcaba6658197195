"""List the kinds of records and their fields. A chunk holds records of one kind: a head `[kind, count]`, then `count`
records.

These tables define the format in code, and FORMAT.md describes it in words. Numbers are never reused. Fields are only
ever appended, and an appended field has a default in its dataclass.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from .batch_builder import Batch
from .codec import Bool, Bytes, ListOf, MapOf, Source, Struct, Text, UInt, packed
from .elf_notes import MAX_BUILD_ID
from .errors import Malformed
from .frames import MAX_CONTENT
from .layout import check_layout
from .records import (
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
    Section,
    Stack,
)

T = TypeVar("T")

MAX_MAPS = 6 << 20  # bytes of /proc/PID/maps
MAX_MODULES = 1 << 16  # mapped modules of one process
MAX_FRAMES = 1 << 16  # bytes of addresses in one stack
MAX_REGISTERS = 1 << 10  # bytes of registers in one stack; x86_64 has 168, aarch64 272
MAX_MEMORY = 1 << 16  # bytes of memory in one stack
MAX_PART = 1 << 20  # bytes of one part of a section or JIT map
MAX_CODE_TABLE = 1 << 16  # bytes of the line table of a code object
MAX_HEAD_TEXT = 1 << 12  # bytes of the head of a request or response
MAX_HEADS = 1 << 16  # calls of one record that says which heads they have
MAX_CALL_CAUSES = 1 << 16  # calls of one record that says which causes they have
MAX_PATH = 1 << 14  # bytes of a path or name; the kernel's limit is 4,096, but escapes in maps lengthen it
MAX_TEXT = 1 << 14  # bytes of UTF-8 in a text
MAX_HEAD = 16  # bytes of the first object of a chunk
MAX_NAMES = 1 << 10  # entries of a list of fields, filters, limits or losses


class RecordKind(enum.IntEnum):
    """Number the kinds of records. Open chunks are written in the order of these lines, not of the numbers, so that
    every record follows the records that it refers to.
    """

    META = 1
    MODULE = 2
    SECTION = 9
    PROCESS = 3
    JIT_MAP = 10
    CODE = 11
    STACKS = 4
    HEAD_TEXT = 12
    CALLS = 5
    COMPLETIONS = 6
    CONNECTIONS = 14
    SHORT_CALLS = 15
    HEADS = 13
    CALL_CAUSES = 16
    LOST = 7
    END = 8


@dataclass(frozen=True)
class Head:
    """Hold the first object of a chunk: the kind of its records, and how many there are."""

    kind: int
    count: int


class LayoutCodec(Struct[Layout]):
    """Read and write a layout. Reading raises Malformed if the layout breaks the format's rules."""

    def read(self, source: Source) -> Layout:
        layout = super().read(source)
        try:
            check_layout(layout)
        except ValueError as error:
            raise Malformed(str(error)) from None
        return layout


class ColumnsCodec(Struct[T]):
    """Read and write a record whose fields are columns of numbers, of at most `limit` calls, given how many bytes a
    number of each column has. Reading raises Malformed, and packing ValueError, if a column has not one number for each
    call."""

    def __init__(self, cls: type[T], limit: int, **widths: int) -> None:
        super().__init__(cls, **{name: Bytes(width * limit, unit=width) for name, width in widths.items()})
        self._widths = widths

    def pack(self, value: T) -> object:
        self._check(value, ValueError)
        return super().pack(value)

    def read(self, source: Source) -> T:
        record = super().read(source)
        self._check(record, Malformed)
        return record

    def _check(self, record: T, error: type[Exception]) -> None:
        if len({len(getattr(record, name)) / width for name, width in self._widths.items()}) > 1:
            raise error(f"{self.cls.__name__}: a column has not one number for each call")


_u32, _u64 = UInt(32), UInt(64)
_text = Text(MAX_TEXT)
_path = Bytes(MAX_PATH)
_counts = MapOf(_text, _u64, MAX_NAMES)

_FIELD = Struct(Field, name=_text, type=_text, offset=_u32, unit=_text, coding=_text)
_LAYOUT = LayoutCodec(Layout, size=_u32, fields=ListOf(_FIELD, MAX_NAMES))

HEAD = Struct(Head, kind=_u32, count=_u32)

META = Struct(
    Meta,
    tool=_text,
    host=_text,
    kernel=_text,
    arch=_text,
    boot_id=_text,
    started_monotonic_ns=_u64,
    started_realtime_ns=_u64,
    threshold_ns=_u64,
    process_filters=ListOf(_path, MAX_NAMES),
    probes=_text,
    clock_ticks=_u32,
    page_size=_u32,
    limits=_counts,
    call_layout=_LAYOUT,
    completion_layout=_LAYOUT,
    run=_text,
    part=_u32,
    redacted=_text,
    duration_rule=_text,
    heads=_text,
    python_problem=_text,
    short_layout=_LAYOUT,
    connection_layout=_LAYOUT,
)
MODULE = Struct(
    Module,
    id=_u32,
    path=_path,
    build_id=Bytes(MAX_BUILD_ID),
    size=_u64,
    first_page_sha256=Bytes(32),
    problem=_text,
    machine=UInt(16),
)
SECTION = Struct(
    Section,
    module=_u32,
    name=_text,
    address=_u64,
    size=_u64,
    start=_u64,
    data=Bytes(MAX_PART),
    problem=_text,
)
PROCESS = Struct(
    Process,
    pid=_u32,
    start_ns=_u64,
    taken_ns=_u64,
    name=_path,
    executable=_path,
    namespace_pid=_u32,
    maps=Bytes(MAX_MAPS),
    modules=ListOf(Struct(MappedModule, address=_u64, module=_u32), MAX_MODULES),
    problem=_text,
    read_ns=_u64,
    unchanged=Bool(),
    cgroups=_path,
    container_name=_path,
)
JIT_MAP = Struct(
    JitMap,
    pid=_u32,
    process_start_ns=_u64,
    taken_ns=_u64,
    start=_u64,
    data=Bytes(MAX_PART),
    problem=_text,
    read_ns=_u64,
)
CODE = Struct(
    Code,
    pid=_u32,
    process_start_ns=_u64,
    address=_u64,
    cookie=_u64,
    problem=_text,
    name=_path,
    name_width=_u32,
    filename=_path,
    filename_width=_u32,
    first_line=_u32,
    table=Bytes(MAX_CODE_TABLE),
    bytecode=_u64,
    bytecode_size=_u32,
    first_traceable=_u32,
    position=_u32,
    line_ends=Bytes(MAX_CODE_TABLE, unit=4),
)
STACK = Struct(
    Stack,
    id=_u64,
    pid=_u32,
    process_start_ns=_u64,
    taken_ns=_u64,
    frames=Bytes(MAX_FRAMES, unit=8),
    registers=Bytes(MAX_REGISTERS, unit=8),
    memory_address=_u64,
    memory=Bytes(MAX_MEMORY),
    missing_pages=_u64,
    end=_text,
    found=Bytes(MAX_FRAMES // 8),
    copied=_u32,
    maps=_u32,
    other_maps=_u32,
    python=Bytes(MAX_FRAMES, unit=8),
    python_version=_u32,
    python_status=_u32,
    v8=Bytes(MAX_FRAMES, unit=8),
    v8_version=_u32,
    php=Bytes(MAX_FRAMES, unit=8),
    php_version=_u32,
    php_status=_u32,
)
BATCH = Struct(Batch, rows=_u32, columns=ListOf(Bytes(MAX_CONTENT), MAX_NAMES + 1), groups=_u32)
HEAD_TEXT = Struct(HeadText, number=_u32, text=Bytes(MAX_HEAD_TEXT))
HEADS = ColumnsCodec(Heads, MAX_HEADS, connections=8, sequences=4, requests=4, responses=4)
CALL_CAUSES = ColumnsCodec(
    CallCauses,
    MAX_CALL_CAUSES,
    connections=8,
    sequences=4,
    cause_connections=8,
    cause_sequences=4,
    certainties=1,
    rules=1,
)
LOST = Struct(Lost, at_ns=_u64, counts=_counts, slowest_ns=_u64, durations=ListOf(_u64, 64))
END = Struct(
    End,
    at_ns=_u64,
    reason=_text,
    clean=Bool(),
    emitted=_u64,
    recorded=_u64,
    in_flight=_u64,
    lost=_counts,
    slept_ns=_u64,
)


def chunk(kind: RecordKind, records: Sequence[bytes]) -> bytes:
    """Return the content of a chunk of records that are packed already."""
    return packed([HEAD.pack(Head(kind, len(records)))]) + b"".join(records)
