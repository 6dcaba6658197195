"""Rows are kept column by column, those of a connection together: like values, side by side, are what zstd packs.

The BPF program emits fixed-size rows. `Columns` takes any number of them at once, and turns them when a batch is full.
The work in Python is per field and not per row: what is done for each row is done in C, by struct, map and slices.
"""

from __future__ import annotations

import re
import struct
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, groupby
from operator import itemgetter
from typing import Union

from . import codings
from .codings import CASTS, CODINGS, DELTA, PLANES, AddUp
from .errors import Malformed
from .records import Field, Layout

MAX_ROW = 4096  # bytes
MAX_ROWS_SIZE = 8 << 20  # bytes in one batch, as rows
WORD = 8  # rows, ring-buffer headers and bytesN fields are whole words
KEY = "connection"  # the rows of a batch are sorted by their bytes up to the end of this field

_INTEGERS = {"u8": 1, "u16": 2, "u32": 4, "u64": 8}
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}", re.ASCII)
_BYTES = re.compile(r"bytes([1-9][0-9]{0,3})", re.ASCII)

Buffer = Union[bytes, bytearray, memoryview]


@dataclass(frozen=True)
class Batch:
    """A batch as it stands in the file: `rows` rows, and its columns in the order of `stored_columns`."""

    rows: int
    columns: Sequence[bytes | bytearray]


@dataclass(frozen=True)
class StoredColumn:
    """A column of a batch: of one field, or of several `delta` fields whose values alternate."""

    fields: Sequence[Field]
    width: int | None  # bytes of one value; None where the type or coding is of a later version of the format

    @property
    def coding(self) -> str:
        return self.fields[0].coding


def width(field: Field) -> int | None:
    """The bytes that one value takes; None for a type of a later version of the format."""
    blob = _BYTES.fullmatch(field.type)
    return int(blob.group(1)) if blob else _INTEGERS.get(field.type)


def check_layout(layout: Layout) -> None:
    """Raises ValueError unless the layout keeps the format's rules. Fields of unknown types pass."""
    if not 0 < layout.size <= MAX_ROW or layout.size % WORD:
        raise ValueError(f"a row of {layout.size} bytes: it must be 8 to {MAX_ROW}, a multiple of 8")
    names = [field.name for field in layout.fields]
    if len(set(names)) < len(names):
        raise ValueError("two fields of a layout have one name")
    for field in layout.fields:
        if not _NAME.fullmatch(field.name):
            raise ValueError(f"field name {field.name!a}: it must match {_NAME.pattern}")
        size = width(field)
        if size is None:
            continue
        if size not in CASTS and size % WORD:
            raise ValueError(f"field {field.name}: {field.type} is neither 1, 2, 4 bytes nor whole words of 8")
        if field.offset % min(size, WORD) or field.offset + size > layout.size:
            raise ValueError(f"field {field.name}: {field.type} at {field.offset} is not aligned or not in the row")
        if field.coding == DELTA and field.type not in _INTEGERS:
            raise ValueError(f"field {field.name}: {field.type} has no differences")


def stored_columns(layout: Layout) -> list[StoredColumn]:
    """What the columns of a batch are: adjacent fields of one type and the coding `delta` share one."""
    columns = []
    for (kind, coding), run in groupby(layout.fields, lambda field: (field.type, field.coding)):
        fields = [*run]
        size = width(fields[0]) if coding in CODINGS else None
        shared = [fields] if coding == DELTA and kind in _INTEGERS else [[field] for field in fields]
        columns += [StoredColumn(tuple(those), size) for those in shared]
    return columns


def named_columns(layout: Layout, batch: Batch, add_up: AddUp) -> dict[str, memoryview]:
    """The columns by field name; those of types and codings that this reader does not know are left out."""
    if batch.rows * layout.size > MAX_ROWS_SIZE:
        raise Malformed(f"{batch.rows} rows of {layout.size} bytes in one batch")
    stored = stored_columns(layout)
    if len(batch.columns) != len(stored):
        raise Malformed(f"{len(batch.columns)} columns, the layout has {len(stored)}")
    columns: dict[str, memoryview] = {}
    for column, data in zip(stored, batch.columns):
        if column.width is None:
            continue
        if len(data) != batch.rows * column.width * len(column.fields):
            raise Malformed(f"column {column.fields[0].name}: {len(data)} bytes for {batch.rows} rows")
        columns.update(_decoded(column, column.width, data, add_up))
    return columns


def _decoded(
    column: StoredColumn, size: int, data: bytes | bytearray, add_up: AddUp
) -> Iterator[tuple[str, memoryview]]:
    count = len(column.fields)
    if column.coding:
        data = codings.from_planes(data, size * count)
    if column.coding == DELTA:
        data = add_up(data, size)
    for place, field in enumerate(column.fields):
        values = memoryview(data)
        yield field.name, values if count == 1 else memoryview(values.cast(CASTS[size])[place::count].tobytes())


class Columns:
    """The rows of one layout that were taken so far; `batch` gives them as columns."""

    def __init__(self, layout: Layout) -> None:
        check_layout(layout)
        self.layout = layout
        self._columns = stored_columns(layout)
        for field in layout.fields:
            _known_width(field)
        key_end = sum(field.offset + _known_width(field) for field in layout.fields if field.name == KEY)
        self._key = itemgetter(slice(key_end))
        self._groups: defaultdict[bytes, list[bytes]] = defaultdict(list)
        self._count = 0

    @property
    def size(self) -> int:
        """The bytes that the rows take, as rows."""
        return self._count * self.layout.size

    def take(self, rows: memoryview, header: int) -> None:
        """Appends whole rows, each with `header` bytes before it that are left out."""
        each = [*chain.from_iterable(struct.iter_unpack(f"{header}x{self.layout.size}s", rows))]
        groups = map(self._groups.__getitem__, map(self._key, each))
        deque(map(list.append, groups, each), maxlen=0)
        self._count += len(each)

    def batch(self) -> Batch:
        """Gives the rows away, sorted and as columns, and starts anew."""
        rows = b"".join(chain.from_iterable(self._groups[key] for key in sorted(self._groups)))
        batch = Batch(self._count, [_coded(column, rows, self.layout.size) for column in self._columns])
        self._groups.clear()
        self._count = 0
        return batch


def _known_width(field: Field) -> int:
    size = width(field)
    if size is None or field.coding not in CODINGS:
        raise ValueError(f"field {field.name}: no {field.type} with the coding {field.coding!a} in this version")
    return size


def _coded(column: StoredColumn, rows: bytes, stride: int) -> bytes | bytearray:
    size = _known_width(column.fields[0])
    if column.coding == PLANES or (size == 1 and not column.coding):
        start = column.fields[0].offset
        return b"".join([rows[place::stride] for place in range(start, start + size)])
    word = min(size, WORD)
    words = memoryview(rows).cast(CASTS[word])
    places = [field.offset + part for field in column.fields for part in range(0, size, word)]
    data = bytearray(len(rows) // stride * len(places) * word)
    with memoryview(data).cast(CASTS[word]) as target:
        for number, place in enumerate(places):
            target[number :: len(places)] = words[place // word :: stride // word]
    if column.coding == DELTA:
        return codings.to_planes(codings.to_differences(data, size), size * len(column.fields))
    return data
