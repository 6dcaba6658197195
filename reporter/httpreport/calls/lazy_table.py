"""Turn batches of a capture into columns. A column is unpacked and joined when it is first asked for.

A column that no filter and no total needs is never unpacked. A batch has about a thousand calls, too few for the cost
of a numpy call, so one `LazyTable` has several batches.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Callable

import numpy as np
import numpy.typing as npt

from httpcapture import CODINGS, BatchColumns, Layout, Outcome, RowBatch

from ..common import tuning
from ..common.errors import ReportError
from ..common.printable import printable
from . import durations, http_call, protocol
from .call_heads import CallHeads
from .column_decoding import decode
from .durations import DurationRule
from .schema import ADDED, CALL, HEADS, LATEST_NS, OPTIONAL, PAIR, RECORDED, RELIED_ON, WORKLOAD, Array, Integers
from .workloads import Workloads

NO_HEADS = CallHeads()
Column = npt.NDArray[Any]
Indices = npt.NDArray[np.intp]
ColumnTypes = Mapping[str, tuple["np.dtype[np.generic]", "np.dtype[np.generic]"]]  # recorded, wanted


def column_types(layout: Layout, wanted: np.dtype[np.void]) -> ColumnTypes:
    """Return the types of the columns of `wanted` (a dtype of schema.py) that a capture with this layout has.

    Fields of OPTIONAL are left out if the capture lacks them or has them in an unknown form. Raises ReportError if
    another field is missing, of another kind, wider than in `wanted`, or of an unknown coding, or if one of RELIED_ON
    is in an unknown form.
    """
    types, named = {}, {field.name for field in layout.fields}
    for name in wanted.names or ():
        found = _known_type(name, layout, wanted[name])
        if not isinstance(found, str):
            types[name] = (found, wanted[name])
        elif name not in OPTIONAL or (name in RELIED_ON and name in named):
            raise ReportError(f"{found}, and a report needs it: use a newer httpreport")
    if not PAIR.keys() <= types.keys():
        types = {name: kinds for name, kinds in types.items() if name not in PAIR}
    return types


def known_columns(layout: Layout) -> Set[str]:
    """Return the names of the columns of RECORDED that a capture with this layout has."""
    types = ((name, _known_type(name, layout, RECORDED[name])) for name in RECORDED.names or ())
    return {name for name, found in types if not isinstance(found, str)}


def unknown_fields(layout: Layout) -> list[str]:
    """Return a text for each field of OPTIONAL that cannot be read, unless the capture is just older than the field."""
    named = {field.name for field in layout.fields}
    found = (_known_type(name, layout, RECORDED[name]) for name in OPTIONAL if name in named or name not in ADDED)
    return [f"{why}: it is unknown for all calls" for why in found if isinstance(why, str)]


@dataclass(frozen=True)
class ImpossibleTimes:
    """Count calls whose times are impossible."""

    backwards: int = 0  # the end is before the start
    beyond: int = 0  # the start or the end is later than LATEST_NS
    responses: int = 0  # the response ends before it begins, or later than LATEST_NS

    def __add__(self, other: ImpossibleTimes) -> ImpossibleTimes:
        responses = self.responses + other.responses
        return ImpossibleTimes(self.backwards + other.backwards, self.beyond + other.beyond, responses)

    def __bool__(self) -> bool:
        return bool(self.backwards or self.beyond or self.responses)


class LazyTable:
    """Hold the rows of some batches as columns, by name. A table of calls also has the columns of its protocol, and,
    once it is complete, those of its durations (see CALL). The heads of its calls are looked up in `heads`, and where
    their processes ran in `workloads`."""

    def __init__(
        self,
        types: ColumnTypes,
        batches: Sequence[RowBatch],
        rows: int,
        heads: CallHeads | None = None,
        workloads: Workloads | None = None,
    ) -> None:
        self.rows = rows
        self.heads = NO_HEADS if heads is None else heads
        self.workloads = workloads
        self._types = types
        self._batches = batches
        self._columns: dict[str, Column] = {}
        self._impossible: npt.NDArray[np.bool_] | None = None  # calls with impossible times, if there are any
        self._replaced: tuple[Indices, Callable[[str], Integers]] | None = None  # set by `replace_bytes`

    def __getitem__(self, name: str) -> Column:
        if name not in self._columns:
            if name in protocol.ProtocolColumns._fields:
                encrypted = self["is_encrypted"] if "is_encrypted" in self._types else None
                first_bytes = self["request_head"], self["response_head"]
                read = protocol.read_protocol(*first_bytes, encrypted, self["stream"])
                if len(self.heads):
                    http_call.complete(read, self.heads, self["request"], self["response"])
                self._columns.update(read._asdict())
            elif name in HEADS:
                self._columns.update(zip(HEADS, self.heads.find(self, self.rows)))
            elif name == WORKLOAD:
                none = np.zeros(self.rows, CALL[name])
                self._columns[name] = none if self.workloads is None else self.workloads.numbers(self)
            elif name in OPTIONAL and name not in self._types:
                self._columns[name] = np.full(self.rows, OPTIONAL[name], CALL[name])
            else:
                self._columns.update(self._joined(name))
                if self._replaced and name in ("sent", "received"):
                    indices, values = self._replaced
                    self._columns[name] = self._columns[name].copy()
                    self._columns[name][indices] = values(name)
        return self._columns[name]

    @classmethod
    def of_rows(cls, calls: Array, heads: CallHeads | None, workloads: Workloads | None) -> LazyTable:
        """Return a table over an array of rows (dtype CALL), which is not copied. What is looked up for rows that are
        taken of it is in `heads` and `workloads`."""
        types = {name: (RECORDED[name], RECORDED[name]) for name in RECORDED.names or ()}
        columns = cls(types, (), len(calls), heads, workloads)
        columns._columns = {name: calls[name] for name in calls.dtype.names or ()}
        return columns

    @classmethod
    def concatenated(cls, parts: Sequence[LazyTable]) -> LazyTable:
        """Return one table with the rows of all parts, which are of one capture."""
        if len(parts) == 1:
            return parts[0]
        whole = cls(parts[0]._types, (), sum(part.rows for part in parts), parts[0].heads, parts[0].workloads)
        names = [*whole._types, *parts[0]._durations]
        whole._columns = {name: np.concatenate([part[name] for part in parts]) for name in names}
        return whole

    @property
    def packed_size(self) -> int:
        """Return the bytes that the batches take in memory while they are packed; 0 if there are no batches."""
        return sum(batch.columns.packed_size for batch in self._batches)

    def packed(self) -> LazyTable:
        """Return the same table with everything packed that was read packed, to be kept for later.

        `complete` has to be called on it again.
        """
        if not self._batches:
            return self
        packed = [replace(batch, columns=batch.columns.packed()) for batch in self._batches]
        return LazyTable(self._types, packed, self.rows, self.heads, self.workloads)

    def unpack(self, names: Collection[str] | None = None) -> None:
        """Unpack every column, or those of these names, so that no later use of them finds damage. Raises CorruptRecord
        if a column is damaged."""
        wanted = self._types if names is None else self._types.keys() & set(names)
        for batch in self._batches:
            for name in wanted:
                batch.columns.coded(name)
            if batch.columns.grouped:
                len(batch.columns.group_sizes)

    def take(self, indices: Indices) -> LazyTable:
        """Return a table of the rows at these ascending indices."""
        taken = LazyTable(self._types, (), len(indices), self.heads, self.workloads)
        for name, (_, wanted) in self._types.items():
            taken._columns[name] = self.values_at(name, indices) if taken.rows else np.zeros(0, wanted)
        taken._columns.update({name: self[name][indices] for name in self._durations})
        return taken

    def values_at(self, name: str, indices: Indices) -> Column:
        """Return the values of one column in the rows at these ascending indices."""
        if name in self._columns or name not in self._grouped:
            return self[name][indices]
        groups = np.searchsorted(np.cumsum(self._group_sizes), indices, "right")
        return self._group_values(name)[groups]

    def runs(self, *names: str) -> tuple[Indices, Indices]:
        """Return the index of the first row of each run of rows with equal values in these columns, and for each row
        the number of its run."""
        begins = np.zeros(self.rows, np.bool_)
        begins[:1] = True
        if not self._grouped.isdisjoint(names):
            begins[(np.cumsum(self._group_sizes) - self._group_sizes)[self._group_sizes > 0]] = True
        for column in (self[name] for name in names if name not in self._grouped):
            begins[1:] |= column[1:] != column[:-1]
        return np.flatnonzero(begins), np.cumsum(begins) - 1

    def to_array(self, dtype: np.dtype[np.void]) -> Array:
        """Return the rows as one array. A field that no column has is 0."""
        array = np.zeros(self.rows, dtype)
        self.fill(array)
        return array

    def fill(self, array: Array) -> None:
        """Fill in the fields of an array of as many rows that a column has."""
        known = {*self._types, *protocol.ProtocolColumns._fields, *OPTIONAL, *HEADS, WORKLOAD, *self._durations}
        columns = [(name, self[name]) for name in array.dtype.names or () if name in known]
        for first in range(0, len(array), tuning.ROWS_FILLED_AT_ONCE):
            part = slice(first, first + tuning.ROWS_FILLED_AT_ONCE)
            for name, column in columns:
                array[name][part] = column[part]

    def complete(self, rule: DurationRule, *, count: bool = False) -> ImpossibleTimes:
        """Clamp the times, join calls with their completions, and decide how long they took. Return what
        `clamp_times` returns. `count` is to be set once for each call (durations.py)."""
        if self._durations:
            return ImpossibleTimes()
        impossible = self.clamp_times()
        self._columns.update(rule.columns(self, count=count))
        return impossible

    def clamp_times(self) -> ImpossibleTimes:
        """Make t0 <= t2 <= t3 <= LATEST_NS hold for every call, and return how many calls broke it. If t0 or t2 is
        wrong, the call's duration becomes 0. Only an answered call has a response, which ends after t2."""
        t0, t2, t3 = self["t0"], self["t2"], self["t3"]
        answered = self["outcome"] == Outcome.ANSWERED
        wrong = (t2 < t0) | (t2 > LATEST_NS)
        count = beyond = 0
        if wrong.any():
            self._impossible = wrong
            count, beyond = (int(np.count_nonzero(each)) for each in (wrong, (t0 > LATEST_NS) | (t2 > LATEST_NS)))
            self._columns["t0"] = np.minimum(t0, np.uint64(LATEST_NS))
            self._columns["t2"] = t2 = np.where(wrong, self["t0"], t2)
            answered &= ~wrong
        no_response = answered & (t3 != 0) & ((t3 < t2) | (t3 > LATEST_NS))
        self._columns["t3"] = np.where(answered & (t3 <= LATEST_NS), np.maximum(t2, t3), t2)
        return ImpossibleTimes(count - beyond, beyond, int(np.count_nonzero(no_response)))

    def possible(self, indices: Indices) -> npt.NDArray[np.bool_] | np.bool_:
        """Return whether the calls at these indices had possible times before they were clamped."""
        return np.True_ if self._impossible is None else ~self._impossible[indices]

    def replace_bytes(self, indices: Indices, values: Callable[[str], Integers]) -> None:
        """Let the calls at these indices have these values of `sent` and `received`, once they are asked for."""
        self._replaced = indices, values

    @property
    def _durations(self) -> Sequence[str]:
        """Return the names of the columns that `complete` adds, if it has."""
        return durations.COLUMNS if "duration" in self._columns else ()

    def _joined(self, name: str) -> dict[str, Column]:
        """Return the column of this name, and the columns that are decoded with it."""
        if name in self._grouped:
            return {name: np.repeat(self._group_values(name), self._group_sizes)}
        coded = [batch.columns.coded(name) for batch in self._batches]
        decoded = zip(*(decode(column, self._types[name][0]) for column in coded))
        named = zip(coded[0].fields, decoded)
        return {field: self._as_wanted(field, parts) for field, parts in named if field in self._types}

    def _group_values(self, name: str) -> Column:
        """Return the values of a column that has one value for each group."""
        parts = [decode(batch.columns.coded(name), self._types[name][0])[0] for batch in self._batches]
        return self._as_wanted(name, parts)

    def _as_wanted(self, name: str, parts: Sequence[Column]) -> Column:
        return _concatenated(parts).astype(self._types[name][1], copy=False)

    @cached_property
    def _grouped(self) -> Set[str]:
        """Return the names of the columns that have one value for each group."""
        return self._batches[0].columns.grouped & self._types.keys() if self._batches else frozenset()

    @cached_property
    def _group_sizes(self) -> npt.NDArray[np.int64]:
        """Return how many rows each group has."""
        return np.concatenate([_group_sizes_of(batch.columns) for batch in self._batches]).astype(np.int64)


def split_by_part(indices: Indices, sizes: Sequence[int]) -> Iterator[tuple[int, slice, Indices]]:
    """Split ascending row indices of a whole by its parts, which have these sizes.

    Yield for each part with any of the rows: its number, the slice of the indices that are in it, and these indices
    relative to the part.
    """
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
    """Return the column type of a field (u8 to u64 count bits, bytesN counts bytes), or the reason why it cannot be
    read."""
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
