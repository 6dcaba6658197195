"""Check that the reader returns every record and every row as it was written."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from httpcapture import (
    MAX_CALL_CAUSES,
    MAX_FRAMES,
    MAX_HEAD_TEXT,
    MAX_HEADS,
    MAX_MEMORY,
    MAX_PART,
    MAX_REGISTERS,
    CallCauses,
    Calls,
    Completions,
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
    Record,
    Section,
    Stack,
    Writer,
)
from support.capture_samples import (
    COMPLETION_LAYOUT,
    END,
    JIT_MAP,
    META,
    SECTION,
    SHORT_LAYOUT,
    STACK,
    OneByOne,
    read_all,
    write,
)

u16, u32, u64 = (st.integers(0, 2**bits - 1) for bits in (16, 32, 64))
texts, blobs = st.text(max_size=30), st.binary(max_size=60)
counts = st.dictionaries(texts, u64, max_size=5)
names = st.from_regex("[a-z][a-z0-9_]{0,10}", fullmatch=True)


@st.composite
def layouts(draw: st.DrawFn) -> Layout:
    """Draw any layout that the format allows, with gaps between fields too."""
    fields, offset = [], 0
    for name in draw(st.lists(names, min_size=1, max_size=8, unique=True)):
        kind, width, align = draw(
            st.sampled_from(
                [
                    ("u8", 1, 1),
                    ("u16", 2, 2),
                    ("u32", 4, 4),
                    ("u64", 8, 8),
                    ("bytes1", 1, 1),
                    ("bytes4", 4, 4),
                ]
                + [(f"bytes{8 * words}", 8 * words, 8) for words in range(1, 5)]
            )
        )
        offset += draw(st.integers(0, 3))
        offset += -offset % align
        codings = ["", "planes"] + ["delta"] * kind.startswith("u")
        fields.append(
            Field(name, kind, offset, draw(st.sampled_from(["", "ns", "bytes"])), draw(st.sampled_from(codings)))
        )
        offset += width
    return Layout(offset + -offset % 8, tuple(fields))


metas = st.builds(
    Meta,
    *[texts] * 5,
    *[u64] * 3,
    st.lists(blobs, max_size=3).map(tuple),
    texts,
    u32,
    u32,
    counts,
    layouts(),
    layouts(),
)
modules = st.builds(Module, u32, blobs, blobs, u64, st.binary(max_size=32), texts, u16)
sections = st.builds(Section, u32, texts, u64, u64, u64, blobs, texts)
jit_maps = st.builds(JitMap, u32, u64, u64, u64, blobs, texts)
mapped = st.lists(st.builds(MappedModule, u64, u32), max_size=4).map(tuple)
processes = st.builds(Process, u32, u64, u64, blobs, blobs, u32, blobs, mapped, texts)
words = st.lists(st.binary(min_size=8, max_size=8), max_size=21).map(b"".join)
stacks = st.builds(Stack, u64, u32, u64, u64, words, words, u64, blobs)
head_texts = st.builds(HeadText, u32, st.binary(max_size=MAX_HEAD_TEXT))


def columns(*widths: int) -> st.SearchStrategy[list[bytes]]:
    """Draw columns of numbers of these widths, with up to 20 rows."""
    rows = st.lists(st.tuples(*(st.binary(min_size=width, max_size=width) for width in widths)), max_size=20)
    return rows.map(lambda drawn: [b"".join(row[place] for row in drawn) for place in range(len(widths))])


heads = columns(8, 4, 4, 4).map(lambda drawn: Heads(*drawn))
call_causes = columns(8, 4, 8, 4, 1, 1).map(lambda drawn: CallCauses(*drawn))


lost = st.builds(Lost, u64, counts)
ends = st.builds(End, u64, texts, st.booleans(), u64, u64, u64, counts)
sides = st.sampled_from([0, 8, 16])


def written(records: list[OneByOne], meta: Meta = META, end: End = END) -> bytes:
    stream = io.BytesIO()
    writer = Writer(stream, meta)
    for record in records:
        write(writer, record)
    writer.end(end)
    assert writer.bytes_written == len(stream.getvalue())
    return stream.getvalue()


@settings(deadline=None)  # a busy machine is no failure
@given(metas, ends)
def test_meta_and_end(meta: Meta, end: End) -> None:
    assert read_all(written([], meta, end)) == ([meta, end], None)


@settings(deadline=None)
@given(
    st.lists(
        st.one_of(modules, sections, processes, jit_maps, stacks, head_texts, heads, call_causes, lost), max_size=20
    )
)
def test_every_other_record_in_the_order_of_kinds(records: list[OneByOne]) -> None:
    order = [Module, Section, Process, JitMap, Stack, HeadText, Heads, CallCauses, Lost]
    wanted = sorted(records, key=lambda record: order.index(type(record)))
    assert read_all(written(records)) == ([META, *wanted, END], None)


@pytest.mark.parametrize(
    "record",
    [
        replace(STACK, frames=bytes(MAX_FRAMES), registers=b"\xff" * MAX_REGISTERS, memory=b"\xff" * MAX_MEMORY),
        replace(STACK, memory_address=2**64 - 1, missing_pages=2**64 - 1),
        replace(SECTION, size=2**64 - 1, start=2**64 - 1, data=b"\xff" * MAX_PART),
        replace(JIT_MAP, start=2**64 - 1, data=b"\xff" * MAX_PART),
        HeadText(2**32 - 1, b"\xff" * MAX_HEAD_TEXT),
        Heads(b"\xff" * 8 * MAX_HEADS, *[b"\xff" * 4 * MAX_HEADS] * 3),
        CallCauses(*(b"\xff" * width * MAX_CALL_CAUSES for width in (8, 4, 8, 4, 1, 1))),
    ],
    ids=lambda record: type(record).__name__,
)
def test_a_record_at_its_limits(record: OneByOne) -> None:
    assert read_all(written([record])) == ([META, record, END], None)


def numpy_dtype(layout: Layout) -> np.dtype[np.void]:
    formats = [
        f"<u{int(field.type[1:]) // 8}" if field.type.startswith("u") else f"V{field.type[5:]}"
        for field in layout.fields
    ]
    names, offsets = [f.name for f in layout.fields], [f.offset for f in layout.fields]
    return np.dtype({"names": names, "formats": formats, "offsets": offsets, "itemsize": layout.size})


def columns_of(records: list[Record], kind: type[Calls] | type[Completions]) -> dict[str, bytes]:
    """Return the columns of all batches of a kind, joined."""
    joined: dict[str, bytes] = {}
    for record in records:
        if isinstance(record, kind):
            for name, column in record.columns.items():
                joined[name] = joined.get(name, b"") + bytes(column)
    return joined


@settings(deadline=None)
@given(layouts(), sides, st.lists(st.integers(0, 40), max_size=5), st.integers(0, 2**32), st.integers(0, 2000))
def test_columns_are_the_fields_of_the_rows_as_numpy_sees_them(
    layout: Layout, side: int, spans: list[int], seed: int, chunk_bytes: int
) -> None:
    stride = side + layout.size
    data = np.random.default_rng(seed).bytes(sum(spans) * stride)
    stream = io.BytesIO()
    writer = Writer(
        stream, replace(META, call_layout=layout), chunk_bytes=max(layout.size, SHORT_LAYOUT.size, chunk_bytes)
    )
    start = 0
    for count in spans:
        writer.calls(data[start : start + count * stride], header=side)
        start += count * stride
    writer.end(END)

    records, cut_off = read_all(stream.getvalue())

    rows = np.frombuffer(data, np.uint8).reshape(-1, stride)[:, side:]
    table = np.frombuffer(np.ascontiguousarray(rows), numpy_dtype(layout))
    wanted = {name: np.ascontiguousarray(table[name]).tobytes() for name in table.dtype.names or ()}
    assert cut_off is None
    assert sum(record.rows for record in records if isinstance(record, Calls)) == sum(spans)
    assert columns_of(records, Calls) == (wanted if sum(spans) else {})


def test_completions_have_their_own_layout() -> None:
    data = bytes(range(5 * COMPLETION_LAYOUT.size))
    stream = io.BytesIO()
    writer = Writer(stream, META)
    writer.completions(data)
    writer.end(END)
    table = np.frombuffer(data, numpy_dtype(COMPLETION_LAYOUT))
    columns = columns_of(list(read_all(stream.getvalue())[0]), Completions)
    assert columns == {field.name: table[field.name].tobytes() for field in COMPLETION_LAYOUT.fields}


def test_a_text_that_is_no_utf8_is_written_readably() -> None:
    records, _ = read_all(written([Module(1, b"\xff", b"", 0, b"", "no file \udcff.so")]))
    assert records[1] == Module(1, b"\xff", b"", 0, b"", "no file \\udcff.so")
