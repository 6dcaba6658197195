"""Write a stack trace as text: a line for each frame, leaf first, and in brackets what is missing."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from ..common.printable import printable
from ..languages.stack_trace import HOW_GUESSED, Frame, FrameKind, Incomplete, StackTrace


def trace_lines(trace: StackTrace) -> Iterator[str]:
    """Yield a line for each frame, leaf first, and what is missing in brackets. There is at least one line."""
    for item in trace_items(trace):
        yield item if isinstance(item, str) else frame_text(item)


def trace_items(trace: StackTrace) -> Iterator[Frame | str]:
    """Yield the frames, leaf first, and what is missing as lines in brackets."""
    if not (trace.frames or trace.missing or trace.incomplete):
        yield "[no frames]"
    if trace.missing is not None:
        yield f"[no stack: {trace.missing.value}]"
    yield from trace.frames
    if trace.left_out:
        yield f"[{trace.left_out:,} more frames left out]"
    if trace.repeats:
        last = "frame repeats" if trace.repeats == 1 else f"{trace.repeats} frames repeat"
        yield f"[the last {last} up to the limit: recursion, or frame pointers that lead in a circle]"
    if trace.incomplete is not None:
        size = f" after {trace.copied / 1024:.4g} KiB" if trace.incomplete is Incomplete.STACK_ENDED else ""
        remedy = f"; {trace.incomplete.remedy}" if trace.incomplete.remedy else ""
        yield f"[{trace.incomplete.value}{size}{remedy}]"
    for problem in trace.problems:
        yield f"[{problem}]"
    for count, what in ((trace.plumbing, "plumbing"), (trace.hidden, "the interpreter")):
        if count:
            frames = "1 frame" if count == 1 else f"{count:,} frames"
            yield f"[{frames} of {what} hidden; --frames all shows what is hidden]"


@lru_cache(maxsize=1 << 14)
def frame_text(frame: Frame) -> str:
    """Return `function (module) file:line`, or `module+0xoffset (module: reason)`, and how it was guessed."""
    if frame.kind is FrameKind.PLUMBING:
        return f"[{printable(frame.name or '')}]"
    language = frame.kind.language
    if language:
        return printable(frame.label) if frame.name is not None else f"{language} function {frame.label}"
    guess = f" [{HOW_GUESSED[frame.found]}]" if frame.found in HOW_GUESSED else ""
    if frame.module is None:
        return f"0x{frame.address:x} [{frame.unnamed.value if frame.unnamed else 'unknown'}]{guess}"
    why = f": {frame.unnamed.value}" if frame.unnamed else ""
    line = f":{frame.line}" if frame.line is not None else ""
    location = f" {printable(frame.file)}{line}" if frame.file is not None else ""
    inlined = " [inlined]" if frame.inlined else ""
    return f"{printable(frame.label)} ({printable(frame.module)}{why}){location}{inlined}{guess}"
