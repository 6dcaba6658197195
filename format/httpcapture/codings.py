"""Encode columns as bytes that zstd compresses better, and decode them again, without loss.

Times are most of what a call takes in the file. They grow, and their differences have few significant bytes. Hence:

- `planes`: the lowest byte of every row, then the second byte of every row, and so on;
- `delta`: the planes of the differences between each value and the one before it, modulo 2^bits;
- `group`: one value for all rows of a group, because they agree (batch_builder.py).

The first two process whole columns with operations that CPython does in C: slices with a step, and arithmetic on the
column as one long number. Only `from_differences` looks at each value. With numpy both can be decoded faster.
"""

from __future__ import annotations

from array import array
from itertools import accumulate
from typing import Literal

from .records import CodedColumn

PLANES, DELTA, GROUP = "planes", "delta", "group"
CODINGS = frozenset(["", PLANES, DELTA, GROUP])  # "": the values as they are
FIELD_CODINGS = {
    **dict.fromkeys(("process_start", "connection", "cgroup", "process", "local_address", "peer_address"), GROUP),
    **dict.fromkeys(("pid", "local_port", "peer_port"), GROUP),
    **dict.fromkeys(("t0", "t1", "t2", "t3", "sequence", "request_seq", "response_seq"), DELTA),
    **dict.fromkeys(("sent", "received"), PLANES),
}
"""Codings of the fields of calls and completions, unless "". The fields of the coding `group` are in a row's order."""
SHORT_CODINGS = {**FIELD_CODINGS, "pid": ""}
"""The same of calls below the threshold, of which only the connection comes first."""

CASTS: dict[int, Literal["B", "H", "I", "Q"]] = {1: "B", 2: "H", 4: "I", 8: "Q"}


def decode(column: CodedColumn) -> list[memoryview]:
    """Return the values of each field that the column holds, little-endian, one after the other."""
    data, width, fields = column.data, column.width, len(column.fields)
    if column.coding in (PLANES, DELTA):
        data = from_planes(data, width * fields)
    if column.coding == DELTA:
        data = from_differences(data, width)
    if fields == 1:
        return [memoryview(data)]
    values = array(CASTS[width], data)
    return [memoryview(values[part::fields]).cast("B") for part in range(fields)]


def to_planes(column: bytes | bytearray, width: int) -> bytes:
    """Return the bytes of rows of `width` bytes each: the first byte of every row, then the second, and so on."""
    return b"".join([column[byte::width] for byte in range(width)])


def from_planes(planes: bytes, width: int) -> bytes:
    """Return the rows of `width` bytes each that `to_planes` turned into these planes."""
    rows = len(planes) // width
    column, zeros = bytearray(len(planes)), bytes(rows)
    for byte in range(width):
        plane = planes[byte * rows : (byte + 1) * rows]
        if plane != zeros:  # as the high bytes of small numbers are
            column[byte::width] = plane
    return bytes(column)


def to_differences(column: bytes | bytearray, width: int) -> bytes:
    """Return each value of `width` bytes less the one before it (0 for the first), modulo 2^(8 * width).

    All values are subtracted at once, as the digits of one long number. The highest bit of each digit is subtracted
    separately, so that no digit borrows from the next: H. S. Warren, Hacker's Delight, 2-18.
    """
    highest = int.from_bytes((bytes(width - 1) + b"\x80") * (len(column) // width), "little")
    values = int.from_bytes(column, "little")
    before = int.from_bytes(column[:-width], "little") << 8 * width
    apart = (values ^ before ^ highest) & highest
    return (((values | highest) - (before ^ before & highest)) ^ apart).to_bytes(len(column), "little")


def from_differences(column: bytes, width: int) -> bytes:
    """Return the values that have these differences: sums of the first 1, 2, 3, ... of them, modulo 2^(8 * width)."""
    mask, code = (1 << 8 * width) - 1, CASTS[width]
    return array(code, [value & mask for value in accumulate(memoryview(column).cast(code))]).tobytes()
