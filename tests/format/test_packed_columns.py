"""Check that a large batch, whose columns are packed one by one and whose common fields are stored once per group,
reads the same as a small one."""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from dataclasses import replace

import msgpack
import pytest
import zstandard

from httpcapture import Calls, CorruptRecord, Reader, Writer
from httpcapture.frames import FrameReader
from support.capture_bytes import CALLS, frame
from support.capture_samples import META, layout

LAYOUT = layout("u64 connection - group", "u32 pid - group", "u32 port - group", "u64 t0 ns delta", "u64 size - planes")
ROWS = [(n % 7, 300 + n % 7, 80, 1_000_000 + n * n, n * 31 % 977) for n in range(4000)]
TIMES, SIZES = 4, 5  # the places of their columns in a batch


def written(rows: Sequence[tuple[int, ...]]) -> bytes:
    """Return a capture of one batch with these rows."""
    stream = io.BytesIO()
    writer = Writer(stream, replace(META, call_layout=LAYOUT))
    writer.calls(b"".join(struct.pack("<QIIQQ", *row) for row in rows))
    writer.flush()
    return stream.getvalue()


def batch(capture: bytes) -> tuple[int, list[int | list[bytes]]]:
    """Return where the chunk of calls begins, and its batch as a plain msgpack reader sees it."""
    frames = FrameReader(io.BytesIO(capture))
    for content in frames:
        head, *batches = msgpack.Unpacker(io.BytesIO(content))
        if head[0] == CALLS:
            return frames.start, batches[0]
    raise AssertionError("no calls")


def calls_of(capture: bytes) -> Calls:
    (calls,) = [record for record in Reader(io.BytesIO(capture), "run.cap") if isinstance(record, Calls)]
    return calls


def lengths(rows: Sequence[tuple[int, ...]]) -> list[tuple[int, int]]:
    """Return, for each column, its length in the file and its length unpacked."""
    capture = written(rows)
    _, (_, columns, groups) = batch(capture)
    assert isinstance(columns, list) and isinstance(groups, int)
    whole = [4 * groups, 8 * groups, 4 * groups, 4 * groups, 8 * len(rows), 8 * len(rows)]
    return list(zip(map(len, columns), whole))


def test_a_packed_batch_reads_as_its_rows() -> None:
    columns = calls_of(written(ROWS)).columns
    wanted = sorted(ROWS, key=lambda row: row[0])  # sorted() keeps the order within a connection
    found = [columns[field.name].cast("I" if field.type == "u32" else "Q") for field in LAYOUT.fields]
    assert list(zip(*found)) == wanted
    assert columns.grouped == {"connection", "pid", "port"}
    assert struct.unpack("<7I", columns.coded("pid").data) == (300, 301, 302, 303, 304, 305, 306)
    assert list(columns.group_sizes.cast("I")) == [572, 572, 572, 571, 571, 571, 571]


def test_columns_are_packed_where_that_makes_them_much_shorter() -> None:
    packed = [stored < whole for stored, whole in lengths(ROWS)]
    assert packed == [False] * 4 + [True] * 2


def test_a_long_column_is_packed_even_if_little_is_left_of_it() -> None:
    stored, whole = lengths([(*row[:4], 7) for row in ROWS])[-1]
    assert stored < 64 < whole


@pytest.mark.parametrize(
    "rows", [ROWS[:400], [(n, *row[1:]) for n, row in enumerate(ROWS)]], ids=["small", "ungrouped"]
)
def test_columns_that_are_packed_better_together_stand_as_they_are(rows: Sequence[tuple[int, ...]]) -> None:
    assert all(stored == whole for stored, whole in lengths(rows))


def test_a_damaged_column_is_found_by_who_asks_for_it() -> None:
    capture = written(ROWS)
    start, (rows, columns, groups) = batch(capture)
    assert isinstance(columns, list)
    columns[TIMES] = columns[TIMES][:20] + bytes(byte ^ 0x55 for byte in columns[TIMES][20:])
    chunk = frame(msgpack.packb([CALLS, 1]) + msgpack.packb([rows, columns, groups]))
    calls = calls_of(capture[:start] + chunk)
    assert calls.columns["size"] == calls_of(capture).columns["size"]
    with pytest.raises(CorruptRecord, match=f"^run.cap: damaged at byte {start}: column t0: zstd: ") as raised:
        calls.columns["t0"]
    assert raised.value.position == start


def zeros_frame(size: int, *, window: int, dictionary: bytes = b"", checksum: bytes = b"") -> bytes:
    """Return a zstd frame of zeros: one block that repeats a byte (RFC 8878, 3.1.1), 4 bytes of size, and a window
    descriptor."""
    descriptor = 0x80 | (0x04 if checksum else 0) | len(dictionary)
    start = struct.pack("<IBB", zstandard.MAGIC_NUMBER, descriptor, window) + dictionary + struct.pack("<I", size)
    return start + (size << 3 | 1 << 1 | 1).to_bytes(3, "little") + b"\0" + checksum


def with_sizes(column: bytes) -> tuple[int, bytes]:
    """Return where the chunk of calls begins in a capture with this column of group sizes, and the capture."""
    capture = written(ROWS)
    start, (rows, columns, groups) = batch(capture)
    assert isinstance(columns, list)
    columns[SIZES] = column
    return start, capture[:start] + frame(msgpack.packb([CALLS, 1]) + msgpack.packb([rows, columns, groups]))


ZEROS = 8 * len(ROWS)
CHECKSUM = zstandard.ZstdCompressor(write_checksum=True).compress(bytes(ZEROS))[-4:]
MIB_8, MIB_9 = 0x68, 0x69  # window descriptors (RFC 8878, 3.1.1.1.2)


@pytest.mark.parametrize(
    "column",
    [
        zeros_frame(ZEROS, window=MIB_8),
        zeros_frame(ZEROS, window=MIB_8, dictionary=b"\0"),
        zeros_frame(ZEROS, window=0, checksum=CHECKSUM),
        zstandard.compress(bytes(ZEROS)),
    ],
    ids=["a window of 8 MiB", "dictionary 0", "a checksum", "single segment"],
)
def test_a_packed_column_is_any_frame_that_the_format_allows(column: bytes) -> None:
    assert bytes(calls_of(with_sizes(column)[1]).columns["size"]) == bytes(ZEROS)


@pytest.mark.parametrize(
    ("column", "reason"),
    [
        (zeros_frame(ZEROS, window=MIB_9), "its frame must have no dictionary, and a window of at most 8 MiB"),
        (
            zeros_frame(ZEROS, window=0, dictionary=b"\1"),
            "its frame must have no dictionary, and a window of at most 8 MiB",
        ),
        (zeros_frame(ZEROS, window=MIB_8) + b"behind", "there are bytes after its zstd frame"),
        (zeros_frame(ZEROS, window=0, checksum=CHECKSUM) + b"\0", "there are bytes after its zstd frame"),
        (zstandard.compress(bytes(ZEROS)) + zstandard.compress(b""), "there are bytes after its zstd frame"),
        (zeros_frame(ZEROS, window=0)[:-1], "zstd: .*"),
        (struct.pack("<II", 0x184D2A50, ZEROS), ".*"),
    ],
    ids=["a window of 9 MiB", "a dictionary", "6 bytes", "a byte", "a second frame", "cut off", "a skippable frame"],
)
def test_a_packed_column_that_is_not_one_frame_with_a_small_window_is_damaged(column: bytes, reason: str) -> None:
    start, capture = with_sizes(column)
    calls = calls_of(capture)
    with pytest.raises(CorruptRecord, match=f"^run.cap: damaged at byte {start}: column size: {reason};"):
        calls.columns["size"]
