"""Check that a truncated capture is read up to its last whole chunk, and a damaged one up to the damage."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import pytest

from httpcapture import (
    Calls,
    CaptureError,
    Completions,
    CorruptRecord,
    End,
    Lost,
    NotACapture,
    Reader,
    Record,
    Stack,
    UnsupportedVersion,
    open_capture,
)
from support.capture_bytes import (
    CALLS,
    META_KIND,
    MODULE,
    STACKS,
    capture,
    chunk,
    frame,
    header,
    layout_object,
    meta_object,
    objects,
    raw_frame,
)
from support.capture_bytes import END as END_KIND
from support.capture_bytes import LOST as LOST_KIND
from support.capture_samples import META, layout, read_all, write_capture

CAPTURE = write_capture()
RECORDS, _ = read_all(CAPTURE)
END_OBJECT = [6, "signal", True, 0, 0, 0, {}]


def frame_starts(data: bytes) -> list[int]:
    """Return where each frame of a capture begins according to its seek table, ending with the table itself."""
    count = int.from_bytes(data[-9:-5], "little")
    table = len(data) - 17 - 8 * count
    starts = [0]
    for entry in range(table + 8, table + 8 + 8 * count, 8):
        starts.append(starts[-1] + int.from_bytes(data[entry : entry + 4], "little"))
    assert starts[-1] == table
    return starts


STARTS = frame_starts(CAPTURE)
META_END, END_START, SEEK_TABLE = STARTS[2], STARTS[-2], STARTS[-1]


def read_until_damage(data: bytes) -> tuple[list[Record], str | None, CaptureError | None]:
    """Return the records before the end or the damage, `cut_off`, and the error."""
    records: list[Record] = []
    try:
        reader = Reader(io.BytesIO(data), "run.cap")
        records.extend(iter(reader))
    except CaptureError as error:
        return records, None, error
    return records, reader.cut_off, None


def test_cut_off_at_every_byte() -> None:
    for length in range(len(CAPTURE) + 1):
        records, cut_off, error = read_until_damage(CAPTURE[:length])
        whole_chunks = sum(start <= length for start in STARTS[2:])
        assert records == RECORDS[:whole_chunks]
        if length < STARTS[1]:
            assert isinstance(error, NotACapture), length
        elif length < META_END:
            assert isinstance(error, CorruptRecord), length
            assert error.position == STARTS[1]
        elif length < SEEK_TABLE:
            assert error is None, length
            assert cut_off is not None
            assert f"the file ends at byte {length}, " in cut_off
        else:
            assert (error, cut_off) == (None, None), length


def test_fewer_than_4_bytes_that_begin_no_frame_are_a_cut() -> None:
    missing = f"END is missing: the file ends at byte {END_START + 3}, inside the chunk at byte {END_START}"
    assert read_all(CAPTURE[:END_START] + b"any")[1] == missing


def test_a_cut_between_chunks_and_inside_one_are_told_apart() -> None:
    between, inside = read_all(CAPTURE[:END_START])[1], read_all(CAPTURE[: END_START + 9])[1]
    assert between == f"END is missing: the file ends at byte {END_START}, after a whole chunk"
    assert inside == (f"END is missing: the file ends at byte {END_START + 9}, inside the chunk at byte {END_START}")


@pytest.mark.parametrize("flip", [0xFF, 0x01, 0x80, 0x10])
def test_no_flipped_bit_goes_unnoticed(flip: int) -> None:
    """A flipped bit is reported after all chunks before it were read, or it changes nothing (reserved fields,
    padding)."""
    unnoticed = 0
    for position in range(len(CAPTURE)):
        damaged = bytearray(CAPTURE)
        damaged[position] ^= flip
        records, cut_off, error = read_until_damage(bytes(damaged))
        frame_before = sum(start <= position for start in STARTS) - 1
        if error or cut_off:
            assert records == RECORDS[: max(0, frame_before - 1)], position
        else:
            assert records == RECORDS, position
            unnoticed += position < SEEK_TABLE
        if isinstance(error, CorruptRecord) and STARTS[1] <= position < SEEK_TABLE:
            assert error.position == STARTS[frame_before], position
    assert unnoticed < 40


def test_records_before_the_damage_are_yielded_and_it_is_located(tmp_path: Path) -> None:
    path = tmp_path / "run.cap"
    damaged = bytearray(CAPTURE)
    damaged[END_START - 1] ^= 1
    path.write_bytes(damaged)
    records = []
    with open_capture(path) as reader, pytest.raises(CorruptRecord) as raised:
        for record in reader:
            records.append(record)
    assert records == RECORDS[:-2]
    assert raised.value.position == STARTS[-3]
    message = str(raised.value)
    assert message.startswith(f"{path}: damaged at byte {STARTS[-3]}: zstd: ")
    assert message.endswith("copy it again")


def test_calls_are_equal_when_their_columns_are() -> None:
    """The comparisons above rely on this."""
    calls = [record for record in RECORDS if isinstance(record, (Calls, Completions))]
    assert calls == [record for record in read_all(CAPTURE)[0] if isinstance(record, (Calls, Completions))]
    assert calls[0].columns["pid"] != calls[0].columns["tid"]


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"\0" * 500, b"#!/bin/sh\n", CAPTURE[24:], frame(b"text"), header()[:-1], b"PK\3\4" * 99),
        struct.pack("<II", 0x184D2A50, 15) + header()[8:-1],
        header(appended=bytes(1009)) + CAPTURE[24:],
        header(major=2, appended=bytes(1009)),
    ],
)
def test_other_files_are_not_captures(data: bytes) -> None:
    with pytest.raises(NotACapture, match=r"run\.cap: not a capture, it .*: give the file that httprec -o wrote"):
        Reader(io.BytesIO(data), "run.cap")


@pytest.mark.parametrize("version", [(2, 0, 0), (0, 9, 0), (1, 9, 2)])
def test_a_version_that_cannot_be_read_is_named(version: tuple[int, int, int]) -> None:
    major, minor, _ = version
    with pytest.raises(UnsupportedVersion, match=rf"version {major}\.{minor} .* this reader knows 1\.0: "):
        Reader(io.BytesIO(header(*version) + CAPTURE[24:]))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (header() + chunk(LOST_KIND, [1, {}]), "the first chunk is not a META record"),
        (header() + frame(objects([META_KIND, 1], meta_object(), 0)), "bytes after the chunk's last record"),
        (capture(chunk(1, meta_object())), "a second META"),
        (capture(chunk(END_KIND, END_OBJECT), chunk(LOST_KIND, [1, {}])), "a record after END"),
        (capture(chunk(END_KIND, END_OBJECT, END_OBJECT)), "a record after END"),
        (capture(frame(objects([LOST_KIND, 1], [1, {}], 0))), "bytes after the chunk's last record"),
        (capture(frame(objects([LOST_KIND, 2], [1, {}]))), "a record ends early"),
        (capture(frame(objects([STACKS, 0], 0))), "bytes after the chunk's last record"),
        (capture(frame(objects([CALLS, 0], 0))), "bytes after the chunk's last record"),
        (header() + chunk(META_KIND) + chunk(META_KIND, meta_object()), "the first chunk is not a META record"),
        (capture(chunk(META_KIND)), "a second META"),
        (capture(chunk(END_KIND, END_OBJECT)) + b"\n" * 9, "no zstd frame begins here"),
        (capture(chunk(END_KIND, END_OBJECT)) * 2, "a second META"),
        (capture(chunk(77)[:-1] + b"?"), "zstd: "),
        (capture(chunk(77)[:-4] + b"1234" + chunk(LOST_KIND, [1, {}])), "zstd: "),
        (capture(b"\x28\xb5\x2f\xfd\x24\x00"), "declared size"),
        (capture(raw_frame(bytes(9))[:9] + b"\xff\xff\xff"), "a block has a kind or size"),
    ],
)
def test_chunks_out_of_place(data: bytes, reason: str) -> None:
    _, _, error = read_until_damage(data)
    assert isinstance(error, CorruptRecord)
    assert reason in error.reason


@pytest.mark.parametrize(
    ("behind", "kinds"),
    [
        (chunk(MODULE) + chunk(CALLS) + chunk(STACKS) + chunk(END_KIND, END_OBJECT), [End]),
        (chunk(END_KIND, END_OBJECT) + chunk(STACKS) + chunk(MODULE), [End]),
        (chunk(END_KIND, END_OBJECT) + chunk(77, 1, {}), [End]),
        (chunk(END_KIND, END_OBJECT) + b"any"[:3], [End]),
        (chunk(STACKS, [0, 2, 3, 4, b""]) + chunk(END_KIND, END_OBJECT), [Stack, End]),
        (chunk(END_KIND, END_OBJECT) + chunk(LOST_KIND, [1, {}])[:-1], [End]),
        (raw_frame(objects([LOST_KIND, 1], [1, {}]), unused_bit=True) + chunk(END_KIND, END_OBJECT), [Lost, End]),
        (raw_frame(objects([LOST_KIND, 1], [1, {}]), dictionary=0) + chunk(END_KIND, END_OBJECT), [Lost, End]),
    ],
    ids=[
        "empty chunks",
        "empty chunks behind END",
        "an unknown kind",
        "3 bytes",
        "a stack with the id 0",
        "a cut frame",
        "a bit",
        "dictionary 0",
    ],
)
def test_what_the_format_allows_is_no_damage(behind: bytes, kinds: list[type[Record]]) -> None:
    records, cut_off, error = read_until_damage(capture(behind))
    assert (cut_off, error) == (None, None)
    assert list(map(type, records[1:])) == kinds


def test_batches_and_groups_may_have_no_rows() -> None:
    shape = layout_object(layout("u32 a - group", "u32 b - group", "u64 c"))
    sizes, values = bytes([0, 3, 0]) + bytes(9), struct.pack("<3I", 7, 8, 9)
    batches = chunk(CALLS, [3, [sizes, values, values, bytes(24)], 3], [0, [b""] * 4, 0])
    records, _, error = read_until_damage(capture(batches, meta=meta_object(shape)))
    assert error is None
    assert [dict(record.columns) for record in records if isinstance(record, Calls)] == [
        {"a": struct.pack("<3I", 8, 8, 8), "b": struct.pack("<3I", 8, 8, 8), "c": bytes(24)},
        {"a": b"", "b": b"", "c": b""},
    ]


def test_a_reader_is_read_once() -> None:
    reader = Reader(io.BytesIO(capture(chunk(LOST_KIND, [5, {"a": 1}]))))
    assert next(iter(reader)) == META
    assert list(reader) == [Lost(5, {"a": 1})]
    assert list(reader) == []
