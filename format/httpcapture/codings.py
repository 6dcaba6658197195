"""A coding turns a column into bytes that zstd packs better, and back, without a loss.

Nearly all that a call takes in the file are its times, which grow, and whose differences have few bytes. So:

- `planes`: first the lowest byte of every row, then the second one of every row, and so on;
- `delta`: each value less the one before it, modulo 2^bits, and of that the planes;
- `group`: one value for a group of rows that agree, which is what columns.py writes.

The first two work on whole columns by what CPython does in C: slices with a step, and arithmetic on the column as one
long number. Only `add_up`, which undoes a delta, looks at each value. With numpy both are undone faster.
"""

from __future__ import annotations

from array import array
from itertools import accumulate
from typing import Literal

from .records import CodedColumn

PLANES, DELTA, GROUP = "planes", "delta", "group"
CODINGS = frozenset(["", PLANES, DELTA, GROUP])  # as it is, or one of these
FIELD_CODINGS = {
    **dict.fromkeys(("process_start", "connection", "cgroup", "process", "local_address", "peer_address"), GROUP),
    **dict.fromkeys(("pid", "local_port", "peer_port"), GROUP),
    **dict.fromkeys(("t0", "t1", "t2", "t3", "sequence"), DELTA),
    **dict.fromkeys(("sent", "received"), PLANES),
}
"""The codings of fields of calls and completions that are not stored as they are; those of `group` in a row's order."""

CASTS: dict[int, Literal["B", "H", "I", "Q"]] = {1: "B", 2: "H", 4: "I", 8: "Q"}


def decode(column: CodedColumn) -> list[memoryview]:
    """The values of each of the fields that share the column."""
    data, width, fields = column.data, column.width, len(column.fields)
    if column.coding in (PLANES, DELTA):
        data = from_planes(data, width * fields)
    if column.coding == DELTA:
        data = add_up(data, width)
    if fields == 1:
        return [memoryview(data)]
    values = array(CASTS[width], data)
    return [memoryview(values[part::fields]).cast("B") for part in range(fields)]


def to_planes(column: bytes | bytearray, width: int) -> bytes:
    """The bytes of rows of `width` bytes each: by their place in the row, instead of row by row."""
    return b"".join([column[place::width] for place in range(width)])


def from_planes(planes: bytes, width: int) -> bytes:
    rows = len(planes) // width
    column, zeros = bytearray(len(planes)), bytes(rows)
    for place in range(width):
        plane = planes[place * rows : (place + 1) * rows]
        if plane != zeros:  # the high bytes of small numbers are
            column[place::width] = plane
    return bytes(column)


def to_differences(column: bytes | bytearray, width: int) -> bytes:
    """Each value of `width` bytes less the one before it, the first less 0, modulo 2^(8 * width).

    All are subtracted at once, as digits of one long number. What keeps a digit from borrowing of the next one is in
    H. S. Warren, Hacker's Delight, 2-18: the highest bits are subtracted on their own.
    """
    highest = int.from_bytes((bytes(width - 1) + b"\x80") * (len(column) // width), "little")
    values = int.from_bytes(column, "little")
    before = int.from_bytes(column[:-width], "little") << 8 * width
    apart = (values ^ before ^ highest) & highest
    return (((values | highest) - (before ^ before & highest)) ^ apart).to_bytes(len(column), "little")


def add_up(column: bytes, width: int) -> bytes:
    """The values whose differences these are: the sum of the first 1, 2, 3, ... of them, modulo 2^(8 * width)."""
    mask, code = (1 << 8 * width) - 1, CASTS[width]
    return array(code, [value & mask for value in accumulate(memoryview(column).cast(code))]).tobytes()
