"""Find the line of an instruction in a line table of CPython. A table is untrusted input: a damaged one gives no line.

Sources in CPython: Objects/lnotab_notes.txt of 3.9 and 3.10, Objects/locations.md of 3.11.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Optional

NO_LINE = 15  # kinds of locations, by their number
_LONG, _NO_COLUMNS, _FIRST_ONE_LINE = 14, 13, 10
_NO_LINE_3_10 = -128
_MAX_LINE = (1 << 31) - 1

Version = tuple[int, int]
Stretch = tuple[int, Optional[int]]  # where a stretch of code ends, and its line


def line_of(version: Version, table: bytes, first_line: int, index: int) -> int | None:
    """Return the line of the instruction at `index`, None if it has none or the table is damaged: a line is an int in
    CPython.

    The index counts bytes up to 3.9, and units of 2 bytes from 3.10 on. A negative one stands for a frame that has not
    executed anything: its line is the first.
    """
    line = _line_of(version, table, first_line, index)
    return line if line is not None and 0 <= line <= _MAX_LINE else None


def _line_of(version: Version, table: bytes, first_line: int, index: int) -> int | None:
    if index < 0:
        return first_line
    stretches = _lnotab if version < (3, 10) else _linetable if version == (3, 10) else _locations
    try:
        return next((line for end, line in stretches(table, first_line) if index < end), None)
    except IndexError:
        return None


def _signed(byte: int) -> int:
    return byte - 256 if byte >= 128 else byte


def _lnotab(table: bytes, line: int) -> Iterator[Stretch]:
    """Yield the stretches of a co_lnotab: pairs of how many bytes of code have the line so far, and a step to the
    next."""
    end = 0
    for size, step in zip(table[::2], table[1::2]):
        end += size
        yield end, line
        line += _signed(step)
    yield 1 << 32, line


def _linetable(table: bytes, line: int) -> Iterator[Stretch]:
    """Yield the stretches of a co_linetable of 3.10: pairs of bytes of code, and the step to the line of these."""
    end = 0
    for size, step in zip(table[::2], map(_signed, table[1::2])):
        end += size
        if step == _NO_LINE_3_10:
            yield end // 2, None
        else:
            line += step
            yield end // 2, line


def _locations(table: bytes, line: int) -> Iterator[Stretch]:
    """Yield the stretches of a co_linetable from 3.11 on. Raises IndexError if it ends too early."""
    end = at = 0
    while at < len(table):
        kind, units = table[at] >> 3 & 15, (table[at] & 7) + 1
        at += 1
        end += units
        if kind == NO_LINE:
            yield end, None
            continue
        if kind in (_LONG, _NO_COLUMNS):
            step, at = _varint(table, at)
            line += -(step >> 1) if step & 1 else step >> 1
            for _ in range(3 if kind == _LONG else 0):
                _, at = _varint(table, at)
        elif kind >= _FIRST_ONE_LINE:
            line += kind - _FIRST_ONE_LINE
            at += 2
        else:
            at += 1
        yield end, line


def _varint(table: bytes, at: int) -> tuple[int, int]:
    """Return a number of 6 bits a byte, the lowest first, and where the next one begins."""
    value = shift = 0
    while True:
        byte = table[at]
        at += 1
        value |= (byte & 63) << shift
        shift += 6
        if not byte & 64:
            return value, at
        if shift > 60:
            raise IndexError
