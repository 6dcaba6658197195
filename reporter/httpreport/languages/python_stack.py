"""Decode the Python frames of a stack: each has the name, file and line that its code object gives it, or a reason for
having none.

Up to 3.10 each frame is a run (runs.py); in 3.11 the outermost frame of a run is marked; from 3.12 on another frame
follows it, a local variable of the loop, which has no code of a program. In 3.15 such a frame also ends the chain; that
one is in the state of the thread.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from httpcapture import Code, Stack

from .python_lines import line_of
from .runs import Codes, Run, names, raw_frames
from .stack_trace import Frame, FrameKind, Unnamed

_ENTRY_OWNER = 3  # FRAME_OWNED_BY_CSTACK (3.12, 3.13), FRAME_OWNED_BY_INTERPRETER (3.14, 3.15)
_OWNED_BY_GENERATOR = 1
_UNIT = 2  # bytes of an instruction


class Release(NamedTuple):
    """Say how a minor version of Python marks its frames."""

    minor: tuple[int, int]

    @property
    def has_addresses(self) -> bool:
        """Return whether `instruction` is an address."""
        return self.minor >= (3, 11)

    def is_entry(self, flags: int) -> bool:
        """Return whether a frame is the local variable of a loop."""
        return self.minor >= (3, 12) and flags & 0xFF >= _ENTRY_OWNER

    def ends_run(self, flags: int) -> bool:
        """Return whether a frame is the outermost one of its run."""
        if self.minor == (3, 11):
            return bool(flags & 0xFF)
        return self.minor < (3, 11) or self.is_entry(flags)

    def owner(self, flags: int) -> int:
        """Return what owns a frame, from 3.11 on."""
        return flags >> 8 & 0xFF if self.minor == (3, 11) else flags & 0xFF


def release_of(stack: Stack) -> Release:
    """Return the version of Python that a stack's frames are of."""
    return Release((stack.python_version >> 8, stack.python_version & 0xFF))


def runs(stack: Stack, codes: Codes) -> Iterator[Run]:
    """Yield the runs of a stack, leaf first. The last one may be cut off."""
    release = release_of(stack)
    frames: list[Frame] = []
    is_open = False  # whether the last frame was one of a run that goes on
    for address, code, instruction, cookie, flags in raw_frames(stack.python):
        is_entry, was_open, is_open = release.is_entry(flags), is_open, not release.ends_run(flags)
        if is_entry and not was_open:
            continue
        if not is_entry:
            frames += _frame(release, codes.get((code, cookie)), instruction, flags)
        if not is_open:
            yield Run(tuple(frames), address if is_entry else None, is_whole=True)
            frames = []
    if is_open:
        yield Run(tuple(frames), None, is_whole=False)


def _frame(release: Release, code: Code | None, instruction: int, flags: int) -> Sequence[Frame]:
    """Return the frame, or nothing if Python itself shows none."""
    if code is None:
        return [_unnamed(Unnamed.CODE_NOT_RECORDED)]
    if code.problem:
        return [_unnamed(Unnamed.CODE_GONE)]
    index = _index(release, code, instruction)
    if release.has_addresses:
        if not -1 <= index < max(code.bytecode_size // _UNIT, 1):
            return [_unnamed(Unnamed.CODE_GONE)]
        if not _is_shown(release, code, index, flags):
            return []
    line = line_of(release.minor, code.table, _signed(code.first_line), index)
    name, file = names(code)
    return [Frame(0, name=name, file=file, line=line, kind=FrameKind.PYTHON)]


def _unnamed(reason: Unnamed) -> Frame:
    return Frame(0, unnamed=reason, kind=FrameKind.PYTHON)


def _index(release: Release, code: Code, instruction: int) -> int:
    """Return the number of the instruction: of a byte up to 3.9, of a unit after that; -1 before the first."""
    if release.has_addresses:
        return (instruction - code.bytecode) // _UNIT
    return _signed(instruction & 0xFFFFFFFF)


def _is_shown(release: Release, code: Code, index: int, flags: int) -> bool:
    """Return whether Python shows a frame: not one that is being set up, nor the helper of a specialized call of
    `__init__` (3.13), whose code object is named so too."""
    if release.owner(flags) == _OWNED_BY_GENERATOR:
        return True
    return index >= code.first_traceable - (1 if release.minor <= (3, 12) else 0)


def _signed(number: int) -> int:
    return number - (1 << 32) if number >> 31 else number
