"""Decode the Python frames of a stack: each has the name, file and line that its code object gives it, or a reason for
having none.

The frames of one activation of the interpreter's loop, a C function, are a run. Up to 3.10 each frame is one; in 3.11
the outermost frame of a run is marked; from 3.12 on another frame follows it, a local variable of the loop, which has
no code of a program.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, Optional

from httpcapture import Code, Stack

from ..common.printable import printable
from .python_lines import Version, line_of
from .stack_trace import Frame, FrameKind, Unnamed

Codes = Mapping[tuple[int, int], Code]
"""The code objects of a process, by address and cookie."""

FRAME = struct.Struct("<QQQQQ")  # address, code, instruction, cookie, flags
_ENTRY_OWNER = 3  # FRAME_OWNED_BY_CSTACK (3.12, 3.13), FRAME_OWNED_BY_INTERPRETER (3.14)
_OWNED_BY_GENERATOR = 1
_ENCODINGS = {1: "latin-1", 2: "utf-16-le", 4: "utf-32-le"}
_UNIT = 2  # bytes of an instruction


class Run(NamedTuple):
    """Hold the frames of one activation of the loop, leaf first. `entry` is an address inside the loop's own frame on
    the native stack, None if it is not known; `is_whole` says whether the outermost frame of the run was recorded."""

    frames: tuple[Frame, ...]
    entry: Optional[int]
    is_whole: bool


def runs(stack: Stack, codes: Codes) -> Iterator[Run]:
    """Yield the runs of a stack, leaf first. The last one may be cut off."""
    version = (stack.python_version >> 8, stack.python_version & 0xFF)
    frames: list[Frame] = []
    is_open = False
    for address, code, instruction, cookie, flags in FRAME.iter_unpack(
        stack.python[: len(stack.python) // FRAME.size * FRAME.size]
    ):
        is_open = True
        is_entry = version >= (3, 12) and flags & 0xFF >= _ENTRY_OWNER
        if not is_entry:
            frames += _frame(version, codes.get((code, cookie)), code, instruction, flags)
        if is_entry or version < (3, 11) or (version == (3, 11) and flags & 0xFF):
            yield Run(tuple(frames), address if is_entry else None, is_whole=True)
            frames, is_open = [], False
    if is_open:
        yield Run(tuple(frames), None, is_whole=False)


def _frame(version: Version, code: Code | None, address: int, instruction: int, flags: int) -> Sequence[Frame]:
    """Return the frame, or nothing if Python itself shows none."""
    if code is None or code.problem:
        reason = Unnamed.CODE_NOT_RECORDED if code is None else Unnamed.CODE_GONE
        return [Frame(address, unnamed=reason, kind=FrameKind.PYTHON)]
    index = _index(version, code, instruction)
    if version >= (3, 11):
        if not -1 <= index < max(code.bytecode_size // _UNIT, 1):
            return [Frame(address, unnamed=Unnamed.CODE_GONE, kind=FrameKind.PYTHON)]
        if not _is_shown(version, code, index, flags):
            return []
    line = line_of(version, code.table, _signed(code.first_line), index)
    name, file = _text(code.name, code.name_width), _text(code.filename, code.filename_width)
    return [Frame(address, name=name, file=file, line=line, kind=FrameKind.PYTHON)]


def _index(version: Version, code: Code, instruction: int) -> int:
    """Return the number of the instruction: of a byte up to 3.9, of a unit after that; -1 before the first."""
    if version >= (3, 11):
        return (instruction - code.bytecode) // _UNIT
    return _signed(instruction & 0xFFFFFFFF)


def _is_shown(version: Version, code: Code, index: int, flags: int) -> bool:
    """Return whether Python shows a frame: not one that is being set up, nor the helper of a specialized call of
    `__init__` (3.13), whose code object is named so too."""
    owner = flags >> 8 & 0xFF if version == (3, 11) else flags & 0xFF
    if owner == _OWNED_BY_GENERATOR:
        return True
    return index >= code.first_traceable - (1 if version <= (3, 12) else 0)


def _signed(number: int) -> int:
    return number - (1 << 32) if number >> 31 else number


def _text(characters: bytes, width: int) -> str:
    encoding = _ENCODINGS.get(width, "latin-1")
    return printable(characters[: len(characters) // width * width if width else None].decode(encoding, "replace"))
