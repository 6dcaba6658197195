"""Read what names a JavaScript function, and prove that it is the one of a frame. Nothing is decoded but pointers, and
where lines end.

V8 moves functions in memory, and a call is recorded some time after its stack was copied. A name counts only if the
frame proves it: its bytecode is the one that the function has now, or its return address lies in the function's code.
Source: src/objects of V8: js-function.tq, shared-function-info.tq, scope-info.tq, script.tq, bytecode-array.tq.
"""

from __future__ import annotations

import hashlib
import re
import time
from array import array
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple, Optional

from httpcapture import MAX_CODE_TABLE, MAX_PATH

from .. import tuning
from .v8_heap import Heap, MovedError, Text, is_pointer, is_smi, smi
from .v8_layouts import DEBUG_SCRIPT, FUNCTION_TYPES, SCRIPT_ID, SCRIPT_LINE_OFFSET, SHARED_DATA

_WORD = 8
_LAST_SMI = 1 << 31
_NOT_STRING = 1 << 7
_MAX_LOCALS = 1 << 12
_MAX_INLINE_LOCALS = 75  # ScopeInfo has a table of names from so many locals on
_LINE_END = re.compile("\r(?!\n)|[\n\u2028\u2029]")
_PAIR = re.compile("[\U00010000-\U0010ffff]")
_NO_TEXT = Text(b"", 1)


class Frame(NamedTuple):
    """Hold what a frame of V8 has on the stack."""

    address: int  # to which its frame pointer points
    function: int
    bytecode: int
    offset: int  # of the instruction in the bytecode: a Smi; in compiled code it is something else
    returns: tuple[int, ...]  # addresses to which a callee may return


class Function(NamedTuple):
    """Describe a function without what its lines need."""

    shared: int
    name: Text
    filename: Text
    script: int
    script_id: int
    start: int  # of its parameters in the text of its script
    end: int
    bytecode: int  # 0: it has none now

    @property
    def cookie(self) -> int:
        """Return what tells this function from all others that have been at its address."""
        digest = hashlib.blake2b(repr(self[1:7]).encode(), digest_size=8).digest()
        return int.from_bytes(digest, "little") | 1


class Proof(NamedTuple):
    """Hold a function, and the address of what a frame has in common with it: bytecode or machine code."""

    function: Function
    address: int


class Lines(NamedTuple):
    """Hold what lines of a function need. `ends` are where its lines end, after its start."""

    first: int  # 0: not known
    ends: bytes
    table: bytes


def proven(heap: Heap, frame: Frame, shared: int | None = None) -> Proof:
    """Return the function of a frame: by what its function is now, or by a SharedFunctionInfo that had the frame's
    bytecode before. Raises MovedError if it has nothing in common with the frame, and OSError."""
    layout = heap.layout
    function: Optional[tuple[int, ...]] = None
    if shared is None:
        function = _function(heap, frame.function)
        shared = function[layout.function_shared // _WORD]
    found = _read(heap, shared)
    address = frame.bytecode if found.bytecode == frame.bytecode else 0
    if not address and function:
        address = _code(heap, function, frame.returns)
    if not address:
        raise MovedError
    return Proof(found, address)


def _function(heap: Heap, pointer: int) -> tuple[int, ...]:
    words = heap.words(pointer, 7)
    first = heap.layout.first_function_type
    if not first <= heap.type_of(pointer) < first + FUNCTION_TYPES:
        raise MovedError
    return words


def _code(heap: Heap, function: tuple[int, ...], returns: tuple[int, ...]) -> int:
    """Return where the code begins that a function has now, if a frame returns into it, else 0."""
    machine = heap.layout.machine
    if machine is None:
        return 0
    code = function[machine.code // _WORD]
    heap.words(code, 1, heap.layout.code_type)
    start = code - 1 + machine.start
    if not machine.is_inline:
        start = heap.memory.u64(start)
    size = heap.memory.u32(code - 1 + machine.size)
    return start if any(start < address <= start + size for address in returns) else 0


def _read(heap: Heap, shared: int) -> Function:
    layout = heap.layout
    count = max(layout.shared_script, layout.shared_name) // _WORD + 1
    words = heap.words(shared, count, layout.shared_type)
    script = words[layout.shared_script // _WORD]
    if heap.type_of(script) == layout.debug_type:
        script = heap.memory.u64(script - 1 + DEBUG_SCRIPT)
    of_script = heap.words(script, SCRIPT_ID // _WORD + 1, layout.script_type)
    name, start, end = _scope(heap, words[layout.shared_name // _WORD])
    return Function(
        shared=shared,
        name=name,
        filename=_text(heap, of_script[layout.script_name // _WORD]),
        script=script,
        script_id=smi(of_script[SCRIPT_ID // _WORD]),
        start=start,
        end=end,
        bytecode=bytecode_of(heap, words[SHARED_DATA // _WORD]),
    )


def bytecode_of(heap: Heap, data: int) -> int:
    """Return the bytecode of a function's data: it, or what the baseline compiler made of it."""
    if not is_pointer(data):
        return 0
    kind = heap.type_of(data)
    if kind == heap.layout.code_type:
        data = heap.memory.u64(data - 1 + heap.layout.code_bytecode)
        kind = heap.type_of(data)
    return data if kind == heap.layout.bytecode_type else 0


def _text(heap: Heap, pointer: int) -> Text:
    """Return a string, nothing for another object."""
    if not is_pointer(pointer) or heap.type_of(pointer) >= _NOT_STRING:
        return _NO_TEXT
    return heap.text(pointer, MAX_PATH)


def _scope(heap: Heap, pointer: int) -> tuple[Text, int, int]:
    """Return name, start and end of a function by its name or ScopeInfo; code outside functions has no name."""
    layout = heap.layout
    if not is_pointer(pointer) or heap.type_of(pointer) != layout.scope_type:
        return _text(heap, pointer), 0, _LAST_SMI
    flags, _, count = heap.words(pointer, 4)[1:]
    flags, local_count = flags >> layout.flags_shift, smi(count)
    if flags & 15 != layout.function_scope:
        return _NO_TEXT, 0, _LAST_SMI
    if not 0 <= local_count < _MAX_LOCALS:
        raise MovedError
    names = local_count if local_count < _MAX_INLINE_LOCALS else 1
    at = 1 + layout.scope_first + names + local_count + (flags >> 10 & 1)
    words = heap.words(pointer, at + 5)
    has_name, has_inferred = flags >> 12 & 3, flags >> 14 & 1
    name = _text(heap, words[at]) if has_name else _NO_TEXT
    at += 2 * bool(has_name)
    if has_inferred and not name.characters:
        name = _text(heap, words[at])
    positions = 4 if layout.scope_first > 3 else at + has_inferred
    start, end = map(smi, words[positions : positions + 2])
    if not 0 <= start <= end:
        raise MovedError
    return name, start, end


class Scripts:
    """Find where the lines of scripts end. The most recently used ones are kept; each second only so much is read."""

    def __init__(self) -> None:
        self._ends: OrderedDict[tuple[object, ...], array[int]] = OrderedDict()
        self._left = tuning.SCRIPT_CHARACTERS_A_SECOND
        self._since = 0.0

    def lines(self, heap: Heap, process: object, function: Function) -> Lines:
        """Return what the lines of a function need. Raises MovedError and OSError."""
        layout = heap.layout
        script = heap.words(function.script, SCRIPT_ID // _WORD + 1, layout.script_type)
        source, first = script[layout.script_source // _WORD], script[SCRIPT_LINE_OFFSET // _WORD]
        if script[SCRIPT_ID // _WORD] >> 32 != function.script_id:
            raise MovedError
        ends = self._of(heap, (process, function.script_id, source), source)
        if ends is None:
            return Lines(0, b"", b"")
        begin, end = bisect_left(ends, function.start), bisect_left(ends, function.end)
        own = ends[begin : min(end, begin + MAX_CODE_TABLE // 4)]
        relative = array("I", (each - function.start for each in own))
        return Lines(begin + 1 + smi(first), relative.tobytes(), _positions(heap, function.bytecode))

    def _of(self, heap: Heap, key: tuple[object, ...], source: int) -> Optional[array[int]]:
        if key in self._ends:
            self._ends.move_to_end(key)
            return self._ends[key]
        if not is_pointer(source) or heap.type_of(source) >= _NOT_STRING:
            return None
        length = heap.words(source, 2)[1] >> 32
        if length > min(tuning.MAX_SCRIPT, self._characters_left()):
            return None
        self._left -= length
        text = heap.text(source, 2 * length)
        if len(text.characters) != length * text.width:
            return None
        ends = array("I", islice(line_ends(text), tuning.MAX_SCRIPT_LINES + 1))
        if len(ends) > tuning.MAX_SCRIPT_LINES:
            return None
        self._ends[key] = ends
        if len(self._ends) > tuning.MAX_KNOWN_SCRIPTS:
            self._ends.popitem(last=False)
        return ends

    def _characters_left(self) -> int:
        now = time.monotonic()
        if now - self._since >= 1:
            self._since, self._left = now, tuning.SCRIPT_CHARACTERS_A_SECOND
        return self._left


def line_ends(text: Text) -> Iterator[int]:
    """Yield the places of the last characters of lines, as V8 sees lines. A place counts units of UTF-16."""
    if text.width == 1:
        characters = text.characters.decode("latin-1")
    else:
        characters = _PAIR.sub("??", text.characters.decode("utf-16-le", "surrogatepass"))
    return (match.start() for match in _LINE_END.finditer(characters))


def _positions(heap: Heap, bytecode: int) -> bytes:
    """Return the table of the places in the script that instructions are of; V8 makes it late, or never."""
    if not bytecode:
        return b""
    table = heap.memory.u64(bytecode - 1 + heap.layout.positions)
    if not is_pointer(table) or heap.type_of(table) != heap.layout.byte_array_type:
        return b""
    return heap.bytes_of(table, MAX_CODE_TABLE)


def offset_of(heap: Heap, frame: Frame) -> int | None:
    """Return the number of the byte of bytecode that an interpreted frame is at, or where a frame of compiled code
    returns; None for what is no frame."""
    if not is_smi(frame.offset):
        return frame.returns[0]
    offset = smi(frame.offset) - (heap.layout.bytecode_data - 1)
    return offset if offset >= 0 else None
