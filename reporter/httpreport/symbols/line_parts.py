"""Take the lines of a stack trace apart, for whoever has little room and can show the rest in another way."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from ..common.printable import printable
from ..languages.stack_trace import HOW_GUESSED, Frame, FrameKind, StackTrace
from .trace_lines import frame_text, trace_items


class LineParts(NamedTuple):
    """Hold a line of a stack trace, and of a frame its parts, which are empty if it has none: the function or what
    stands for it, the name of the file without its folder and the line, the path of the module, and what else is
    known, such as why it has no name. Of what is no frame, `function` is the line. All of it is printable."""

    text: str  # as trace_lines.py writes it
    function: str
    place: str = ""
    module: str = ""
    note: str = ""


def line_parts(trace: StackTrace) -> Iterator[LineParts]:
    """Yield the parts of each line that `trace_lines` yields."""
    for item in trace_items(trace):
        yield LineParts(item, item) if isinstance(item, str) else _parts(item)


@lru_cache(maxsize=1 << 14)
def _parts(frame: Frame) -> LineParts:
    text = frame_text(frame)
    if frame.kind is FrameKind.PLUMBING:
        return LineParts(text, text)
    if frame.kind.language and frame.name is not None:
        path = frame.label.removeprefix(f"{frame.name} (").removesuffix(")")
        return LineParts(text, printable(frame.name), printable(os.path.basename(path)))
    if frame.module is None or frame.kind.language:
        return LineParts(text, text)
    line = "" if frame.line is None else f":{frame.line}"
    place = "" if frame.file is None else f"{printable(os.path.basename(frame.file))}{line}"
    notes = (frame.unnamed and frame.unnamed.value, frame.inlined and "inlined", HOW_GUESSED.get(frame.found))
    note = ", ".join(note for note in notes if note)
    return LineParts(text, printable(frame.label), place, printable(frame.module), note)
