"""Rows are kept column by column: a column of like values is what zstd packs well and numpy takes as it is.

The BPF program emits fixed-size rows. `Columns` takes any number of them at once and turns them with strided
slices of a memoryview, so that the work in Python is per field and not per row.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Union

from .errors import Malformed
from .records import Field, Layout

MAX_ROW = 4096  # bytes
MAX_ROWS_SIZE = 8 << 20  # bytes in one batch, as rows
WORD = 8  # rows, ring-buffer headers and bytesN fields are whole words

_INTEGERS = {"u8": 1, "u16": 2, "u32": 4, "u64": 8}
_CASTS: dict[int, Literal["B", "H", "I", "Q"]] = {1: "B", 2: "H", 4: "I", 8: "Q"}
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}", re.ASCII)
_BYTES = re.compile(r"bytes([1-9][0-9]{0,3})", re.ASCII)

Buffer = Union[bytes, bytearray, memoryview]


@dataclass(frozen=True)
class Batch:
    """A batch as it stands in the file: `rows` rows, a column a field, in the layout's order."""

    rows: int
    columns: Sequence[bytes | bytearray]


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
        if size not in _CASTS and size % WORD:
            raise ValueError(f"field {field.name}: {field.type} is neither 1, 2, 4 bytes nor whole words of 8")
        if field.offset % min(size, WORD) or field.offset + size > layout.size:
            raise ValueError(f"field {field.name}: {field.type} at {field.offset} is not aligned or not in the row")


def named_columns(layout: Layout, batch: Batch) -> dict[str, memoryview]:
    """The columns by field name; those of types that this reader does not know are left out."""
    if batch.rows * layout.size > MAX_ROWS_SIZE:
        raise Malformed(f"{batch.rows} rows of {layout.size} bytes in one batch")
    if len(batch.columns) != len(layout.fields):
        raise Malformed(f"{len(batch.columns)} columns, the layout has {len(layout.fields)}")
    columns = {}
    for field, column in zip(layout.fields, batch.columns):
        size = width(field)
        if size is None:
            continue
        if len(column) != batch.rows * size:
            raise Malformed(f"column {field.name}: {len(column)} bytes for {batch.rows} rows")
        columns[field.name] = memoryview(column)
    return columns


class Columns:
    """The rows of one layout that were taken so far, as columns."""

    def __init__(self, layout: Layout) -> None:
        check_layout(layout)
        self.layout = layout
        self.rows = 0
        self._places = [(field.offset, _known_width(field)) for field in layout.fields]
        self._columns = self._empty()

    @property
    def size(self) -> int:
        """The bytes that the rows take, as rows."""
        return self.rows * self.layout.size

    def take(self, rows: memoryview, header: int) -> None:
        """Appends whole rows, each with `header` bytes before it that are left out."""
        stride = header + self.layout.size
        words = {size: rows.cast(code) for size, code in _CASTS.items()}
        for (offset, size), column in zip(self._places, self._columns):
            at = header + offset
            if size <= WORD:
                column.extend(words[size][at // size :: stride // size].tobytes())
            else:
                _take_words(column, words[WORD][at // WORD :], size // WORD, stride // WORD)
        self.rows += len(rows) // stride

    def batch(self) -> Batch:
        """Gives the columns away and starts anew."""
        batch = Batch(self.rows, self._columns)
        self._columns = self._empty()
        self.rows = 0
        return batch

    def _empty(self) -> list[bytearray]:
        return [bytearray() for _ in self._places]


def _known_width(field: Field) -> int:
    size = width(field)
    if size is None:
        raise ValueError(f"field {field.name}: {field.type} is no type of this version of the format")
    return size


def _take_words(column: bytearray, words: memoryview, count: int, stride: int) -> None:
    """Appends the first `count` words of every `stride` words."""
    start = len(column)
    rows = -(-len(words) // stride)
    column.extend(bytes(rows * count * WORD))
    with memoryview(column) as whole, whole[start:] as added, added.cast("Q") as target:
        for word in range(count):
            target[word::count] = words[word::stride]
