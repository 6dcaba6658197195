"""Check that this reader reads newer and older captures, whose kinds and fields are only ever appended."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from dataclasses import MISSING, fields
from typing import Any

import pytest

from httpcapture import (
    CallCauses,
    Calls,
    Code,
    CorruptRecord,
    Heads,
    HeadText,
    JitMap,
    Lost,
    Module,
    Process,
    Reader,
    Record,
    Section,
    Stack,
)
from httpcapture import End as EndRecord
from httpcapture.chunks import RecordKind
from support.capture_bytes import (
    CALL_CAUSES,
    CALLS,
    CODE,
    END,
    HEAD_TEXT,
    HEADS,
    JIT_MAP,
    LOST,
    META_KIND,
    MODULE,
    PROCESS,
    SECTION,
    STACKS,
    capture,
    chunk,
    frame,
    header,
    layout_object,
    meta_object,
    objects,
)
from support.capture_samples import CALL_LAYOUT, META, layout, read_all

APPENDED: list[object] = ["new", {"deep": [[1, 2.5, None], b"x"]}, -7]
FRAMES = (bytes(8), bytes(168), 5, b"stack", 6, "why", b"\1", 7, 8, 9)
STACK: tuple[Any, ...] = (1, 2, 3, 4, *FRAMES, bytes(40), 0x30B, 10, bytes(32), 0xB03, bytes(40), 0x802, 10)
OBJECTS: list[tuple[int, list[object], Record]] = [
    (MODULE, [1, b"/a", b"id", 5, b"", "why", 62], Module(1, b"/a", b"id", 5, b"", "why", 62)),
    (SECTION, [1, ".text", 2, 3, 4, b"x", "why"], Section(1, ".text", 2, 3, 4, b"x", "why")),
    (
        PROCESS,
        [1, 2, 3, b"n", b"/e", 4, b"maps", [], "why", 5, True, b"0::/\n", b"/web"],
        Process(1, 2, 3, b"n", b"/e", 4, b"maps", (), "why", 5, True, b"0::/\n", b"/web"),
    ),
    (JIT_MAP, [1, 2, 3, 4, b"x", "why", 5], JitMap(1, 2, 3, 4, b"x", "why", 5)),
    (
        CODE,
        [1, 2, 3, 4, "why", b"f", 1, b"/f.py", 2, 5, b"table", 6, 7, 8, 9, bytes(8)],
        Code(1, 2, 3, 4, "why", b"f", 1, b"/f.py", 2, 5, b"table", 6, 7, 8, 9, bytes(8)),
    ),
    (STACKS, [*STACK], Stack(*STACK)),
    (HEAD_TEXT, [1, b"HTTP/1.1 200"], HeadText(1, b"HTTP/1.1 200")),
    (HEADS, [bytes(16), bytes(8), bytes(8), b"\1" * 8], Heads(bytes(16), bytes(8), bytes(8), b"\1" * 8)),
    (
        CALL_CAUSES,
        [bytes(16), bytes(8), bytes(16), bytes(8), b"\1\2", b"\3\4"],
        CallCauses(bytes(16), bytes(8), bytes(16), bytes(8), b"\1\2", b"\3\4"),
    ),
    (LOST, [1, {"a": 2}, 3, [4, 5]], Lost(1, {"a": 2}, 3, (4, 5))),
    (END, [1, "why", False, 2, 3, 4, {"a": 5}, 6], EndRecord(1, "why", False, 2, 3, 4, {"a": 5}, 6)),
]


@pytest.mark.parametrize(("kind", "values", "record"), OBJECTS)
def test_appended_fields_are_skipped(kind: int, values: list[object], record: Record) -> None:
    data = capture(chunk(kind, [*values, *APPENDED]))
    assert read_all(data)[0] == [META, record]


@pytest.mark.parametrize(("kind", "values", "record"), OBJECTS)
@pytest.mark.parametrize("deepest", [b"\x91" * 1023 + b"\x90", b"\x91" * 1024 + b"\xc0", b"\x81\xa1a" * 1024 + b"\x07"])
def test_appended_fields_as_deep_as_the_limit_are_skipped(
    kind: int, values: list[object], record: Record, deepest: bytes
) -> None:
    array = struct.pack(">BH", 0xDC, len(values) + 2)
    fields_and_more = array + objects(*values) + deepest + objects(7)
    data = capture(frame(objects([kind, 1]) + fields_and_more))
    assert read_all(data)[0] == [META, record]


def test_appended_fields_of_meta_and_its_parts_are_skipped() -> None:
    size, rows = layout_object(CALL_LAYOUT)
    assert isinstance(rows, list)
    newer = [size, [[*row, *APPENDED] for row in rows], *APPENDED]
    data = capture(meta=[*meta_object(call_layout=newer), *APPENDED])
    assert read_all(data)[0] == [META]


def test_appended_fields_of_a_head_and_of_the_header_are_skipped() -> None:
    content = objects([LOST, 1, *APPENDED], [1, {}])
    data = header(minor=7, appended=b"more") + chunk(META_KIND, meta_object()) + frame(content)
    assert read_all(data)[0] == [META, Lost(1, {})]


@pytest.mark.parametrize("content", [objects([99, 1], "?"), objects([1000, 5]), objects([77, 1]) + b"\xc1no msgpack"])
def test_chunks_of_unknown_kinds_are_skipped(content: bytes) -> None:
    data = capture(chunk(LOST, [1, {}]), frame(content), chunk(LOST, [2, {}]))
    assert read_all(data)[0] == [META, Lost(1, {}), Lost(2, {})]


def test_unknown_columns_are_offered_by_name_and_unknown_types_and_codings_left_out() -> None:
    newer = layout_object(
        layout("u32 pid", "u32 color", "u64 t0 ns", "bytes16 colour", "u64 t1 ns later", "u64 t2 ns later")
    )
    rows = newer[1]
    assert isinstance(rows, list)
    rows.append(["fraction", "f16", 0, "share"])
    columns = [b"\1\0\0\0\2\0\0\0", b"bluegrey", bytes(16), bytes(32), b"coded", b"anyhow", b"anything"]
    records, _ = read_all(capture(chunk(CALLS, [2, columns, 0, *APPENDED]), meta=meta_object(call_layout=newer)))
    calls = records[1]
    assert isinstance(calls, Calls)
    assert calls.rows == 2
    assert {name: bytes(column) for name, column in calls.columns.items()} == {
        "pid": columns[0],
        "color": columns[1],
        "t0": columns[2],
        "colour": columns[3],
    }


@pytest.mark.parametrize("kind", ["u128", "bytes0", "bytes08", "bytes10000", "u8 ", "U8", "bytes-8"])
def test_of_a_field_of_an_unknown_type_only_the_name_is_checked(kind: str) -> None:
    newer = [8, [["a", "u8", 7], ["b", kind, 2**32 - 1, "", "delta"], ["c", kind, 7, "", "delta"]]]
    chunks = chunk(CALLS, [2, [b"\5\6", b"anything", b""]])
    calls = read_all(capture(chunks, meta=meta_object(call_layout=newer)))[0][1]
    assert isinstance(calls, Calls)
    assert {name: bytes(column) for name, column in calls.columns.items()} == {"a": b"\5\6"}


@pytest.mark.parametrize("one", [b"\x01", b"\xcc\x01", b"\xcd\0\x01", b"\xcf" + bytes(7) + b"\x01", b"\xd0\x01"])
def test_an_integer_may_have_any_form_that_msgpack_has_for_it(one: bytes) -> None:
    content = b"\x92\xce\0\0\0\x07" + one + b"\xdc\0\x02" + one + b"\xdf\0\0\0\x01\xd9\x01a" + one
    assert read_all(capture(frame(content)))[0][1] == Lost(1, {"a": 1})


def test_numbers_of_enumerations_are_kept_as_they_are() -> None:
    only = layout_object(layout("u8 outcome", "bytes1 a", "u16 b", "u32 c"))
    data = capture(chunk(CALLS, [2, [b"\0\xf0", bytes(2), bytes(4), bytes(8)]]), meta=meta_object(call_layout=only))
    calls = read_all(data)[0][1]
    assert isinstance(calls, Calls)
    assert list(calls.columns["outcome"]) == [0, 0xF0]


def shortened() -> Iterator[tuple[int, list[object], Record | None]]:
    """Yield every record without its last 1 to all fields, and what it must be read as: None if a required field is
    missing."""
    for kind, values, record in OBJECTS:
        for length in range(len(values)):
            missing = fields(record)[length:]
            required = any(field.default is field.default_factory is MISSING for field in missing)
            known = [getattr(record, field.name) for field in fields(record)[:length]]
            yield kind, values[:length], None if required else type(record)(*known)


@pytest.mark.parametrize(("kind", "values", "record"), [*shortened()])
def test_missing_fields_take_their_defaults_if_they_have_them(
    kind: int, values: list[object], record: Record | None
) -> None:
    data = capture(chunk(kind, values))
    if record:
        assert read_all(data)[0] == [META, record]
    else:
        with pytest.raises(CorruptRecord):
            read_all(data)


def test_kinds_keep_their_numbers() -> None:
    """The numbers are in existing files, so this list may only grow."""
    assert [(kind.name, int(kind)) for kind in sorted(RecordKind)] == [
        ("META", 1),
        ("MODULE", 2),
        ("PROCESS", 3),
        ("STACKS", 4),
        ("CALLS", 5),
        ("COMPLETIONS", 6),
        ("LOST", 7),
        ("END", 8),
        ("SECTION", 9),
        ("JIT_MAP", 10),
        ("CODE", 11),
        ("HEAD_TEXT", 12),
        ("HEADS", 13),
        ("CONNECTIONS", 14),
        ("SHORT_CALLS", 15),
        ("CALL_CAUSES", 16),
    ]


def test_other_skippable_frames_are_stepped_over() -> None:
    comment = b"\x5f\x2a\x4d\x18\x05\x00\x00\x00hello"
    data = capture(comment, chunk(LOST, [1, {}]), comment, comment)
    with Reader(io.BytesIO(data)) as reader:
        assert list(reader) == [META, Lost(1, {})]
    assert reader.cut_off is not None
