"""Define the frames of a program as the kernel has walked them, and runs of them.

The frames that one activation of an interpreter's loop, a C function, has run are a run.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from typing import NamedTuple, Optional

from httpcapture import UTF_8, Code

from ..common.printable import printable
from .stack_trace import Frame

Codes = Mapping[tuple[int, int], Code]
"""The code objects of a process, by address and cookie."""

FRAME = struct.Struct("<QQQQQ")  # address, code, instruction, cookie, flags
_ENCODINGS = {UTF_8: "utf-8", 1: "latin-1", 2: "utf-16-le", 4: "utf-32-le"}


class Run(NamedTuple):
    """Hold the frames of one activation of the loop, leaf first. `entry` is an address inside the loop's own frame on
    the native stack, None if it is not known; `is_whole` says whether the outermost frame of the run was recorded."""

    frames: tuple[Frame, ...]
    entry: Optional[int]
    is_whole: bool


def raw_frames(frames: bytes) -> Iterator[tuple[int, ...]]:
    """Yield address, code, instruction, cookie and flags of each frame."""
    return FRAME.iter_unpack(frames[: len(frames) // FRAME.size * FRAME.size])


def names(code: Code) -> tuple[str, str]:
    """Return the name of a code object and that of its file."""
    name, file = (
        printable(decoded_text(text, width))
        for text, width in ((code.name, code.name_width), (code.filename, code.filename_width))
    )
    return name, file


def decoded_text(characters: bytes, width: int) -> str:
    """Return the text of characters of `width` bytes each."""
    whole = len(characters) // width * width if width and width in _ENCODINGS else len(characters)
    return characters[:whole].decode(_ENCODINGS.get(width, "latin-1"), "replace")
