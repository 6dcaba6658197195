"""Unpack the columns of a batch one by one, on demand: a filter by duration reads only the times.

Each column is checked when it is unpacked, so damage in a column is found only by a caller that asks for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from functools import cached_property
from operator import mul
from typing import Callable, NamedTuple

import zstandard

from . import codings
from .batch_builder import SIZES_WIDTH, Batch
from .errors import Malformed
from .frames import check_only_frame, decompressor
from .layout import StoredColumn, has_groups, stored_columns
from .records import BatchColumns, CodedColumn, Layout

MAX_ROWS_SIZE = 8 << 20  # bytes in all batches of a chunk, as rows
BATCH_OVERHEAD, COLUMN_OVERHEAD = 1 << 10, 48  # bytes that the objects of a batch take, approximately


class BatchReader:
    """Turn batches of one layout into `PackedColumns`."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.first = int(has_groups(layout))  # columns before those of the fields
        stored = [_ColumnAt.of(number, column) for number, column in enumerate(stored_columns(layout), self.first)]
        self.count = self.first + len(stored)
        self.stored = {name: column for column in stored if column.width for name in column.fields}
        self.grouped = frozenset(name for name, column in self.stored.items() if column.of_groups)
        self._decompressor = decompressor()

    def columns(self, batch: Batch, damaged: Callable[[str], Exception]) -> PackedColumns:
        """Return the columns of `batch`. Raises Malformed if their number or that of the groups cannot be right.

        If a column turns out to be damaged later, the exception that `damaged` makes from the reason is raised.
        """
        if len(batch.columns) != self.count:
            raise Malformed(f"a batch has {len(batch.columns)} columns, its layout has {self.count}")
        if batch.groups > batch.rows or bool(batch.groups) != bool(self.first and batch.rows):
            raise Malformed(f"a batch has {batch.groups} groups for {batch.rows} rows")
        return PackedColumns(self, batch, damaged)

    def unpacked(self, data: bytes, size: int) -> bytes:
        """Return the `size` bytes of a column, which is stored plain or as a shorter zstd frame. Raises Malformed."""
        if len(data) == size:
            return data
        try:
            if len(data) > size:
                raise Malformed(f"it has {len(data)} bytes, its values have {size}")
            check_only_frame(data, size)
            content = self._decompressor.decompress(data)
        except zstandard.ZstdError as error:
            raise Malformed(f"zstd: {error}") from None
        if len(content) != size:
            raise Malformed(f"it unpacks to {len(content)} bytes instead of {size}")
        return content


class _ColumnAt(NamedTuple):
    """Describe a column of a batch, and where it is among the others."""

    number: int
    fields: tuple[str, ...]
    width: int  # bytes of one value; 0 where the type or coding is of a later version of the format
    coding: str
    of_groups: bool

    @classmethod
    def of(cls, number: int, column: StoredColumn) -> _ColumnAt:
        fields = tuple(field.name for field in column.fields)
        return cls(number, fields, column.width or 0, column.coding, column.of_groups)


class PackedColumns(BatchColumns):
    """Give access to the columns of one batch. Raises the exception that `damaged` makes from a reason."""

    def __init__(self, reader: BatchReader, batch: Batch, damaged: Callable[[str], Exception]) -> None:
        self._reader, self._batch, self._damaged = reader, batch, damaged
        self._coded: dict[int, CodedColumn] = {}  # by number
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
        coded = self._coded.get(stored.number)
        if coded is None:
            values = self._batch.groups if stored.of_groups else self._batch.rows
            data = self._unpacked(stored.fields[0], stored.number, values * len(stored.fields) * stored.width)
            coded = self._coded[stored.number] = CodedColumn(stored.fields, stored.width, stored.coding, data)
        return coded

    @cached_property
    def group_sizes(self) -> memoryview:
        planes = self._unpacked("group sizes", 0, self._batch.groups * SIZES_WIDTH)
        sizes = memoryview(codings.from_planes(planes, SIZES_WIDTH))
        if sum(sizes.cast("I")) != self._batch.rows:
            raise self._damaged(f"the groups have {sum(sizes.cast('I'))} rows, the batch has {self._batch.rows}")
        return sizes

    def _unpacked(self, name: str, number: int, size: int) -> bytes:
        try:
            return self._reader.unpacked(self._batch.columns[number], size)
        except Malformed as error:
            raise self._damaged(f"column {name}: {error}") from None
