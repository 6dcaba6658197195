"""Check layouts, and derive the columns of a batch from them. A layout describes the fields of a row."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from .codings import CASTS, CODINGS, DELTA, GROUP
from .records import Field, Layout

MAX_ROW = 4096  # bytes
WORD = 8  # rows, ring-buffer headers and bytesN fields are whole words

_INTEGERS = {"u8": 1, "u16": 2, "u32": 4, "u64": 8}
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}", re.ASCII)
_BYTES = re.compile(r"bytes([1-9][0-9]{0,3})", re.ASCII)


@dataclass(frozen=True)
class StoredColumn:
    """Describe a column of a batch. It holds one field, or several `delta` fields whose values alternate."""

    fields: Sequence[Field]
    width: int | None  # bytes of one value; None where the type or coding is of a later version of the format

    @property
    def coding(self) -> str:
        return self.fields[0].coding

    @property
    def of_groups(self) -> bool:
        """Return whether the column has one value per group instead of one per row."""
        return self.coding == GROUP


def width(field: Field) -> int | None:
    """Return how many bytes one value takes, or None for a type of a later version of the format."""
    blob = _BYTES.fullmatch(field.type)
    return int(blob.group(1)) if blob else _INTEGERS.get(field.type)


def check_layout(layout: Layout) -> None:
    """Raise ValueError unless the layout obeys the format's rules. Fields of unknown types are allowed."""
    if not 0 < layout.size <= MAX_ROW or layout.size % WORD:
        raise ValueError(f"a row of {layout.size} bytes: it must be 8 to {MAX_ROW}, a multiple of 8")
    names = [field.name for field in layout.fields]
    if len(set(names)) < len(names):
        raise ValueError("two fields of a layout have the same name")
    taken = 0
    for field in layout.fields:
        if not _NAME.fullmatch(field.name):
            raise ValueError(f"field name {field.name!a}: it must match {_NAME.pattern}")
        size = width(field)
        if size is None:
            continue
        if size not in CASTS and size % WORD:
            raise ValueError(f"field {field.name}: {field.type} has neither 1, 2 or 4 bytes nor whole words of 8")
        if field.offset % min(size, WORD) or field.offset + size > layout.size:
            raise ValueError(f"field {field.name}: {field.type} at {field.offset} is not aligned, or not in the row")
        if field.coding == DELTA and field.type not in _INTEGERS:
            raise ValueError(f"field {field.name}: the coding {DELTA!a} needs an integer, not {field.type}")
        taken += size
    if taken > layout.size:
        raise ValueError(f"the fields have {taken} bytes, the row has {layout.size}")


def stored_columns(layout: Layout) -> list[StoredColumn]:
    """Return the columns of a batch. Adjacent fields of one type with the coding `delta` share a column."""
    columns = []
    for (kind, coding), run in groupby(layout.fields, lambda field: (field.type, field.coding)):
        fields = [*run]
        size = width(fields[0]) if coding in CODINGS else None
        shared = [fields] if coding == DELTA and kind in _INTEGERS else [[field] for field in fields]
        columns += [StoredColumn(tuple(alternating), size) for alternating in shared]
    return columns


def has_groups(layout: Layout) -> bool:
    """Return whether the first column of a batch holds the sizes of its groups."""
    return any(field.coding == GROUP for field in layout.fields)
