"""A JIT map names code that was made at run time: perf-PID.map, one `START SIZE name` a line, both numbers
hexadecimal.

Format: tools/perf/Documentation/jit-interface.txt of the kernel. The text is a stranger's: a line that is not so is
left out. Code is moved and made anew, so of two lines that cover an address the later one in the file counts.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_right
from heapq import heappop, heappush
from itertools import accumulate

MAX_LINES = 1 << 20
_TOP = (1 << 64) - 1

_LINE = re.compile(rb"(?:0x)?([0-9a-fA-F]{1,16}) (?:0x)?([0-9a-fA-F]{1,16}) (.+)")


class JitMap:
    """The functions of one map, found by address. If its end is missing, so is the line that it was in.

    A map may have a million functions, and a capture many maps: they are held in arrays.
    """

    def __init__(self, text: bytes, is_cut_off: bool = False) -> None:
        found, self.is_cut_off = functions(text, is_cut_off)
        pieces = _disjoint([(start, min(start + size, _TOP)) for start, size, _ in found])
        self._starts = array("Q", (start for start, _, _ in pieces))
        self._ends = array("Q", (end for _, end, _ in pieces))
        self._functions = array("I", (number for _, _, number in pieces))
        self._begins = array("Q", (start for start, _, _ in found))
        self._places = array("I", accumulate((len(name) for _, _, name in found), initial=0))  # in `_names`
        self._names = b"".join(name for _, _, name in found)

    def find(self, address: int) -> tuple[bytes, int] | None:
        """The name of the function at `address`, and where in it that is."""
        index = bisect_right(self._starts, address) - 1
        if index < 0 or address >= self._ends[index]:
            return None
        number = self._functions[index]
        return self._names[self._places[number] : self._places[number + 1]], address - self._begins[number]

    def __len__(self) -> int:
        return len(self._starts)


def functions(text: bytes, is_cut_off: bool) -> tuple[list[tuple[int, int, bytes]], bool]:
    """Start, size and name of each function in the order of the text, and whether some are missing at its end."""
    lines = text.split(b"\n", MAX_LINES)
    rest = lines.pop() if is_cut_off or len(lines) > MAX_LINES else b""
    matches = map(_LINE.fullmatch, lines)
    found = [(int(line[1], 16), int(line[2], 16), line[3]) for line in matches if line]
    return found, is_cut_off or bool(rest)


_Piece = tuple[int, int, int]  # start and end of what is still the function's, its number


def _disjoint(functions: list[tuple[int, int]]) -> list[_Piece]:
    """Return what the later functions, given by begin and end, leave of the earlier ones, by address.

    A sweep over all begins and ends; of the functions that are open the last in the file shows.
    """
    edges = sorted({edge for function in functions for edge in function})
    opening = sorted((start, number) for number, (start, end) in enumerate(functions) if start < end)
    open_: list[int] = []  # a heap of negated numbers
    pieces: list[_Piece] = []
    following = 0
    for low, high in zip(edges, edges[1:]):
        while following < len(opening) and opening[following][0] <= low:
            heappush(open_, -opening[following][1])
            following += 1
        while open_ and functions[-open_[0]][1] <= low:
            heappop(open_)
        if open_:
            number = -open_[0]
            goes_on = pieces and pieces[-1][1:] == (low, number)
            pieces.append((pieces.pop()[0] if goes_on else low, high, number))
    return pieces
