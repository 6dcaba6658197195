"""Find the CPython in a process, and describe it to the kernel. Nothing is stopped or changed.

The place of a thread's state is not believed from a table: it follows from the process's own key of thread-specific
data, and counts only if the slots of its threads hold states that name those threads. Python 3.15 has no key, but a
thread-local variable: the function that reads it says where it is.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from httpbpf.layout import PYTHON_LAYOUT
from httpcapture import WalkStatus

from ..rows import RowCodec
from .elf_symbols import KnownSymbols, Symbols
from .mapped_files import MappedFile
from .memory import Memory
from .python_layouts import DEBUG_OFFSETS_SIZE, Layout, UnknownLayoutError, Version, layout_of
from .thread_variable import NoVariableError, variable_of

_CODEC = RowCodec(PYTHON_LAYOUT)
_CODE_TYPE, _READS_STATE = "PyCode_Type", "PyGILState_GetThisThreadState"
_WANTED = ("_PyRuntime", "Py_Version", _CODE_TYPE, _READS_STATE)
_NAMED_LIKE_PYTHON = re.compile(rb"python|wsgi", re.IGNORECASE)  # files that may hold one, beside the executable
_VERSION_IN_PATH = re.compile(rb"python(\d)\.(\d{1,2})[^/]*$")
_RUNTIME_SIZES = {1464: (3, 8), 656: (3, 9), 672: (3, 10)}  # before there was a Py_Version
_MAX_STATES, _MAX_INTERPRETERS = 4096, 64

# glibc, nptl/descr.h (2.31 to 2.42): struct pthread has the first 32 keys' data in it, {seq, data} each, and an array
# of pointers to blocks of 32. musl 1.2, src/internal/pthread_impl.h: a pointer to an array.
_GLIBC_FIRST_BLOCK, _GLIBC_BLOCKS, _KEYS_IN_BLOCK, _KEY_SIZE = 0x310, 0x510, 32, 16
_MUSL_DATA = 0x80
_MAX_KEYS = 1024

Slot = tuple[int, ...]  # steps from the thread pointer to the thread's state, also downwards


class NoPythonError(Exception):
    """Report why the Python of a process cannot be followed."""


class Python(NamedTuple):
    """Describe the Python of a process."""

    version: Version
    layout: Layout
    code_type: int  # address of PyCode_Type
    interpreters: int  # address of the pointer to the first interpreter
    slot: Slot

    @property
    def unwalked(self) -> WalkStatus:
        """Return what is true of a stack of which no frames were walked."""
        return WalkStatus.NOT_WALKED

    def for_process(self) -> bytes:
        """Return a struct python_layout (runtime_rows.h). Raises NoPythonError if an offset is out of range."""
        return self._layout(self.interpreters)

    def for_executable(self) -> bytes:
        """Return the same without addresses, which holds for all processes of the same executable."""
        return self._layout(0)

    def _layout(self, interpreters: int) -> bytes:
        layout = self.layout
        small = {
            "frame_size": layout.frame_size,
            "back": layout.back,
            "code": layout.code,
            "instruction": layout.instruction & ~7,
            "flags": layout.flags,
            "entry_owner": layout.entry_owner,
            "code_begin": layout.code_begin,
            "code_words": layout.code_words,
            "name": 0 if layout.numbered else layout.name,
            "filename": layout.filename,
            "table": layout.table,
        }
        large = {
            "thread_id": layout.thread_id,
            "next_thread": layout.next_thread,
            "first_thread": layout.first_thread,
            "next_interpreter": layout.next_interpreter,
        }
        if max(small.values()) > 0xFF or max(large.values()) > 0xFFFF or layout.frame_size > 128:
            raise NoPythonError("its offsets are out of range")
        return _CODEC.make(
            {
                "interpreters": interpreters,
                "slot": struct.pack("<3q", *self.slot, *[0] * (3 - len(self.slot))),
                "current": struct.pack("<2Q", *layout.current, *[0] * (2 - len(layout.current))),
                "slot_steps": len(self.slot),
                "current_steps": len(layout.current),
                **small,
                **large,
            }
        )


_SYMBOLS = KnownSymbols(_WANTED, "_PyRuntime", _NAMED_LIKE_PYTHON)


def find_python(pid: int, files: Iterable[MappedFile], executable: bytes) -> Python | None:
    """Return the Python of a process, None if it has none. Raises NoPythonError if it has one that cannot be followed,
    and OSError if the process ends."""
    found = _SYMBOLS.among(files, executable)
    if found is None:
        return None
    with Memory(pid) as memory:
        return _python(memory, *found)


def _python(memory: Memory, file: MappedFile, symbols: Symbols) -> Python:
    bias = file.start - file.offset - symbols.code_shift
    if _CODE_TYPE not in symbols.named:
        raise NoPythonError(f"it has no symbol {_CODE_TYPE}")
    runtime, size = symbols.named["_PyRuntime"]
    head = memory.read(runtime + bias, DEBUG_OFFSETS_SIZE)
    version = _version(memory, file, symbols, bias, size)
    try:
        layout = layout_of(version, head)
    except UnknownLayoutError as error:
        raise NoPythonError(str(error)) from error
    states = _thread_states(memory, layout, runtime + bias)
    if not states:
        raise NoPythonError("it is still starting")
    code_type = symbols.named[_CODE_TYPE].address + bias
    if layout.tss_key is None:
        slots = _variable(memory, symbols, bias)
    else:
        slots = _slots(_key(memory, runtime + bias + layout.tss_key))
    slot = _slot(memory, slots, states)
    return Python(version, layout, code_type, runtime + bias + layout.first_interpreter, slot)


def _version(memory: Memory, file: MappedFile, symbols: Symbols, bias: int, runtime_size: int) -> Version:
    if "Py_Version" in symbols.named:
        number = memory.u32(symbols.named["Py_Version"].address + bias)
        return number >> 24, number >> 16 & 0xFF
    in_path = _VERSION_IN_PATH.search(file.path)
    by_path = (int(in_path[1]), int(in_path[2])) if in_path else None
    by_size = _RUNTIME_SIZES.get(runtime_size)
    if by_path and by_size and by_path != by_size:
        raise NoPythonError("its path and its size are of different versions")
    found = by_size or by_path
    if found is None:
        raise NoPythonError("its version is not known")
    return found


def _thread_states(memory: Memory, layout: Layout, runtime: int) -> dict[int, set[int]]:
    """Return the states of each thread by its thread pointer, in all interpreters. Raises OSError."""
    found: dict[int, set[int]] = {}
    left = _MAX_STATES
    interpreter = memory.u64(runtime + layout.first_interpreter)
    for _ in range(_MAX_INTERPRETERS):
        if not interpreter:
            break
        state = memory.u64(interpreter + layout.first_thread)
        while state and left:
            found.setdefault(memory.u64(state + layout.thread_id), set()).add(state)
            state = memory.u64(state + layout.next_thread)
            left -= 1
        interpreter = memory.u64(interpreter + layout.next_interpreter)
    return found


def _slot(memory: Memory, slots: Iterable[Slot], states: dict[int, set[int]]) -> Slot:
    """Return the steps to a thread's state that lead to the right one in most threads. Raises NoPythonError if they do
    in none."""
    right = {slot: sum(_leads_right(memory, slot, *each) for each in states.items()) for slot in slots}
    best = max(right, key=lambda slot: right[slot])
    if not right[best]:
        raise NoPythonError("the states of its threads are not where they should be")
    return best


def _key(memory: Memory, address: int) -> int:
    is_initialized, key = struct.unpack("<iI", memory.read(address, 8))
    if is_initialized != 1 or key >= _MAX_KEYS:
        raise NoPythonError("it has no key for the states of its threads")
    return int(key)


def _variable(memory: Memory, symbols: Symbols, bias: int) -> Iterator[Slot]:
    """Yield the steps to the thread-local variable in which a thread has its state."""
    try:
        yield variable_of(memory, symbols.named[_READS_STATE].address + bias)
    except (KeyError, NoVariableError) as error:
        raise NoPythonError("it does not tell where its threads have their states") from error


def _slots(key: int) -> Iterator[Slot]:
    if key < _KEYS_IN_BLOCK:
        yield (_GLIBC_FIRST_BLOCK + _KEY_SIZE * key + 8,)
    yield _GLIBC_BLOCKS + key // _KEYS_IN_BLOCK * 8, key % _KEYS_IN_BLOCK * _KEY_SIZE + 8
    yield _MUSL_DATA, key * 8


def _leads_right(memory: Memory, slot: Slot, pointer: int, states: set[int]) -> bool:
    try:
        for step in slot:
            pointer = memory.u64(pointer + step)
    except OSError:
        return False
    return pointer in states
