"""A JIT map names code that was made at run time: perf-PID.map, one `START SIZE name` a line, both numbers
hexadecimal.

Format: tools/perf/Documentation/jit-interface.txt of the kernel. The text is a stranger's: a line that is not so is
left out. Code is moved and made anew, so of two lines that cover an address the later one in the file counts.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from heapq import heappop, heappush

MAX_LINES = 1 << 20

_LINE = re.compile(rb"(?:0x)?([0-9a-fA-F]{1,16}) (?:0x)?([0-9a-fA-F]{1,16}) (.+)")


class JitMap:
    """The functions of one map, found by address. If its end is missing, so is the line that it was in."""

    def __init__(self, text: bytes, is_cut_off: bool = False) -> None:
        found, self.is_cut_off = functions(text, is_cut_off)
        self._functions = _disjoint(found)
        self._starts = [start for start, _, _, _ in self._functions]

    def find(self, address: int) -> tuple[bytes, int] | None:
        """The name of the function at `address`, and where in it that is."""
        index = bisect_right(self._starts, address) - 1
        if index < 0 or address >= self._functions[index][1]:
            return None
        _, _, begin, name = self._functions[index]
        return name, address - begin

    def __len__(self) -> int:
        return len(self._functions)


def functions(text: bytes, is_cut_off: bool) -> tuple[list[tuple[int, int, bytes]], bool]:
    """Start, size and name of each function in the order of the text, and whether some are missing at its end."""
    lines = text.split(b"\n", MAX_LINES)
    rest = lines.pop() if is_cut_off or len(lines) > MAX_LINES else b""
    matches = map(_LINE.fullmatch, lines)
    found = [(int(line[1], 16), int(line[2], 16), line[3]) for line in matches if line]
    return found, is_cut_off or bool(rest)


_Piece = tuple[int, int, int, bytes]  # start and end of what is still the function's, its begin, its name


def _disjoint(functions: list[tuple[int, int, bytes]]) -> list[_Piece]:
    """What the later functions leave of the earlier ones, by address.

    A sweep over all begins and ends; of the functions that are open the last in the file shows.
    """
    edges = sorted(
        {start for start, size, _ in functions if size} | {start + size for start, size, _ in functions if size}
    )
    opening = sorted((start, number) for number, (start, size, _) in enumerate(functions) if size)
    open_: list[int] = []  # a heap of negated numbers
    pieces: list[_Piece] = []
    following = 0
    for low, high in zip(edges, edges[1:]):
        while following < len(opening) and opening[following][0] <= low:
            heappush(open_, -opening[following][1])
            following += 1
        while open_ and _end(functions[-open_[0]]) <= low:
            heappop(open_)
        if open_:
            start, _, name = functions[-open_[0]]
            if pieces and pieces[-1][1:3] == (low, start) and pieces[-1][3] is name:
                pieces.append((pieces.pop()[0], high, start, name))
            else:
                pieces.append((low, high, start, name))
    return pieces


def _end(function: tuple[int, int, bytes]) -> int:
    return function[0] + function[1]
