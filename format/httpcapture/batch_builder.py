"""Turn rows into columns, with the rows of a connection side by side, because zstd compresses similar values well.

The BPF program emits fixed-size rows, which begin with what all calls of a connection have in common (the fields of the
coding `group`). `BatchBuilder` takes any number of rows at once, and transposes them when a batch is full. Python does
work for each field and each group, but not for each row: struct, map and slices handle the rows in C.
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

KEY = "connection"  # groups are sorted by their bytes up to the end of this field; rows of one group keep their order
SIZES_WIDTH = 4  # bytes of the number that says how many rows a group has

# When each column gets a zstd frame of its own. Without one, the chunk's frame compresses the columns together, which
# is smaller for little data and for columns that repeat each other, but a reader must then unpack them all.
MIN_FRAMED_ROWS_SIZE = 64 << 10  # bytes of rows: smaller batches have no frames
MIN_FRAMED_ROWS_PER_GROUP = 2  # batches with fewer rows per group have none either: their columns repeat each other
MIN_FRAME_SIZE = 64  # bytes: a short column that a frame would make smaller than this has no frame
MAX_UNFRAMED_COLUMN_SIZE = 16 << 10  # bytes: a longer column always has one, if that is smaller

Buffer = Union[bytes, bytearray, memoryview]


@dataclass(frozen=True)
class Batch:
    """Hold a batch as it stands in the file: `rows` rows in `groups` groups (0 if the layout has none).

    If the layout has groups, the first column holds their sizes. The columns of `stored_columns` follow. Each column is
    plain or one zstd frame."""

    rows: int
    columns: Sequence[bytes]
    groups: int = 0


class BatchBuilder:
    """Collect rows of one layout; `batch` returns them as columns, compressed by `compress`.

    Raises ValueError if the layout breaks the format's rules or has fields that this version cannot write.
    """

    def __init__(self, layout: Layout, compress: Callable[[Buffer], bytes]) -> None:
        check_layout(layout)
        self.layout = layout
        self._compress = compress
        self._columns = stored_columns(layout)
        self._common = sum(_known_width(field) for field in layout.fields if field.coding == GROUP)
        for field in layout.fields:
            end = field.offset + _known_width(field)
            if (end <= self._common) != (field.coding == GROUP) or self._common % WORD:
                raise ValueError(
                    f"field {field.name}: fields with the coding {GROUP!a} must come first and fill whole 8-byte words"
                )
        key_end = sum(field.offset + _known_width(field) for field in layout.fields if field.name == KEY)
        self._order = itemgetter(slice(key_end))
        self._groups: defaultdict[bytes, list[bytes]] = defaultdict(list)
        self._count = 0

    @property
    def size(self) -> int:
        """Return how many bytes the collected rows have, as rows."""
        return self._count * self.layout.size

    def take(self, rows: memoryview, header: int) -> None:
        """Append whole rows; leave out the `header` bytes before each of them."""
        row = f"{header}x{self._common}s{self.layout.size - self._common}s"
        halves = [*chain.from_iterable(struct.iter_unpack(row, rows))]
        deque(map(list.append, map(self._groups.__getitem__, halves[::2]), halves[1::2]), maxlen=0)
        self._count += len(halves) // 2

    def batch(self) -> Batch:
        """Return the collected rows, sorted and as columns, and begin an empty batch."""
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
        if self.size >= MIN_FRAMED_ROWS_SIZE and self._count >= MIN_FRAMED_ROWS_PER_GROUP * len(groups):
            columns = [*map(self._packed, columns)]
        batch = Batch(self._count, columns, len(groups) if has_groups(self.layout) else 0)
        self._groups.clear()
        self._count = 0
        return batch

    def _packed(self, column: bytes) -> bytes:
        packed = self._compress(column)
        together = len(column) <= MAX_UNFRAMED_COLUMN_SIZE and len(packed) < MIN_FRAME_SIZE
        return column if together or len(packed) >= len(column) else packed


def _known_width(field: Field) -> int:
    size = width(field)
    if size is None or field.coding not in CODINGS:
        raise ValueError(
            f"field {field.name}: this version cannot write the type {field.type} with the coding {field.coding!a}"
        )
    return size


def _coded(column: StoredColumn, rows: bytes, stride: int, first: int) -> bytes:
    """Return a column of `rows`, in its coding. Each row has `stride` bytes, from byte `first` of the layout's row."""
    size = _known_width(column.fields[0])
    if column.coding == PLANES or (size == 1 and column.coding != DELTA):
        start = column.fields[0].offset - first
        return b"".join([rows[at::stride] for at in range(start, start + size)])
    word = min(size, WORD)
    words = memoryview(rows).cast(CASTS[word])
    offsets = [field.offset - first + part for field in column.fields for part in range(0, size, word)]
    data = bytearray(len(rows) // stride * len(offsets) * word)
    with memoryview(data).cast(CASTS[word]) as target:
        for number, offset in enumerate(offsets):
            target[number :: len(offsets)] = words[offset // word :: stride // word]
    if column.coding == DELTA:
        return codings.to_planes(codings.to_differences(data, size), size * len(column.fields))
    return bytes(data)
