"""Check that the writer appends whole chunks in the specified order, and that what it wrote stays readable whatever
follows."""

from __future__ import annotations

import errno
import io
import os
import shutil
import struct
import subprocess
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import zstandard

from httpcapture import (
    MAX_MAPS,
    MAX_PART,
    CallCauses,
    Calls,
    Code,
    End,
    Field,
    Heads,
    HeadText,
    JitMap,
    Layout,
    Lost,
    Meta,
    Module,
    Process,
    Reader,
    Section,
    Stack,
    Writer,
)
from support.capture_bytes import header
from support.capture_samples import (
    CALL_CAUSES,
    CALL_LAYOUT,
    CODE,
    END,
    HEAD_TEXT,
    HEADS,
    JIT_MAP,
    LOST,
    META,
    MODULE,
    PROCESS,
    SECTION,
    STACK,
    OneByOne,
    call_rows,
    read_all,
    write,
    write_all,
    write_capture,
)

SECOND = 1_000_000_000


class Pieces(io.BytesIO):
    """Accept at most three bytes at a time, as a pipe may."""

    def write(self, data: Any, /) -> int:
        return super().write(data[:3])


class Full(io.BytesIO):
    """Stand in for a file on a disk with `room` bytes left."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room = room

    def write(self, data: Any, /) -> int:
        taken = min(len(data), self.room)
        if not taken:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.room -= taken
        return super().write(data[:taken])


def kinds(capture: bytes) -> list[type]:
    return [type(record) for record in read_all(capture)[0]]


def test_header_and_meta_are_written_at_once() -> None:
    stream = io.BytesIO()
    Writer(stream, META)
    assert stream.getvalue().startswith(header())
    assert kinds(stream.getvalue()) == [Meta]


def test_a_flush_writes_what_is_referred_to_first() -> None:
    stream = io.BytesIO()
    writer = Writer(stream, META)
    writer.lost(LOST)
    writer.call_causes(CALL_CAUSES)
    writer.heads(HEADS)
    writer.calls(call_rows(1))
    writer.head_text(HEAD_TEXT)
    writer.stack(STACK)
    writer.code(CODE)
    writer.jit_map(JIT_MAP)
    writer.process(PROCESS)
    writer.section(SECTION)
    writer.module(MODULE)
    writer.flush()
    assert kinds(stream.getvalue()) == [
        Meta,
        Module,
        Section,
        Process,
        JitMap,
        Code,
        Stack,
        HeadText,
        Calls,
        Heads,
        CallCauses,
        Lost,
    ]


def test_a_full_chunk_takes_the_chunks_that_it_refers_to_along() -> None:
    stream = io.BytesIO()
    writer = Writer(stream, META, chunk_bytes=2 * CALL_LAYOUT.size)
    writer.lost(LOST)
    writer.stack(STACK)
    writer.calls(call_rows(3))
    assert kinds(stream.getvalue()) == [Meta, Stack, Calls]


def test_large_sections_follow_their_module_and_leave_what_refers_to_them_open() -> None:
    stream = io.BytesIO()
    writer = Writer(stream, META)
    writer.stack(STACK)
    for number in (1, 2):
        writer.module(replace(MODULE, id=number))
        for start in (0, MAX_PART):
            writer.section(Section(number, ".symtab", 0, 2 * MAX_PART, start, bytes(MAX_PART)))
    assert kinds(stream.getvalue()) == [Meta, Module, Section, Module, Section, Section]
    writer.end(END)
    records = read_all(stream.getvalue())[0]
    assert [(record.module, record.start) for record in records if isinstance(record, Section)] == [
        (1, 0),
        (1, MAX_PART),
        (2, 0),
        (2, MAX_PART),
    ]
    assert [type(record) for record in records[-3:]] == [Section, Stack, End]


def test_chunks_are_written_once_the_oldest_is_a_second_old() -> None:
    stream = io.BytesIO()
    writer = Writer(stream, META)
    start = META.started_monotonic_ns
    writer.tick(start + SECOND)
    writer.stack(STACK)
    writer.tick(start + 2 * SECOND - 1)
    writer.calls(call_rows(1))
    assert kinds(stream.getvalue()) == [Meta]
    writer.tick(start + 2 * SECOND)
    assert kinds(stream.getvalue()) == [Meta, Stack, Calls]


def test_no_chunk_is_larger_than_asked_unless_one_record_is() -> None:
    stream = io.BytesIO()
    writer = Writer(stream, META, chunk_bytes=1000)
    for _ in range(50):
        writer.module(MODULE)
    writer.process(replace(PROCESS, maps=bytes(5000)))
    writer.calls(call_rows(40))
    writer.end(END)
    sizes = [size for _, size in seek_table(stream.getvalue())[0]]
    *others, _meta, process = sorted(sizes)
    assert process > 5000
    assert all(size < 1200 for size in others[2:])
    assert kinds(stream.getvalue()).count(Module) == 50


def test_a_stream_that_takes_little_at_a_time() -> None:
    stream = Pieces()
    writer = Writer(stream, META)
    writer.calls(call_rows(3))
    writer.end(END)
    assert writer.bytes_written == len(stream.getvalue())
    assert read_all(stream.getvalue())[1] is None


def test_a_non_blocking_stream_that_takes_no_more_is_an_error() -> None:
    class Busy(io.RawIOBase):
        def write(self, data: object, /) -> None:
            return None

    with pytest.raises(BlockingIOError):
        Writer(Busy(), META)


@pytest.mark.parametrize("missing", [1, 20, 60, 200])
def test_a_full_disk_leaves_the_chunks_before_it_readable(missing: int) -> None:
    whole = write_capture()
    stream = Full(len(whole) - missing)
    writer = Writer(stream, META)
    with pytest.raises(OSError) as raised:
        write_all(writer)
    assert raised.value.errno == errno.ENOSPC
    assert stream.getvalue() == whole[:-missing]
    assert writer.bytes_written <= len(stream.getvalue())
    stream.room = 1 << 20
    with pytest.raises(OSError):
        writer.end(END)
    assert stream.getvalue() == whole[:-missing]


def test_a_closed_pipe_is_an_os_error() -> None:
    readable, writable = os.pipe()
    with open(writable, "wb", buffering=0) as stream:
        writer = Writer(stream, META)
        os.close(readable)
        writer.stack(STACK)
        with pytest.raises(BrokenPipeError):
            writer.flush()


def test_an_exception_out_of_a_write_ends_the_capture() -> None:
    class Interrupted(io.BytesIO):
        armed = False

        def write(self, data: Any, /) -> int:
            if self.armed:
                super().write(data[:5])
                raise KeyboardInterrupt
            return super().write(data)

    stream = Interrupted()
    writer = Writer(stream, META)
    whole = len(stream.getvalue())
    writer.stack(STACK)
    stream.armed = True
    with pytest.raises(KeyboardInterrupt):
        writer.flush()
    stream.armed = False
    with pytest.raises(OSError):
        writer.end(END)
    assert writer.bytes_written == whole
    assert len(stream.getvalue()) == whole + 5


def test_nothing_follows_end() -> None:
    stream = io.BytesIO()
    writer = Writer(stream, META)
    writer.end(END)
    writer.stack(STACK)
    with pytest.raises(ValueError, match="ended"):
        writer.flush()
    assert read_all(stream.getvalue()) == ([META, END], None)


@pytest.mark.parametrize(
    ("record", "said"),
    [
        (
            replace(PROCESS, maps=bytes(MAX_MAPS + 1)),
            "Process.maps: 6291457 bytes, the format allows 6291456",
        ),
        (replace(PROCESS, pid=-1), "Process.pid: -1 is no u32"),
        (replace(STACK, id=1 << 64), "Stack.id: 18446744073709551616 is no u64"),
        (replace(STACK, frames=b"1234567"), "Stack.frames: 7 bytes are not a multiple of 8"),
        (
            replace(LOST, counts={"x" * 20_000: 1}),
            "Lost.counts: 20000 bytes of text, the format allows 16384",
        ),
        (
            replace(MODULE, first_page_sha256=bytes(33)),
            "Module.first_page_sha256: 33 bytes, the format allows 32",
        ),
        (replace(MODULE, machine=1 << 16), "Module.machine: 65536 is no u16"),
        (replace(STACK, registers=bytes(1032)), "Stack.registers: 1032 bytes, the format allows 1024"),
        (replace(STACK, registers=bytes(7)), "Stack.registers: 7 bytes are not a multiple of 8"),
        (replace(STACK, memory=bytes(65_537)), "Stack.memory: 65537 bytes, the format allows 65536"),
        (replace(SECTION, data=bytes(MAX_PART + 1)), "Section.data: 1048577 bytes, the format allows 1048576"),
        (replace(SECTION, start=-1), "Section.start: -1 is no u64"),
        (replace(JIT_MAP, data=bytes(MAX_PART + 1)), "JitMap.data: 1048577 bytes, the format allows 1048576"),
    ],
)
def test_a_record_beyond_the_limits_is_refused_and_harms_nothing(record: OneByOne, said: str) -> None:
    stream = io.BytesIO()
    writer = Writer(stream, META)
    with pytest.raises(ValueError) as raised:
        write(writer, record)
    assert str(raised.value) == said
    writer.end(END)
    assert read_all(stream.getvalue()) == ([META, END], None)


@pytest.mark.parametrize(
    "layout",
    [
        Layout(12, (Field("a", "u32", 0),)),
        Layout(0, ()),
        Layout(8, (Field("a", "u64", 8),)),
        Layout(8, (Field("a", "u32", 2),)),
        Layout(8, (Field("a", "u8", 0), Field("a", "u8", 1))),
        Layout(8, (Field("a", "bytes3", 0),)),
        Layout(24, (Field("a", "bytes12", 0),)),
        Layout(8, (Field("a", "float", 0),)),
        Layout(8, (Field("A\x1b", "u8", 0),)),
    ],
)
def test_a_layout_against_the_rules_is_refused(layout: Layout) -> None:
    with pytest.raises(ValueError):
        Writer(io.BytesIO(), replace(META, call_layout=layout))


@pytest.mark.parametrize(("size", "side"), [(183, 0), (192, 0), (184, 8), (0, 4), (184, -8)])
def test_rows_that_are_not_whole_are_refused(size: int, side: int) -> None:
    with pytest.raises(ValueError):
        Writer(io.BytesIO(), META).calls(bytes(size), header=side)


def seek_table(capture: bytes) -> tuple[list[tuple[int, int]], int]:
    """Return the entries of the seek table and its position, read from the end as zstd's seekable format specifies."""
    frames, descriptor, magic = struct.unpack("<IBI", capture[-9:])
    start = len(capture) - 9 - 8 * frames - 8
    assert (magic, descriptor) == (0x8F92EAB1, 0)
    assert struct.unpack_from("<II", capture, start) == (0x184D2A5E, 8 * frames + 9)
    return list(struct.iter_unpack("<II", capture[start + 8 : -9])), start


def test_the_seek_table_leads_to_every_frame() -> None:
    capture = write_capture()
    entries, table = seek_table(capture)
    position, contents = 0, []
    for size, content_size in entries:
        frame = capture[position : position + size]
        content = zstandard.ZstdDecompressor().decompress(frame) if content_size else b""
        assert len(content) == content_size
        contents.append(content)
        position += size
    assert position == table
    assert [content[1] for content in contents[1:]] == [
        1,
        2,
        9,
        3,
        10,
        11,
        4,
        12,
        5,
        6,
        14,
        15,
        13,
        7,
        8,
    ]  # FORMAT.md, Chunks


def test_zstd_unpacks_a_capture(tmp_path: Path) -> None:
    zstd = shutil.which("zstd")
    assert zstd, "the zstd tool is needed: apt install zstd"
    (tmp_path / "run.cap").write_bytes(write_capture(calls=5000))
    command = [zstd, "-dc", str(tmp_path / "run.cap")]
    unpacked = subprocess.run(command, capture_output=True, check=True).stdout
    entries, _ = seek_table(write_capture(calls=5000))
    assert len(unpacked) == sum(size for _, size in entries) > 0


def test_a_capture_goes_through_a_pipe() -> None:
    readable, writable = os.pipe()

    def record() -> None:
        with open(writable, "wb", buffering=0) as stream:
            writer = Writer(stream, META, chunk_bytes=4096)
            writer.calls(call_rows(2000))
            writer.end(END)

    thread = threading.Thread(target=record)
    thread.start()
    with Reader(open(readable, "rb", buffering=0)) as reader:
        assert reader.meta == META
        records = list(reader)
    thread.join()
    assert sum(record.rows for record in records if isinstance(record, Calls)) == 2000
    assert isinstance(records[-1], End)
    assert reader.cut_off is None
