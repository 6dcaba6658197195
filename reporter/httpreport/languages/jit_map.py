"""Name code that was made at run time by JIT maps: perf-PID.map has lines of `START SIZE name` in hexadecimal.

Format: tools/perf/Documentation/jit-interface.txt of the kernel. The text is untrusted input: a line of another form is
left out. Code is moved and made again, so if two lines cover an address, the later one counts. Which one was there when
a stack was taken is known only if the later one had been read by then: compilers write lines late.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from heapq import heappop, heappush
from itertools import accumulate
from typing import NamedTuple

from httpcapture import NO_JIT_MAP_SEEN, Stack

from ..calls.process_keys import ProcessKey
from ..capture.module_sections import JoinedParts
from ..capture.recording import Recording
from ..common.budget import Budget
from ..common.printable import printable
from ..unwind import ARCHITECTURES, Rows
from .language import Runtime
from .stack_trace import Frame, StackTrace, Unnamed
from .trampolines import Trampolines

MAX_LINES = 1 << 20
MAX_FUNCTIONS = 1 << 22  # of all JIT maps: some 0.2 GiB
JIT = "[JIT]"  # the module of code that a JIT map names
_TOP = (1 << 64) - 1

_LINE = re.compile(rb"(?:0x)?([0-9a-fA-F]{1,16}) (?:0x)?([0-9a-fA-F]{1,16}) (.*)")


class JitMap:
    """Find the functions of one JIT map by address. A last line without an end is left out. `missing` says why the end
    of the text is.

    A map may have a million functions, and a capture many maps, so they are held in arrays.
    """

    def __init__(self, text: bytes, missing: str = "") -> None:
        found, is_cut_off = functions(text, bool(missing))
        self.unnamed = Unnamed.JIT_MAP_CUT_OFF if is_cut_off else Unnamed.NOT_IN_JIT_MAP  # why other code has no name
        if missing == NO_JIT_MAP_SEEN and not text:
            self.unnamed = Unnamed.NO_JIT_MAP_SEEN
        pieces = _disjoint([(each.start, min(each.start + each.size, _TOP)) for each in found])
        self._starts = array("Q", (piece.start for piece in pieces))
        self._ends = array("Q", (piece.end for piece in pieces))
        self._functions = array("I", (piece.number for piece in pieces))
        self._replaces = bytes(piece.replaces for piece in pieces)
        self._begins = array("Q", (each.start for each in found))
        self._line_ends = array("Q", (each.line_end for each in found))  # offsets in the text
        self._name_offsets = array("I", accumulate((len(each.name) for each in found), initial=0))  # in `_names`
        self._names = b"".join(each.name for each in found)

    def find(self, address: int) -> tuple[bytes, int] | None:
        """Return the name of the function at `address`, and the offset of the address in it; None if a line without a
        name covers it."""
        index = self._index(address)
        if index is None:
            return None
        number = self._functions[index]
        name = self._names[self._name_offsets[number] : self._name_offsets[number + 1]]
        return (name, address - self._begins[number]) if name else None

    def was_replaced(self, address: int, known: int) -> bool:
        """Return whether the function at `address` replaced another one after the first `known` bytes of the text."""
        index = self._index(address)
        return index is not None and bool(self._replaces[index]) and self._line_ends[self._functions[index]] > known

    def _index(self, address: int) -> int | None:
        index = bisect_right(self._starts, address) - 1
        return None if index < 0 or address >= self._ends[index] else index

    def __len__(self) -> int:
        return len(self._starts)


class NamedCode(NamedTuple):
    """Name the code that a process had made at one moment. `known` bytes of the text had been read by then."""

    jit_map: JitMap
    known: int

    def frames(self, address: int, inside: int) -> Sequence[Frame] | Unnamed:
        """Return the frame of the function at an address, or the reason why it has no name."""
        found = self.jit_map.find(inside)
        if found is None:
            return self.jit_map.unnamed
        if self.jit_map.was_replaced(inside, self.known):
            return Unnamed.JIT_CODE_REPLACED
        name, offset = found
        return [Frame(address, JIT, name=printable(name), symbol_offset=offset + address - inside)]

    def finish(self, trace: StackTrace) -> StackTrace:
        """Return the stack trace unchanged."""
        return trace


class _LeftOut:
    """Stand for a JIT map that was not read, since others take too much memory."""

    def frames(self, _address: int, _inside: int) -> Unnamed:
        return Unnamed.LEFT_OUT

    def finish(self, trace: StackTrace) -> StackTrace:
        return trace


_LEFT_OUT = _LeftOut()


class _Times:
    """Find the text that names the code of a moment. `texts` has when the parts of each text had been read, and its
    length then, by the time that identifies the text."""

    def __init__(self, texts: Mapping[int, Sequence[tuple[int, int]]]) -> None:
        ended = sorted((max(reads)[0], taken_ns) for taken_ns, reads in texts.items())
        self._ends = [ns for ns, _ in ended]
        self._first_of_rest = list(accumulate((taken_ns for _, taken_ns in reversed(ended)), min))[::-1]
        self._last = max(texts)
        self._reads = {taken_ns: sorted(reads) for taken_ns, reads in texts.items()}

    def at(self, ns: int) -> tuple[int, int]:
        """Return the time that identifies the text, and how much of it had been read at a moment."""
        index = bisect_left(self._ends, ns)
        taken_ns = self._first_of_rest[index] if index < len(self._ends) else self._last
        reads = self._reads[taken_ns]
        place = bisect_right(reads, (ns, _TOP))
        return taken_ns, reads[place - 1][1] if place else 0


class JitMaps:
    """Read the JIT maps of a recording when a stack needs them. Maps beyond MAX_FUNCTIONS functions are left out."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._budget = Budget(MAX_FUNCTIONS, "JIT maps", recording.stacks.left_out)
        self._times: dict[ProcessKey, _Times] = {}
        self._maps: dict[tuple[ProcessKey, int], JitMap | None] = {}  # by process and the time that identifies the text

    def at(self, stack: Stack, _depths: Sequence[int]) -> Runtime | None:
        """Return the first JIT map whose reading went on after the stack was taken, since code is only ever added; else
        the last."""
        process = ProcessKey.of(self._recording.meta, stack.pid, stack.process_start_ns)
        texts = self._recording.jit_maps.get(process)
        if not texts:
            return None
        if process not in self._times:
            self._times[process] = _Times({taken_ns: text.reads for taken_ns, text in texts.items()})
        taken_ns, known = self._times[process].at(stack.taken_ns)
        jit_map = self._map(process, taken_ns)
        return _LEFT_OUT if jit_map is None else NamedCode(jit_map, known)

    def rows(self, process: ProcessKey) -> Rows | None:
        """Return how to unwind the trampolines in the last JIT map of a process."""
        texts = self._recording.jit_maps.get(process)
        last = self._map(process, max(texts)) if texts else None
        architecture = ARCHITECTURES.get(self._recording.meta.arch)
        return Trampolines(last, architecture.python_trampoline) if last is not None and architecture else None

    def _map(self, process: ProcessKey, taken_ns: int) -> JitMap | None:
        """Return a JIT map, None if there is no room for it."""
        key = process, taken_ns
        if key not in self._maps:
            self._maps[key] = self._read(self._recording.jit_maps[process][taken_ns])
        return self._maps[key]

    def _read(self, text: JoinedParts) -> JitMap | None:
        if self._budget.is_spent():
            return None
        jit_map = JitMap(text.data, text.missing)
        self._budget.spend(len(jit_map))
        return jit_map


class Function(NamedTuple):
    """Hold one line of a JIT map, and the offset of its end in the text."""

    start: int
    size: int
    name: bytes
    line_end: int


def functions(text: bytes, is_cut_off: bool) -> tuple[list[Function], bool]:
    """Return the functions in the order of the text, and whether its end is missing."""
    lines = text.split(b"\n", MAX_LINES)
    unread = lines.pop()  # what follows the last end of a line
    ends = accumulate(len(line) + 1 for line in lines)
    found = [
        Function(int(line[1], 16), int(line[2], 16), line[3], end)
        for line, end in zip(map(_LINE.fullmatch, lines), ends)
        if line
    ]
    return found, is_cut_off or bool(unread)


class _Piece(NamedTuple):
    """Hold a range of addresses and the number of the function there; an earlier one was there if it `replaces` it."""

    start: int
    end: int
    number: int
    replaces: bool


def _disjoint(functions: list[tuple[int, int]]) -> list[_Piece]:
    """Return the pieces of functions that no later function covers, by address. Functions are (start, end).

    This is a sweep over all starts and ends: of the open functions, the last one in the file counts.
    """
    edges = sorted({edge for function in functions for edge in function})
    opening = sorted((start, number) for number, (start, end) in enumerate(functions) if start < end)
    open_: list[int] = []  # a heap of negated numbers
    ending = sorted(end for start, end in functions if start < end)
    pieces: list[_Piece] = []
    following = ended = 0
    for low, high in zip(edges, edges[1:]):
        while following < len(opening) and opening[following][0] <= low:
            heappush(open_, -opening[following][1])
            following += 1
        while ended < len(ending) and ending[ended] <= low:
            ended += 1
        while open_ and functions[-open_[0]][1] <= low:
            heappop(open_)
        if open_:
            piece = _Piece(low, high, -open_[0], following - ended > 1)
            goes_on = bool(pieces) and pieces[-1][1:] == (low, *piece[2:])
            pieces.append(piece._replace(start=pieces.pop().start) if goes_on else piece)
    return pieces
