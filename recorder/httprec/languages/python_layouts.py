"""Say where CPython 3.8 to 3.15 (x86-64, with a GIL) keeps what names its frames: in bytes from the start of a struct.

The tables come from the debug information of builds of each version; of those compared, two builds of one version
agreed in every value. From 3.13 on a process says most of it itself (`_Py_DebugOffsets`, at the start of `_PyRuntime`),
and what it says takes precedence.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import NamedTuple, Optional

Version = tuple[int, int]

_DEBUG_OFFSETS = struct.Struct("<8sQQ")  # cookie, PY_VERSION_HEX, free_threaded; then members of 8 bytes
_DEBUG_COOKIE = b"xdebugpy"
DEBUG_OFFSETS_SIZE = 512  # as much as has what is used here


class Layout(NamedTuple):
    """Hold the offsets of one version. `current` are steps: each is added, and an address is read there."""

    first_interpreter: int  # _PyRuntimeState.interpreters.head
    tss_key: Optional[int]  # _PyRuntimeState: autoTSSkey, int is_initialized, then the pthread_key_t; 3.15 has none
    next_interpreter: int
    first_thread: int
    next_thread: int
    thread_id: int  # PyThreadState: what pthread_self() returns
    current: tuple[int, ...]  # from PyThreadState to the innermost frame
    frame_size: int  # of the frame, up to the last of these
    back: int
    code: int
    instruction: int  # f_lasti, prev_instr or instr_ptr
    flags: int  # 3.11: is_entry, then owner; 3.12 and later: owner
    entry_owner: int  # from this owner on, a frame is one with which C enters the interpreter
    filename: int
    name: int
    title: int  # co_qualname, or co_name where there is none
    first_line: int
    table: int  # co_lnotab or co_linetable
    bytecode: Optional[int]  # co_code_adaptive
    first_traceable: Optional[int]  # the index of the first instruction of which Python shows the frame
    characters: int  # of an ASCII str
    wide_characters: int  # of another str
    code_begin: int  # the first of the words by which code objects are told apart
    code_words: int
    numbered: bool  # the upper half of the only word is co_version, which no other code object of the process has


_NO_OWNER = 255


def _of_3_8(tss_key: int, instruction: int) -> Layout:
    return Layout(
        first_interpreter=32,
        tss_key=tss_key,
        next_interpreter=0,
        first_thread=8,
        next_thread=8,
        thread_id=176,
        current=(24,),
        frame_size=112,
        back=24,
        code=32,
        instruction=instruction,
        flags=8,
        entry_owner=_NO_OWNER,
        filename=104,
        name=112,
        title=112,
        first_line=40,
        table=120,
        bytecode=None,
        first_traceable=None,
        characters=48,
        wide_characters=72,
        code_begin=40,
        code_words=11,
        numbered=False,
    )


def _of_3_12() -> Layout:
    return Layout(
        first_interpreter=40,
        tss_key=1544,
        next_interpreter=0,
        first_thread=72,
        next_thread=8,
        thread_id=136,
        current=(56, 0),
        frame_size=72,
        back=8,
        code=0,
        instruction=56,
        flags=70,
        entry_owner=3,
        filename=112,
        name=120,
        title=128,
        first_line=68,
        table=136,
        bytecode=192,
        first_traceable=176,
        characters=40,
        wide_characters=56,
        code_begin=88,
        code_words=1,
        numbered=True,
    )


LAYOUTS: Mapping[Version, Layout] = {
    (3, 8): _of_3_8(1392, 104),
    (3, 9): _of_3_8(584, 104),
    (3, 10): _of_3_8(584, 96),
    (3, 11): _of_3_8(592, 56)._replace(
        first_interpreter=40,
        first_thread=16,
        thread_id=152,
        current=(56, 8),
        frame_size=72,
        back=48,
        flags=68,
        filename=112,
        name=120,
        title=128,
        first_line=72,
        table=136,
        bytecode=184,
        first_traceable=168,
        code_begin=72,
        code_words=9,
    ),
    (3, 12): _of_3_12(),
    (3, 13): _of_3_12()._replace(
        first_interpreter=632,
        tss_key=2160,
        next_interpreter=7264,
        first_thread=7344,
        thread_id=152,
        current=(72,),
        bytecode=200,
        first_traceable=184,
    ),
    (3, 14): _of_3_12()._replace(
        first_interpreter=808,
        tss_key=2336,
        next_interpreter=7272,
        first_thread=7344,
        thread_id=152,
        current=(72,),
        frame_size=80,
        flags=74,
        bytecode=208,
        first_traceable=192,
    ),
    (3, 15): _of_3_12()._replace(
        first_interpreter=936,
        tss_key=None,
        next_interpreter=7264,
        first_thread=7336,
        thread_id=176,
        current=(72,),
        frame_size=80,
        flags=74,
        bytecode=208,
        first_traceable=192,
    ),
}

# The members of _Py_DebugOffsets that are used here, by their number: Include/internal/pycore_debug_offsets.h.
_DEBUG_MEMBERS: Mapping[Version, Mapping[str, int]] = {
    (3, 13): {
        "first_interpreter": 2,
        "next_interpreter": 5,
        "first_thread": 6,
        "next_thread": 18,
        "current": 20,
        "thread_id": 21,
        "back": 26,
        "code": 27,
        "instruction": 28,
        "flags": 30,
        "filename": 32,
        "name": 33,
        "title": 34,
        "table": 35,
        "first_line": 36,
        "bytecode": 40,
    },
    (3, 14): {
        "first_interpreter": 2,
        "next_interpreter": 5,
        "first_thread": 6,
        "next_thread": 21,
        "current": 23,
        "thread_id": 24,
        "back": 29,
        "code": 30,
        "instruction": 31,
        "flags": 33,
        "filename": 37,
        "name": 38,
        "title": 39,
        "table": 40,
        "first_line": 41,
        "bytecode": 45,
    },
    (3, 15): {
        "first_interpreter": 2,
        "next_interpreter": 5,
        "first_thread": 6,
        "next_thread": 21,
        "current": 23,
        "thread_id": 27,
        "back": 37,
        "code": 38,
        "instruction": 39,
        "flags": 41,
        "filename": 45,
        "name": 46,
        "title": 47,
        "table": 48,
        "first_line": 49,
        "bytecode": 53,
    },
}


class UnknownLayoutError(Exception):
    """Report that this Python keeps its frames in a way that is not known."""


def layout_of(version: Version, runtime: bytes) -> Layout:
    """Return the layout of a version, as far as possible as the first bytes of its `_PyRuntime` say.

    Raises UnknownLayoutError.
    """
    layout = LAYOUTS.get(version)
    if layout is None:
        raise UnknownLayoutError(f"Python {version[0]}.{version[1]} is not known")
    members = _DEBUG_MEMBERS.get(version)
    if members is None or len(runtime) < DEBUG_OFFSETS_SIZE or not runtime.startswith(_DEBUG_COOKIE):
        return layout
    if _DEBUG_OFFSETS.unpack_from(runtime)[2]:
        raise UnknownLayoutError("Python without a GIL is not known")
    values = struct.unpack_from(f"<{max(members.values()) + 1}Q", runtime, _DEBUG_OFFSETS.size)
    said = {name: values[number] for name, number in members.items()}
    current = (said.pop("current"),)
    return layout._replace(current=current, frame_size=(said["flags"] | 7) + 1, **said)
