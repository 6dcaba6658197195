"""Read the numbers and pointers of call frame information from bytes that may be hostile.

Each function takes bytes and an offset, and returns a value and the offset after it. It raises BadCfi, or IndexError or
struct.error if the bytes end. `eh_frame` turns all three into a BadCfi.

Formats: LEB128: DWARF 5, 7.6. Pointer encodings: LSB Core 5.0, 10.5.
"""

from __future__ import annotations

import struct

ADDRESS_MASK = (1 << 64) - 1
OMITTED = 0xFF  # the pointer encoding that says "no pointer"

_MAX_LEB_BYTES = 10  # 64 bits
_MORE, _SIGN = 0x80, 0x40
_PC_RELATIVE, _DATA_RELATIVE = 0x10, 0x30
_INTEGERS = {
    0x00: struct.Struct("<Q"),
    0x02: struct.Struct("<H"),
    0x03: struct.Struct("<I"),
    0x04: struct.Struct("<Q"),
    0x0A: struct.Struct("<h"),
    0x0B: struct.Struct("<i"),
    0x0C: struct.Struct("<q"),
}
_ULEB, _SLEB = 0x01, 0x09


class BadCfi(ValueError):
    """Say how call frame information breaks its format, or what it needs that is not supported."""


class WorkBudget:
    """Bound the work that hostile unwind information may cause. Each piece of work is spent before it is done."""

    def __init__(self, left: int) -> None:
        self.left = left

    def spend(self) -> None:
        """Spend one piece of work. Raises BadCfi if none is left."""
        self.left -= 1
        if self.left < 0:
            raise BadCfi("too much work")


def uleb128(data: bytes, at: int) -> tuple[int, int]:
    """Read an unsigned LEB128 number at an offset, and return it with the offset after it.

    Raises BadCfi if it has more than 64 bits, IndexError if the data ends in it.
    """
    value = 0
    for shift in range(0, 7 * _MAX_LEB_BYTES, 7):
        byte = data[at]
        at += 1
        value |= (byte & ~_MORE) << shift
        if byte < _MORE:
            return value, at
    raise BadCfi("a LEB128 number of more than 64 bits")


def sleb128(data: bytes, at: int) -> tuple[int, int]:
    """Read a signed LEB128 number at an offset, and return it with the offset after it. Raises as `uleb128` does."""
    value, end = uleb128(data, at)
    if data[end - 1] & _SIGN:
        value -= 1 << 7 * (end - at)
    return value, end


def pointer(data: bytes, at: int, encoding: int, address: int, data_address: int = 0) -> tuple[int, int]:
    """Read an encoded pointer whose first byte is at `address`. A "data relative" one counts from `data_address`.

    The flag "indirect" (0x80) is left to the caller: the value is the address of the pointer then.
    """
    form, base = encoding & 0x0F, encoding & 0x70
    if form == _ULEB:
        value, end = uleb128(data, at)
    elif form == _SLEB:
        value, end = sleb128(data, at)
    elif form in _INTEGERS:
        value, end = _INTEGERS[form].unpack_from(data, at)[0], at + _INTEGERS[form].size
    else:
        raise BadCfi(f"pointer encoding {encoding:#x}")
    if base == _PC_RELATIVE:
        value += address
    elif base == _DATA_RELATIVE:
        value += data_address
    elif base:
        raise BadCfi(f"pointer encoding {encoding:#x}")
    return value & ADDRESS_MASK, end
