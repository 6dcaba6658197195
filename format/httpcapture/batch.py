"""The columns of a batch are unpacked one by one, when they are asked for: who filters by the duration reads no other.

What stands in the file is checked there too, so a batch that is wrong is found by who looks at it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from functools import cached_property
from operator import mul
from typing import Callable, NamedTuple

import zstandard

from . import codings
from .columns import SIZES_WIDTH, Batch
from .errors import Malformed
from .frames import check_only_frame, decompressor
from .layout import StoredColumn, has_groups, stored_columns
from .records import BatchColumns, CodedColumn, Layout

MAX_ROWS_SIZE = 8 << 20  # bytes in all batches of a chunk, as rows
BATCH_OVERHEAD, COLUMN_OVERHEAD = 1 << 10, 48  # bytes that the objects of a batch take, about


class BatchReader:
    """Makes of batches of one layout what can be asked for columns."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.first = int(has_groups(layout))  # columns before those of the fields
        stored = [_Stored.of(place, column) for place, column in enumerate(stored_columns(layout), self.first)]
        self.count = self.first + len(stored)
        self.stored = {name: column for column in stored if column.width for name in column.fields}
        self.grouped = frozenset(name for name, column in self.stored.items() if column.of_groups)
        self._decompressor = decompressor()

    def columns(self, batch: Batch, damaged: Callable[[str], Exception]) -> PackedColumns:
        """Raises Malformed; what is found later is raised as the exception that `damaged` makes of a reason."""
        if len(batch.columns) != self.count:
            raise Malformed(f"{len(batch.columns)} columns, the layout has {self.count}")
        if batch.groups > batch.rows or bool(batch.groups) != bool(self.first and batch.rows):
            raise Malformed(f"{batch.groups} groups of {batch.rows} rows")
        return PackedColumns(self, batch, damaged)

    def unpacked(self, data: bytes, size: int) -> bytes:
        """The `size` bytes of a column, which stands as it is or as a shorter zstd frame. Raises Malformed."""
        if len(data) == size:
            return data
        try:
            if len(data) > size:
                raise Malformed(f"{len(data)} bytes for {size}")
            check_only_frame(data, size)
            content = self._decompressor.decompress(data)
        except zstandard.ZstdError as error:
            raise Malformed(f"zstd: {error}") from None
        if len(content) != size:
            raise Malformed(f"{len(content)} bytes instead of {size}")
        return content


class _Stored(NamedTuple):
    """A column of a batch."""

    place: int
    fields: tuple[str, ...]
    width: int  # bytes of one value; 0 where the type or coding is of a later version of the format
    coding: str
    of_groups: bool

    @classmethod
    def of(cls, place: int, column: StoredColumn) -> _Stored:
        fields = tuple(field.name for field in column.fields)
        return cls(place, fields, column.width or 0, column.coding, column.of_groups)


class PackedColumns(BatchColumns):
    """The columns of one batch. Raises what `damaged` makes of a reason."""

    def __init__(self, reader: BatchReader, batch: Batch, damaged: Callable[[str], Exception]) -> None:
        self._reader, self._batch, self._damaged = reader, batch, damaged
        self._coded: dict[int, CodedColumn] = {}  # by place
        self._decoded: dict[Sequence[str], Sequence[memoryview]] = {}  # by fields

    def __getitem__(self, name: str) -> memoryview:
        column = self.coded(name)
        if column.fields not in self._decoded:
            self._decoded[column.fields] = codings.decode(column)
        values = self._decoded[column.fields][column.fields.index(name)]
        if name not in self.grouped or not values:
            return values
        size = len(values) // self._batch.groups
        each = (values[start : start + size].tobytes() for start in range(0, len(values), size))
        return memoryview(b"".join(map(mul, each, self.group_sizes.cast("I"))))

    def __iter__(self) -> Iterator[str]:
        return iter(self._reader.stored)

    def __len__(self) -> int:
        return len(self._reader.stored)

    @property
    def grouped(self) -> Set[str]:
        return self._reader.grouped

    @property
    def packed_size(self) -> int:
        return sum(map(len, self._batch.columns)) + len(self._batch.columns) * COLUMN_OVERHEAD + BATCH_OVERHEAD

    def packed(self) -> PackedColumns:
        return PackedColumns(self._reader, self._batch, self._damaged)

    def coded(self, name: str) -> CodedColumn:
        stored = self._reader.stored[name]
        coded = self._coded.get(stored.place)
        if coded is None:
            values = self._batch.groups if stored.of_groups else self._batch.rows
            data = self._unpacked(stored.fields[0], stored.place, values * len(stored.fields) * stored.width)
            coded = self._coded[stored.place] = CodedColumn(stored.fields, stored.width, stored.coding, data)
        return coded

    @cached_property
    def group_sizes(self) -> memoryview:
        planes = self._unpacked("group sizes", 0, self._batch.groups * SIZES_WIDTH)
        sizes = memoryview(codings.from_planes(planes, SIZES_WIDTH))
        if sum(sizes.cast("I")) != self._batch.rows:
            raise self._damaged(f"the groups of {self._batch.rows} rows have {sum(sizes.cast('I'))}")
        return sizes

    def _unpacked(self, name: str, place: int, size: int) -> bytes:
        try:
            return self._reader.unpacked(self._batch.columns[place], size)
        except Malformed as error:
            raise self._damaged(f"column {name}: {error}") from None
