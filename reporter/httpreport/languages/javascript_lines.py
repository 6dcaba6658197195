"""Find the line of a bytecode in what V8 knows of a function. The data are untrusted: damaged ones give no line.

The table has an entry for each place in the bytecode that has one in the script: steps in both, as numbers of variable
length, 7 bits a byte, the lowest first; the lowest bit of a number is its sign. A step in the bytecode that is negative
stands for an expression, and is -1 less the step. A place in the script is a number with other facts in it.
Sources in V8: src/codegen/source-position-table.cc, src/codegen/source-position.h.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from httpcapture import Code

_SCRIPT_OFFSET_SHIFT, _SCRIPT_OFFSET_MASK = 1, (1 << 30) - 1
_MAX_LINE = (1 << 31) - 1
_MAX_BITS = 64
_ENTRY = -1  # the first step is from here: the entry of the function


def line_of(code: Code, offset: int) -> int | None:
    """Return the line of the bytecode at an offset, None if it is not known."""
    if not code.first_line or not code.table:
        return None
    try:
        places = [place for at, place in _entries(code.table) if at <= offset]
    except IndexError:
        return None
    place = places[-1] if places else -1
    if place < code.position:
        return None
    ends = struct.unpack(f"<{len(code.line_ends) // 4}I", code.line_ends[: len(code.line_ends) // 4 * 4])
    line = code.first_line + sum(end < place - code.position for end in ends)
    return line if line <= _MAX_LINE else None


def _entries(table: bytes) -> Iterator[tuple[int, int]]:
    """Yield offsets in the bytecode, and places in the script. Raises IndexError at a damaged number."""
    at, offset, position = 0, _ENTRY, 0
    while at < len(table):
        step, at = _number(table, at)
        offset += step if step >= 0 else -1 - step
        step, at = _number(table, at)
        position += step
        yield offset, (position >> _SCRIPT_OFFSET_SHIFT & _SCRIPT_OFFSET_MASK) - 1


def _number(table: bytes, at: int) -> tuple[int, int]:
    """Return the signed number at a place, and where the next one begins."""
    value = 0
    for shift in range(0, _MAX_BITS, 7):
        byte = table[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return value >> 1 ^ -(value & 1), at
    raise IndexError
