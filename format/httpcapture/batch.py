"""The columns of a batch are unpacked one by one, when they are asked for: who filters by the duration reads no other.

What stands in the file is checked there too, so a batch that is wrong is found by who looks at it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from functools import cached_property
from operator import mul
from typing import Callable

import zstandard

from . import codings
from .codings import Decode
from .columns import SIZES_WIDTH, Batch
from .errors import Malformed
from .frames import MAX_CONTENT
from .layout import StoredColumn, has_groups, stored_columns
from .records import BatchColumns, Layout

MAX_ROWS_SIZE = 8 << 20  # bytes in all batches of a chunk, as rows


class BatchReader:
    """Makes of batches of one layout what can be asked for columns."""

    def __init__(self, layout: Layout, decode: Decode) -> None:
        self.layout = layout
        self.first = int(has_groups(layout))  # columns before those of the fields
        self.stored = stored_columns(layout)
        self.place = {
            field.name: (number, part)
            for number, column in enumerate(self.stored)
            for part, field in enumerate(column.fields)
            if column.width is not None
        }
        self.grouped = frozenset(column.fields[0].name for column in self.stored if column.of_groups)
        self.decode = decode
        self._decompressor = zstandard.ZstdDecompressor(max_window_size=MAX_CONTENT)

    def columns(self, batch: Batch, damaged: Callable[[str], Exception]) -> PackedColumns:
        """Raises Malformed; what is found later is raised as the exception that `damaged` makes of a reason."""
        if len(batch.columns) != self.first + len(self.stored):
            raise Malformed(f"{len(batch.columns)} columns, the layout has {self.first + len(self.stored)}")
        if batch.groups > batch.rows or bool(batch.groups) != bool(self.first and batch.rows):
            raise Malformed(f"{batch.groups} groups of {batch.rows} rows")
        return PackedColumns(self, batch, damaged)

    def unpacked(self, data: bytes, size: int) -> bytes:
        """The `size` bytes of a column, which stands as it is or as a shorter zstd frame. Raises Malformed."""
        if len(data) == size:
            return data
        try:
            if len(data) > size or zstandard.frame_content_size(data) != size:
                raise Malformed(f"{len(data)} bytes for {size}")
            content = self._decompressor.decompress(data)
        except zstandard.ZstdError as error:
            raise Malformed(f"zstd: {error}") from None
        if len(content) != size:
            raise Malformed(f"{len(content)} bytes instead of {size}")
        return content


class PackedColumns(BatchColumns):
    """The columns of one batch. Raises what `damaged` makes of a reason."""

    def __init__(self, reader: BatchReader, batch: Batch, damaged: Callable[[str], Exception]) -> None:
        self._reader, self._batch, self._damaged = reader, batch, damaged
        self._read: dict[int, Sequence[memoryview]] = {}

    def __getitem__(self, name: str) -> memoryview:
        values = self.stored(name)
        if name not in self.grouped or not values:
            return values
        size = len(values) // self._batch.groups
        each = (values[start : start + size].tobytes() for start in range(0, len(values), size))
        return memoryview(b"".join(map(mul, each, self.group_sizes.cast("I"))))

    def __iter__(self) -> Iterator[str]:
        return iter(self._reader.place)

    def __len__(self) -> int:
        return len(self._reader.place)

    @property
    def grouped(self) -> Set[str]:
        return self._reader.grouped

    def stored(self, name: str) -> memoryview:
        number, part = self._reader.place[name]
        if number not in self._read:
            self._read[number] = self._values(self._reader.stored[number], self._reader.first + number)
        return self._read[number][part]

    @cached_property
    def group_sizes(self) -> memoryview:
        planes = self._unpacked("group sizes", 0, self._batch.groups * SIZES_WIDTH)
        sizes = memoryview(codings.from_planes(planes, SIZES_WIDTH))
        if sum(sizes.cast("I")) != self._batch.rows:
            raise self._damaged(f"the groups of {self._batch.rows} rows have {sum(sizes.cast('I'))}")
        return sizes

    def _values(self, column: StoredColumn, place: int) -> Sequence[memoryview]:
        count = self._batch.groups if column.of_groups else self._batch.rows
        size = column.width or 0
        data = self._unpacked(column.fields[0].name, place, count * size * len(column.fields))
        return self._reader.decode(column.coding, data, size, len(column.fields))

    def _unpacked(self, name: str, place: int, size: int) -> bytes:
        try:
            return self._reader.unpacked(self._batch.columns[place], size)
        except Malformed as error:
            raise self._damaged(f"column {name}: {error}") from None
