"""Batches of the capture become columns, each unpacked and joined when it is asked for: what no filter and no sum looks
at is never touched.

A batch is about a thousand calls, too few to be worth numpy's cost of a call, so several of them are one `LazyTable`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Union

import numpy as np
import numpy.typing as npt

from httpcapture import CODINGS, BatchColumns, Calls, Completions, Layout

from ..common.errors import ReportError
from ..common.printable import printable
from . import protocol
from .column_decoding import decode, decode_rows
from .schema import ADDED, CALL, LATEST_NS, OPTIONAL, RECORDED, Array

Batch = Union[Calls, Completions]
Column = npt.NDArray[Any]
Indices = npt.NDArray[np.intp]
ColumnTypes = Mapping[str, tuple["np.dtype[np.generic]", "np.dtype[np.generic]"]]  # recorded, wanted


def column_types(layout: Layout, wanted: np.dtype[np.void]) -> ColumnTypes:
    """Return the type of each column of `wanted` (RECORDED or COMPLETION) that a capture with this layout has; those of
    OPTIONAL that it has not, or not in a known way, are left out.

    Raises ReportError where another field is missing, of another kind, wider than in `wanted`, or of an unknown coding.
    """
    types = {}
    for name in wanted.names or ():
        found = _known_type(name, layout, wanted[name])
        if not isinstance(found, str):
            types[name] = (found, wanted[name])
        elif name not in OPTIONAL:
            raise ReportError(f"{found}, and a report needs it: use a newer httpreport")
    if not ADDED.keys() <= types.keys():  # one of them alone means nothing
        types = {name: kinds for name, kinds in types.items() if name not in ADDED}
    return types


def unknown_fields(layout: Layout) -> list[str]:
    """Say of each field of OPTIONAL why a report does without it, where that is not the age of the capture."""
    named = {field.name for field in layout.fields}
    found = (_known_type(name, layout, RECORDED[name]) for name in OPTIONAL if name in named or name not in ADDED)
    return [f"{why}: it is not known of any call" for why in found if isinstance(why, str)]


@dataclass(frozen=True)
class ImpossibleTimes:
    """How many calls have times that cannot be."""

    backwards: int = 0  # the end is before the begin
    beyond: int = 0  # one of both is later than LATEST_NS

    def __add__(self, other: ImpossibleTimes) -> ImpossibleTimes:
        return ImpossibleTimes(self.backwards + other.backwards, self.beyond + other.beyond)

    def __bool__(self) -> bool:
        return bool(self.backwards or self.beyond)


SPARSE_RATIO = 16  # one row in so many
ROWS_AT_ONCE = 2048  # rows that are made at a time: they stay in a processor's cache until all their fields are there


class LazyTable:
    """The columns of `types` of some batches, by name; of calls also `kind`, `method` and `status` (see CALL)."""

    def __init__(self, types: ColumnTypes, batches: Sequence[Batch], rows: int) -> None:
        self.rows = rows
        self._types = types
        self._batches = batches
        self._columns: dict[str, Column] = {}

    def __getitem__(self, name: str) -> Column:
        if name not in self._columns:
            if name in protocol.ProtocolColumns._fields:
                self._columns.update(protocol.read_protocol(self["request_head"], self["response_head"])._asdict())
            elif name in OPTIONAL and name not in self._types:
                self._columns[name] = np.full(self.rows, OPTIONAL[name], CALL[name])
            else:
                self._columns.update(self._joined(name))
        return self._columns[name]

    @classmethod
    def of_rows(cls, calls: Array) -> LazyTable:
        """Of rows, which stay where they are."""
        columns = cls({name: (RECORDED[name], RECORDED[name]) for name in RECORDED.names or ()}, (), len(calls))
        columns._columns = {name: calls[name] for name in calls.dtype.names or ()}
        return columns

    @classmethod
    def concatenated(cls, parts: Sequence[LazyTable]) -> LazyTable:
        """The rows of all parts, which are of one capture."""
        if len(parts) == 1:
            return parts[0]
        whole = cls(parts[0]._types, (), sum(part.rows for part in parts))
        whole._columns = {name: np.concatenate([part[name] for part in parts]) for name in whole._types}
        return whole

    @property
    def packed_size(self) -> int:
        """Bytes in memory of the batches, where they are packed."""
        return sum(batch.columns.packed_size for batch in self._batches)

    def packed(self) -> LazyTable:
        """The same, with nothing unpacked that was packed: to be kept for later. `clamp_times` has to come again."""
        if not self._batches:
            return self
        return LazyTable(
            self._types, [replace(batch, columns=batch.columns.packed()) for batch in self._batches], self.rows
        )

    def unpack(self) -> None:
        """Raise CorruptRecord where a column is damaged; none is from then on."""
        for batch in self._batches:
            for name in self._types:
                batch.columns.coded(name)
            if batch.columns.grouped:
                len(batch.columns.group_sizes)

    def take(self, indices: Indices) -> LazyTable:
        """Only the rows at these places, which ascend, as a whole. For few rows the columns are not joined, and only
        those of the batches that they are in are unpacked."""
        taken = LazyTable(self._types, (), len(indices))
        sparse = len(indices) * SPARSE_RATIO < self.rows
        shares = split_by_part(indices, [batch.rows for batch in self._batches]) if sparse else ()
        rows_of_batches = [_BatchRows(self._batches[number].columns, its_indices) for number, _, its_indices in shares]
        for name, (recorded, wanted) in self._types.items():
            if not taken.rows:
                taken._columns[name] = np.zeros(0, wanted)
            elif rows_of_batches and name not in self._columns:
                parts = [rows_of_batch.values(name, recorded) for rows_of_batch in rows_of_batches]
                taken._columns[name] = _concatenated(parts).astype(wanted, copy=False)
            else:
                taken._columns[name] = self.values_at(name, indices)
        return taken

    def values_at(self, name: str, indices: Indices) -> Column:
        """The values of the rows at these places, which ascend."""
        if name in self._columns or name not in self._grouped:
            return self[name][indices]
        groups = np.searchsorted(np.cumsum(self._group_sizes), indices, "right")
        return self._group_values(name)[groups]

    def runs(self, *names: str) -> tuple[Indices, Indices]:
        """Where runs of rows that agree in these columns begin, and for each row which run it is in."""
        begins = np.zeros(self.rows, np.bool_)
        begins[:1] = True
        if not self._grouped.isdisjoint(names):
            begins[(np.cumsum(self._group_sizes) - self._group_sizes)[self._group_sizes > 0]] = True
        for column in (self[name] for name in names if name not in self._grouped):
            begins[1:] |= column[1:] != column[:-1]
        return np.flatnonzero(begins), np.cumsum(begins) - 1

    def to_array(self, dtype: np.dtype[np.void]) -> Array:
        """The rows as one array; fields that no column has are 0."""
        array = np.zeros(self.rows, dtype)
        self.fill(array)
        return array

    def fill(self, array: Array) -> None:
        """Give the rows of an array those fields that a column has."""
        known = {*self._types, *protocol.ProtocolColumns._fields, *OPTIONAL}
        columns = [(name, self[name]) for name in array.dtype.names or () if name in known]
        for first in range(0, len(array), ROWS_AT_ONCE):
            part = slice(first, first + ROWS_AT_ONCE)
            for name, column in columns:
                array[name][part] = column[part]

    def clamp_times(self) -> ImpossibleTimes:
        """Hold t0 <= t1 <= t2, and count the calls whose t0 or t2 cannot be: their duration becomes 0."""
        t0, t2 = self["t0"], self["t2"]
        wrong = (t2 < t0) | (t2 > LATEST_NS)
        count = int(np.count_nonzero(wrong))
        if not count:
            return ImpossibleTimes()
        beyond = int(np.count_nonzero((t0 > LATEST_NS) | (t2 > LATEST_NS)))
        self._columns["t0"] = np.minimum(t0, np.uint64(LATEST_NS))
        self._columns["t2"] = np.where(wrong, self["t0"], t2)
        return ImpossibleTimes(count - beyond, beyond)

    def _joined(self, name: str) -> dict[str, Column]:
        """The column of this name, and those that are decoded with it."""
        if name in self._grouped:
            return {name: np.repeat(self._group_values(name), self._group_sizes)}
        coded = [batch.columns.coded(name) for batch in self._batches]
        decoded = zip(*(decode(column, self._types[name][0]) for column in coded))
        named = zip(coded[0].fields, decoded)
        return {field: self._as_wanted(field, parts) for field, parts in named if field in self._types}

    def _group_values(self, name: str) -> Column:
        """One value a group."""
        parts = [decode(batch.columns.coded(name), self._types[name][0])[0] for batch in self._batches]
        return self._as_wanted(name, parts)

    def _as_wanted(self, name: str, parts: Sequence[Column]) -> Column:
        return _concatenated(parts).astype(self._types[name][1], copy=False)

    @cached_property
    def _grouped(self) -> Set[str]:
        """The columns of which there is one value a group."""
        return self._batches[0].columns.grouped & self._types.keys() if self._batches else frozenset()

    @cached_property
    def _group_sizes(self) -> npt.NDArray[np.int64]:
        return np.concatenate([_group_sizes_of(batch.columns) for batch in self._batches]).astype(np.int64)


class _BatchRows:
    """Some rows of one batch."""

    def __init__(self, columns: BatchColumns, indices: Indices) -> None:
        self._columns, self._indices = columns, indices

    def values(self, name: str, recorded: np.dtype[np.generic]) -> Column:
        indices = self._groups if name in self._columns.grouped else self._indices
        return decode_rows(self._columns.coded(name), name, recorded, indices)

    @cached_property
    def _groups(self) -> Indices:
        """That the rows are in."""
        return np.searchsorted(np.cumsum(_group_sizes_of(self._columns)), self._indices, "right")


def split_by_part(indices: Indices, sizes: Sequence[int]) -> Iterator[tuple[int, slice, Indices]]:
    """Which of the places, which ascend, are in which of several parts of these sizes: for each part with any its
    number, which of the places they are, and where in the part."""
    starts = np.cumsum([0, *sizes])
    bounds = np.searchsorted(indices, starts).tolist()
    for number, (start, first, last) in enumerate(zip(starts.tolist(), bounds, bounds[1:])):
        if first < last:
            yield number, slice(first, last), indices[first:last] - start


def _concatenated(parts: Sequence[Column]) -> Column:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _group_sizes_of(columns: BatchColumns) -> npt.NDArray[np.uint32]:
    return np.frombuffer(columns.group_sizes, "<u4")


def _known_type(name: str, layout: Layout, wanted: np.dtype[np.void]) -> np.dtype[np.generic] | str:
    """Return the column type of a field, u8 to u64 count bits, bytesN bytes; or why it cannot be read."""
    field = next((field for field in layout.fields if field.name == name), None)
    if field is None:
        return f"the capture has no field '{name}'"
    if field.coding not in CODINGS:
        coding = printable(field.coding)
        return f"the capture's field '{name}' is coded in a way that this httpreport does not know ({coding})"
    unsigned = re.fullmatch(r"u(8|16|32|64)", field.type)
    blob = re.fullmatch(r"bytes([1-9][0-9]{0,3})", field.type, re.ASCII)
    found = np.dtype(f"<u{int(unsigned[1]) // 8}") if unsigned else np.dtype(f"S{blob[1]}") if blob else None
    if found is None or found.kind != wanted.kind or not np.can_cast(found, wanted, "safe"):
        return f"the capture's field '{name}' is {printable(field.type)}, which this httpreport cannot read"
    return found
