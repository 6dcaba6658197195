"""Check that decoding a coded column returns the column, with numpy and without, whatever its bytes."""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from httpcapture import Calls, CodedColumn, Writer, codings
from httpcapture.codings import from_planes, to_differences, to_planes
from httpreport.calls import column_decoding as by_numpy
from support.capture_samples import END, META, layout, read_all


@st.composite
def columns(draw: st.DrawFn) -> tuple[bytes, int]:
    """Draw a column and the size of its values, with many values near the ends of their range."""
    width = draw(st.sampled_from([1, 2, 4, 8]))
    edges = st.sampled_from([0, 1, 2 ** (8 * width - 1) - 1, 2 ** (8 * width - 1), 2 ** (8 * width) - 1])
    values = draw(st.lists(st.one_of(edges, st.integers(0, 2 ** (8 * width) - 1)), max_size=40))
    return b"".join(value.to_bytes(width, "little") for value in values), width


@given(columns())
def test_differences_are_those_of_each_value_to_the_one_before(column: tuple[bytes, int]) -> None:
    data, width = column
    values = [int.from_bytes(data[at : at + width], "little") for at in range(0, len(data), width)]
    wanted = [(value - before) % 2 ** (8 * width) for value, before in zip(values, [0, *values])]
    assert to_differences(data, width) == b"".join(value.to_bytes(width, "little") for value in wanted)


@given(columns())
def test_differences_add_up_to_the_column(column: tuple[bytes, int]) -> None:
    data, width = column
    assert codings.from_differences(to_differences(data, width), width) == data


def coded_column(column: tuple[bytes, int], fields: int, coding: str) -> CodedColumn:
    """Draw an encoded column of whole rows; only "delta" has several fields in a column."""
    (data, width), names = column, tuple("abc"[: fields if coding == "delta" else 1])
    return CodedColumn(names, width, coding, data[: len(data) // (width * len(names)) * width * len(names)])


@given(columns(), st.integers(1, 3), st.sampled_from(["", "group", "planes", "delta"]))
def test_numpy_decodes_to_the_same(column: tuple[bytes, int], fields: int, coding: str) -> None:
    coded = coded_column(column, fields, coding)
    assert [values.tobytes() for values in by_numpy.decode(coded, np.dtype(f"<u{coded.width}"))] == codings.decode(
        coded
    )


@given(st.integers(1, 40), st.binary(max_size=400))
def test_planes_are_the_columns_of_a_table_of_bytes(width: int, data: bytes) -> None:
    rows = len(data) // width
    column = data[: rows * width]
    planes = to_planes(column, width)
    assert planes == bytes(column[row * width + place] for place in range(width) for row in range(rows))
    assert from_planes(planes, width) == column


def calls_of(rows: Sequence[Sequence[int]], *fields: str) -> dict[str, list[int]]:
    """Return the calls that are read after these u64 rows were written."""
    stream = io.BytesIO()
    writer = Writer(stream, replace(META, call_layout=layout(*fields)))
    writer.calls(b"".join(struct.pack(f"<{len(row)}Q", *row) for row in rows))
    writer.end(END)
    (calls,) = [record for record in read_all(stream.getvalue())[0] if isinstance(record, Calls)]
    return {name: list(column.cast("Q")) for name, column in calls.columns.items()}


@pytest.mark.parametrize("coding", ["-", "planes", "delta"])
def test_calls_of_a_connection_are_together_and_in_their_order(coding: str) -> None:
    rows = [(2, 7, 50), (1, 9, 40), (2, 7, 30), (1, 8, 20), (2, 6, 10), (1, 9, 0)]
    fields = ("u64 process_start - group", "u64 connection - group", f"u64 t0 ns {coding}")
    wanted = [(1, 8, 20), (1, 9, 40), (1, 9, 0), (2, 6, 10), (2, 7, 50), (2, 7, 30)]
    assert [*zip(*calls_of(rows, *fields).values())] == wanted


def test_rows_without_groups_keep_their_order() -> None:
    assert calls_of([(3,), (1,), (2,)], "u64 t0 ns delta") == {"t0": [3, 1, 2]}
