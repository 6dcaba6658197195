"""Put the functions of JavaScript programs in the place of the native frames that ran them.

V8 interprets a function in a frame of its own code, or compiles it; either way it is one native frame, which is found
by its frame pointer. The recorder has noted, for each frame pointer, which function it proved to be there.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple
from urllib.parse import unquote

from httpcapture import Code, Stack

from ..calls.process_keys import ProcessKey
from ..capture.recording import Recording
from ..common.printable import printable
from .javascript_lines import line_of
from .jit_map import JIT
from .language import Runtime
from .runs import decoded_text
from .stack_trace import Frame, FrameKind, StackTrace, Unnamed

FRAME = struct.Struct("<4Q")  # address, code, instruction, cookie
BUILTIN = "Builtins_"  # functions that V8 has compiled beforehand, the interpreter among them
_INTERPRETER = f"{BUILTIN}Interpreter"
_ABOVE_FRAME_POINTER = 16  # bytes: the caller's frame pointer and the return address


class Placed(NamedTuple):
    """Hold what is known of a native frame, which has this number among those that are not inlined."""

    number: int
    frame: Frame
    line: int | None  # if the interpreter runs it


@dataclass(frozen=True)
class JavaScriptFrames:
    """Hold the JavaScript frames of one stack."""

    placed: tuple[Placed, ...]

    def frames(self, _address: int, _inside: int) -> None:
        """Return None: a frame is known by its place on the stack, not by its address."""
        return None

    def finish(self, trace: StackTrace) -> StackTrace:
        """Return the native stack trace with the JavaScript frames in their place."""
        native = [number for number, frame in enumerate(trace.frames) if not frame.inlined]
        of_number = {native[one.number]: one for one in self.placed if one.number < len(native)}
        frames = list(_merged(trace.frames, of_number))
        programs = [number for number, frame in enumerate(frames) if frame.kind is FrameKind.JAVASCRIPT]
        if not programs:
            return trace
        return replace(trace, frames=tuple(_marked(frames, range(programs[0], programs[-1]))))


class JavaScriptPrograms:
    """Decode the JavaScript frames of a recording."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording

    def at(self, stack: Stack, depths: Sequence[int]) -> Runtime | None:
        """Return the JavaScript frames of a stack, None if it has none."""
        if not stack.v8:
            return None
        key = ProcessKey.of(self._recording.meta, stack.pid, stack.process_start_ns)
        codes = self._recording.codes.get(key, {})
        placed = (
            (number, *_frame(codes, code, instruction, cookie))
            for number, (_, code, instruction, cookie) in zip(places(stack, depths), raw_frames(stack))
            if number is not None
        )
        return JavaScriptFrames(tuple(Placed(*each) for each in placed))


def raw_frames(stack: Stack) -> Iterator[tuple[int, ...]]:
    """Yield address, code, instruction and cookie of each frame."""
    return FRAME.iter_unpack(stack.v8[: len(stack.v8) // FRAME.size * FRAME.size])


def places(stack: Stack, depths: Sequence[int]) -> Iterator[int | None]:
    """Yield for each recorded frame the number of the native frame that it is, None if it is none.

    `depths` are bytes from the stack pointer to the one of each native frame, leaf first: a frame ends above its frame
    pointer and the address to return to. In a redacted stack, the address is such a number already, counted from 1.
    """
    for address, *_ in raw_frames(stack):
        if stack.end:
            yield address - 1 if address else None
            continue
        end = address - stack.memory_address + _ABOVE_FRAME_POINTER
        number = bisect_right(depths, end) - 1
        yield number - 1 if number > 0 and depths[number] == end else None


def _frame(
    codes: Mapping[tuple[int, int], Code], address: int, instruction: int, cookie: int
) -> tuple[Frame, int | None]:
    """Return a frame, and its line if the interpreter runs it."""
    if not cookie:
        return Frame(0, unnamed=Unnamed.FUNCTION_MOVED, kind=FrameKind.JAVASCRIPT), None
    code = codes.get((address, cookie))
    if code is None or code.problem:
        return Frame(0, unnamed=Unnamed.CODE_NOT_RECORDED, kind=FrameKind.JAVASCRIPT), None
    name = printable(decoded_text(code.name, code.name_width)) or "<anonymous>"
    file = printable(_path(decoded_text(code.filename, code.filename_width))) or "<anonymous>"
    frame = Frame(0, name=name, file=file, first_line=code.first_line or None, kind=FrameKind.JAVASCRIPT)
    return frame, line_of(code, instruction)


def _path(name: str) -> str:
    """Return the path of a script that is named by the URL of a file."""
    return unquote(name[len("file://") :]) if name.startswith("file:///") else name


def _merged(frames: Sequence[Frame], placed: Mapping[int, Placed]) -> Iterator[Frame]:
    for number, frame in enumerate(frames):
        one = placed.get(number)
        is_interpreted = frame.name is not None and frame.name.startswith(_INTERPRETER)
        is_compiled = frame.file_offset is None
        if one is None or not (one.frame.name or is_interpreted or (is_compiled and frame.name is None)):
            yield frame
            continue
        yield one.frame if is_compiled else one.frame._replace(line=one.line)
        yield frame._replace(kind=FrameKind.INTERPRETER)


def _marked(frames: Sequence[Frame], program: range) -> Iterator[Frame]:
    """Yield the frames; those of V8, and native ones that JavaScript called and that called JavaScript, are marked."""
    for number, frame in enumerate(frames):
        of_v8 = frame.module != JIT and (frame.name or "").startswith(BUILTIN)
        is_hidden = frame.kind is FrameKind.NATIVE and (of_v8 or number in program)
        yield frame._replace(kind=FrameKind.INTERPRETER) if is_hidden else frame
