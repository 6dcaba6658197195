"""Rows are written column by column, those of a connection together: like values, side by side, are what zstd packs.

The BPF program emits fixed-size rows, which begin with what all calls of a connection have in common (the fields of the
coding `group`). `Columns` takes any number of them at once, and turns them when a batch is full. The work in Python is
per field and per group, not per row: what is done for each row is done in C, by struct, map and slices.
"""

from __future__ import annotations

import struct
from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from operator import itemgetter
from typing import Callable, Union

from . import codings
from .codings import CASTS, CODINGS, DELTA, GROUP, PLANES
from .layout import WORD, StoredColumn, check_layout, has_groups, stored_columns, width
from .records import Field, Layout

KEY = "connection"  # groups are sorted by their bytes up to the end of this field; those of one keep their order
SIZES_WIDTH = 4  # bytes of the number that says how many rows a group has
APART = 64 << 10  # bytes of rows: in smaller batches columns are packed better together, by the chunk's own frame
ROWS_A_GROUP = 2  # the same in batches with fewer rows a group: much stands in several of their columns
LITTLE = 64  # bytes: and short columns of which a frame of their own would leave no more
SHORT = 16 << 10  # bytes: longer ones are packed anyhow, or a reader would unpack them with the chunk, needed or not

Buffer = Union[bytes, bytearray, memoryview]


@dataclass(frozen=True)
class Batch:
    """A batch as it stands in the file: `rows` rows in `groups` groups (0: the layout has none), and its columns: the
    sizes of the groups where there are any, then those of `stored_columns`, each as it is or as a zstd frame."""

    rows: int
    columns: Sequence[bytes]
    groups: int = 0


class Columns:
    """The rows of one layout that were taken so far; `batch` gives them as columns, packed by `compress`."""

    def __init__(self, layout: Layout, compress: Callable[[Buffer], bytes]) -> None:
        check_layout(layout)
        self.layout = layout
        self._compress = compress
        self._columns = stored_columns(layout)
        self._common = sum(_known_width(field) for field in layout.fields if field.coding == GROUP)
        for field in layout.fields:
            end = field.offset + _known_width(field)
            if (end <= self._common) != (field.coding == GROUP) or self._common % WORD:
                raise ValueError(f"field {field.name}: those of the coding {GROUP!a} come first, in whole words of 8")
        key_end = sum(field.offset + _known_width(field) for field in layout.fields if field.name == KEY)
        self._order = itemgetter(slice(key_end))
        self._groups: defaultdict[bytes, list[bytes]] = defaultdict(list)
        self._count = 0

    @property
    def size(self) -> int:
        """The bytes that the rows take, as rows."""
        return self._count * self.layout.size

    def take(self, rows: memoryview, header: int) -> None:
        """Appends whole rows, each with `header` bytes before it that are left out."""
        row = f"{header}x{self._common}s{self.layout.size - self._common}s"
        halves = [*chain.from_iterable(struct.iter_unpack(row, rows))]
        deque(map(list.append, map(self._groups.__getitem__, halves[::2]), halves[1::2]), maxlen=0)
        self._count += len(halves) // 2

    def batch(self) -> Batch:
        """Gives the rows away, sorted and as columns, and starts anew."""
        keys = sorted(self._groups, key=self._order)
        groups = [self._groups[key] for key in keys]
        common, rows = b"".join(keys), b"".join(chain.from_iterable(groups))
        columns: list[bytes] = []
        if has_groups(self.layout):
            sizes = struct.pack(f"<{len(groups)}I", *map(len, groups))
            columns.append(codings.to_planes(sizes, SIZES_WIDTH))
        for column in self._columns:
            if column.of_groups:
                columns.append(_coded(column, common, self._common, 0))
            else:
                columns.append(_coded(column, rows, self.layout.size - self._common, self._common))
        if self.size >= APART and self._count >= ROWS_A_GROUP * len(groups):
            columns = [*map(self._packed, columns)]
        batch = Batch(self._count, columns, len(groups) if has_groups(self.layout) else 0)
        self._groups.clear()
        self._count = 0
        return batch

    def _packed(self, column: bytes) -> bytes:
        packed = self._compress(column)
        together = len(column) <= SHORT and len(packed) < LITTLE
        return column if together or len(packed) >= len(column) else packed


def _known_width(field: Field) -> int:
    size = width(field)
    if size is None or field.coding not in CODINGS:
        raise ValueError(f"field {field.name}: no {field.type} with the coding {field.coding!a} in this version")
    return size


def _coded(column: StoredColumn, rows: bytes, stride: int, first: int) -> bytes:
    """The column of rows of `stride` bytes; the first of them is byte `first` of the layout's row."""
    size = _known_width(column.fields[0])
    if column.coding == PLANES or (size == 1 and column.coding != DELTA):
        start = column.fields[0].offset - first
        return b"".join([rows[place::stride] for place in range(start, start + size)])
    word = min(size, WORD)
    words = memoryview(rows).cast(CASTS[word])
    places = [field.offset - first + part for field in column.fields for part in range(0, size, word)]
    data = bytearray(len(rows) // stride * len(places) * word)
    with memoryview(data).cast(CASTS[word]) as target:
        for number, place in enumerate(places):
            target[number :: len(places)] = words[place // word :: stride // word]
    if column.coding == DELTA:
        return codings.to_planes(codings.to_differences(data, size), size * len(column.fields))
    return bytes(data)
