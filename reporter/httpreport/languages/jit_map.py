"""Name code that was made at run time by JIT maps: perf-PID.map has lines of `START SIZE name` in hexadecimal.

Format: tools/perf/Documentation/jit-interface.txt of the kernel. The text is untrusted input: a line of another form is
left out. Code is moved and made again, so if two lines cover an address, the later one counts.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_right
from collections.abc import Sequence
from heapq import heappop, heappush
from itertools import accumulate

from httpcapture import Stack

from ..capture.module_sections import JoinedParts
from ..capture.recording import ProcessKey, Recording
from ..common.budget import Budget
from ..common.printable import printable
from .language import Runtime
from .stack_trace import Frame, StackTrace, Unnamed

MAX_LINES = 1 << 20
MAX_FUNCTIONS = 1 << 22  # of all JIT maps: some 0.2 GiB
JIT = "[JIT]"  # the module of code that a JIT map names
_TOP = (1 << 64) - 1

_LINE = re.compile(rb"(?:0x)?([0-9a-fA-F]{1,16}) (?:0x)?([0-9a-fA-F]{1,16}) (.+)")


class JitMap:
    """Find the functions of one JIT map by address. If the map is cut off, its last line is left out.

    A map may have a million functions, and a capture many maps, so they are held in arrays.
    """

    def __init__(self, text: bytes, is_cut_off: bool = False) -> None:
        found, self.is_cut_off = functions(text, is_cut_off)
        pieces = _disjoint([(start, min(start + size, _TOP)) for start, size, _ in found])
        self._starts = array("Q", (start for start, _, _ in pieces))
        self._ends = array("Q", (end for _, end, _ in pieces))
        self._functions = array("I", (number for _, _, number in pieces))
        self._begins = array("Q", (start for start, _, _ in found))
        self._name_offsets = array("I", accumulate((len(name) for _, _, name in found), initial=0))  # in `_names`
        self._names = b"".join(name for _, _, name in found)

    def find(self, address: int) -> tuple[bytes, int] | None:
        """Return the name of the function at `address`, and the offset of the address in it."""
        index = bisect_right(self._starts, address) - 1
        if index < 0 or address >= self._ends[index]:
            return None
        number = self._functions[index]
        return self._names[self._name_offsets[number] : self._name_offsets[number + 1]], address - self._begins[number]

    def frames(self, address: int, inside: int) -> Sequence[Frame] | Unnamed:
        """Return the frame of the function at an address, or the reason why it has no name."""
        found = self.find(inside)
        if found is None:
            return Unnamed.JIT_MAP_CUT_OFF if self.is_cut_off else Unnamed.NOT_IN_JIT_MAP
        name, offset = found
        return [Frame(address, JIT, name=printable(name), symbol_offset=offset + address - inside)]

    def finish(self, trace: StackTrace) -> StackTrace:
        """Return the stack trace unchanged."""
        return trace

    def __len__(self) -> int:
        return len(self._starts)


class _LeftOut:
    """Stand for a JIT map that was not read, since others take too much memory."""

    def frames(self, _address: int, _inside: int) -> Unnamed:
        return Unnamed.LEFT_OUT

    def finish(self, trace: StackTrace) -> StackTrace:
        return trace


_LEFT_OUT = _LeftOut()


class JitMaps:
    """Read the JIT maps of a recording when a stack needs them. Maps beyond MAX_FUNCTIONS functions are left out."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._budget = Budget(MAX_FUNCTIONS, "JIT maps", recording.stacks.left_out)
        self._maps: dict[tuple[ProcessKey, int], Runtime] = {}  # by process and the time when they were taken

    def at(self, stack: Stack, _depths: Sequence[int]) -> Runtime | None:
        """Return the first JIT map that was taken after the stack, since code is only ever added; else the last."""
        process = ProcessKey.of(self._recording.meta, stack.pid, stack.process_start_ns)
        texts = self._recording.jit_maps.get(process)
        if not texts:
            return None
        taken_ns = min((ns for ns in texts if ns >= stack.taken_ns), default=max(texts))
        if (process, taken_ns) not in self._maps:
            self._maps[process, taken_ns] = self._read(texts[taken_ns])
        return self._maps[process, taken_ns]

    def _read(self, text: JoinedParts) -> Runtime:
        if self._budget.is_spent():
            return _LEFT_OUT
        jit_map = JitMap(text.data, is_cut_off=bool(text.missing))
        self._budget.spend(len(jit_map))
        return jit_map


def functions(text: bytes, is_cut_off: bool) -> tuple[list[tuple[int, int, bytes]], bool]:
    """Return start, size and name of each function in the order of the text, and whether its end is missing."""
    lines = text.split(b"\n", MAX_LINES)
    unread = lines.pop() if is_cut_off or len(lines) > MAX_LINES else b""
    matches = map(_LINE.fullmatch, lines)
    found = [(int(line[1], 16), int(line[2], 16), line[3]) for line in matches if line]
    return found, is_cut_off or bool(unread)


_Interval = tuple[int, int, int]  # start and end of a piece, and the number of its function


def _disjoint(functions: list[tuple[int, int]]) -> list[_Interval]:
    """Return the pieces of functions that no later function covers, by address. Functions are (start, end).

    This is a sweep over all starts and ends: of the open functions, the last one in the file counts.
    """
    edges = sorted({edge for function in functions for edge in function})
    opening = sorted((start, number) for number, (start, end) in enumerate(functions) if start < end)
    open_: list[int] = []  # a heap of negated numbers
    pieces: list[_Interval] = []
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
