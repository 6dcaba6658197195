"""Check that the code in FORMAT.md decodes what the writer writes, and agrees with httpreport."""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgpack
import numpy as np
import pytest
import zstandard
from hypothesis import example, given
from hypothesis import strategies as st

from httpcapture import Layout, Writer
from httpcapture.frames import FrameReader
from httpreport.calls import protocol
from support.capture_bytes import CALLS
from support.capture_samples import META, layout
from support.specification import function

DECODE, KIND_METHOD_STATUS = function("decode"), function("kind_method_status")
CODES = {"u8": "B", "u16": "H", "u32": "I", "u64": "Q", "bytes8": "8s", "bytes16": "16s"}
SHAPES = [  # of rows of 8, 16 and 24 bytes; what is of groups comes first, in whole words
    "u64 a - group, u64 t0 ns delta, u64 t1 ns delta",
    "bytes8 a - group, u32 b - delta, u16 c - delta, u16 d - delta, u64 e - planes",
    "u32 a - group, u32 b - group, u8 c - delta, u8 d, u16 e - planes, u32 f",
    "u64 a - delta, u32 b - planes, u32 c - delta, u32 d - delta, u32 e",
    "u32 a, u16 b - planes, u8 c - planes, u8 d",
    "bytes16 a - group, bytes8 b - planes, bytes16 c",
]
HEADS = [
    *(b"GET / HT", b"DELETE /", b"CONNECT ", b"get / HT", b"GETS / H", b"PRI * HT", b"HEAD", b"\0ET / HT"),
    *(b"HTTP/1.1 200 OK\r", b"HTTP/1.0 404 \0\0\0", b"HTTP/1.1 20 OK\r\n", b"HTTP/1.1\t200 OK\r", b"HTTP/2.0 200 OK\r"),
    *(b"\x16\x03\x01\x02\0", b"\x17\x03\x03\0\x13", b"\x18\x03\x04", b"\x19\x03\x03", b"\x13\x03\x03", b"\x16\x02\0"),
    *(b"\x16\x03\x05", b"\0\x16\x03\x01", b"", b"\0\0\0\0\0\0\0\0\1"),
]


def unpack(data: bytes, size: int) -> bytes:
    assert zstandard.frame_content_size(data) == size
    return bytes(zstandard.ZstdDecompressor().decompress(data))


def record_of(shape: Layout, rows: Sequence[bytes]) -> list[Any]:
    """Return the record of CALLS that the writer makes from these rows, as a plain msgpack reader sees it."""
    stream = io.BytesIO()
    writer = Writer(stream, replace(META, call_layout=shape))
    writer.calls(b"".join(rows))
    writer.flush()
    *_, content = FrameReader(io.BytesIO(stream.getvalue()))
    head, record = msgpack.Unpacker(io.BytesIO(content))
    assert head == [CALLS, 1]
    return list(record)


def decoded(shape: Layout, record: Sequence[Any]) -> list[tuple[object, ...]]:
    """Decode the rows with the code in FORMAT.md."""
    values = DECODE([(field.name, field.type, field.coding) for field in shape.fields], *record, unpack)
    assert [*values] == [field.name for field in shape.fields]
    assert {len(column) for column in values.values()} <= {record[0]}
    return [*zip(*values.values())]


def size_of_common(shape: Layout) -> int:
    return struct.calcsize("<" + "".join(CODES[field.type] for field in shape.fields if field.coding == "group"))


def in_groups(shape: Layout, rows: Sequence[bytes]) -> list[tuple[object, ...]]:
    """Return the rows in the order of the file: each group together, and groups in the order of their first rows."""
    common = size_of_common(shape)
    firsts = {row[:common]: place for place, row in reversed([*enumerate(rows)])}
    split = struct.Struct("<" + "".join(CODES[field.type] for field in shape.fields))
    return [split.unpack_from(row) for row in sorted(rows, key=lambda row: firsts[row[:common]])]


@given(st.sampled_from(SHAPES), st.data())
def test_the_code_decodes_what_the_writer_writes(fields: str, data: st.DataObject) -> None:
    shape = layout(*fields.split(", "))
    row = st.binary(min_size=shape.size, max_size=shape.size)
    keys = data.draw(st.lists(row, min_size=1, max_size=3))
    common = size_of_common(shape)
    rows = data.draw(
        st.lists(st.builds(lambda key, rest: key[:common] + rest[common:], st.sampled_from(keys), row), min_size=1)
    )
    assert decoded(shape, record_of(shape, rows)) == in_groups(shape, rows)


def test_the_code_decodes_packed_columns() -> None:
    shape = layout("u64 a - group", "u64 t0 ns delta", "u64 t1 ns delta", "u64 b - planes")
    rows = [struct.pack("<4Q", n % 7, 1000 + n * n, 1005 + n * n, n * 31 % 977) for n in range(4000)]
    record = record_of(shape, rows)
    whole = [4 * 7, 8 * 7, 16 * 4000, 8 * 4000]
    assert [len(column) < size for column, size in zip(record[1], whole)] == [False, False, True, True]
    assert decoded(shape, record) == in_groups(shape, rows)


def test_the_code_decodes_groups_of_no_rows_and_batches_of_none() -> None:
    shape = layout("u32 a - group", "u32 b - group", "u64 c")
    sizes, groups = bytes([0, 3, 0]) + bytes(9), struct.pack("<3I", 7, 8, 9)
    record = [3, [sizes, groups, groups, struct.pack("<3Q", 1, 2, 3)], 3]
    assert decoded(shape, record) == [(8, 8, 1), (8, 8, 2), (8, 8, 3)]
    assert decoded(shape, [0, [b"", b"", b"", b""], 0]) == []


@pytest.mark.parametrize("unknown", [("u128", "delta"), ("bytes0", ""), ("u64", "runs"), ("text", "group")])
def test_the_code_leaves_out_fields_of_unknown_types_and_codings(unknown: tuple[str, str]) -> None:
    fields = [("a", "u16", "group"), ("x", *unknown), ("y", *unknown), ("b", "u8", "")]
    columns = [bytes([2, 0, 0, 0]), b"\x05\x01", b"?", b"??", b"\x07\x08"]
    assert DECODE(fields, 2, columns, 1, unpack) == {"a": [261, 261], "b": [7, 8]}


@given(
    st.sampled_from(HEADS) | st.binary(max_size=8),
    st.sampled_from(HEADS) | st.binary(max_size=16),
)
@example(b"GET /", b"")
@example(b"GET /", b"\x16\x03\x01")
@example(b"GET /", b"HTTP/2 2")
@example(b"", b"HTTP/1.1 000")
def test_the_code_for_kinds_says_what_httpreport_says(request: bytes, response: bytes) -> None:
    request_head, response_head = request[:8].ljust(8, b"\0"), response[:16].ljust(16, b"\0")
    found = protocol.read_protocol(np.array([request_head], "S8"), np.array([response_head], "S16"))
    kind = protocol.Kind(int(found.kind[0])).name.lower()
    assert KIND_METHOD_STATUS(request_head, response_head) == (kind, found.method[0], found.status[0])
    assert KIND_METHOD_STATUS(request[:8], response[:16]) == (kind, found.method[0], found.status[0])


@pytest.mark.parametrize(
    ("request_head", "response_head", "wanted"),
    [
        (b"GET /a\0\0", b"HTTP/1.1 200 OK\r", ("http", b"GET", 200)),
        (b"PATCH /a", bytes(16), ("http", b"PATCH", 0)),
        (bytes(8), b"HTTP/1.0 404 Not", ("http", b"", 404)),
        (b"GET /a\0\0", b"250 ok\0\0\0\0\0\0\0\0\0\0", ("tcp", b"", 0)),
        (b"\x17\x03\x03\x01\0\0\0\0", bytes(16), ("tls", b"", 0)),
        (bytes(8), bytes(16), ("unknown", b"", 0)),
        (b"\x16", b"\x16\x03", ("tls", b"", 0)),
        (b"\x16", b"", ("tcp", b"", 0)),
    ],
)
def test_the_code_for_kinds_knows_protocols(
    request_head: bytes, response_head: bytes, wanted: tuple[str, bytes, int]
) -> None:
    assert KIND_METHOD_STATUS(request_head, response_head) == wanted
