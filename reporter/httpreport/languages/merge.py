"""Put the frames of a program where its interpreter ran them among the native frames.

A run of frames (runs.py) belongs to one native frame, an activation of the interpreter's loop. Which one it is, is
known by place if an address inside the loop's own part of the stack was recorded, as it is of Python from 3.12 on.
Otherwise it is known by count: the first run belongs to the first frame of the loop's function. Runs whose loop is
beyond the end of the native frames go behind these. Where the two sides contradict each other, no frame of the program
is shown.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from httpcapture import Stack, WalkStatus

from ..unwind import Found
from .jit_map import JIT
from .runs import Run
from .stack_trace import Frame, FrameKind, FramesProblem, Incomplete, StackTrace
from .trampolines import PREFIX

_TRAMPOLINE = PREFIX.decode()


@dataclass(frozen=True)
class Interpreter:
    """Say what the frames of a language are called in a StackTrace, and which C function runs them."""

    name: str  # with which fields of a StackTrace begin
    kind: FrameKind
    loop: str

    def is_loop(self, frame: Frame) -> bool:
        """Return whether a native frame is one of the loop's function, by its name."""
        return frame.name in (self.loop, f"{self.loop}.cold")

    def with_problem(self, trace: StackTrace, problem: FramesProblem | None) -> StackTrace:
        """Return the stack trace with what is wrong with the frames of this language."""
        of_this: dict[str, Any] = {f"{self.name}_problem": problem}
        return replace(trace, **of_this)


@dataclass(frozen=True)
class ProgramFrames:
    """Hold the frames of a program in one stack, and the native frames in whose place they are, if that is known."""

    interpreter: Interpreter
    runs: tuple[Run, ...]
    by_place: tuple[int | None, ...] | None
    problem: FramesProblem | None

    def frames(self, _address: int, _inside: int) -> None:
        """Return None: the interpreter's own code is in files, or a JIT map names it."""
        return None

    def finish(self, trace: StackTrace) -> StackTrace:
        """Return the native stack trace with the frames of the program in their place."""
        problem = self.problem
        if problem is None and not self.runs and any(map(self.interpreter.is_loop, trace.frames)):
            problem = FramesProblem.OTHER_STATE
        trace = self.interpreter.with_problem(trace, problem)
        return merged(self.interpreter, trace, self.runs, self.by_place) if self.runs else trace


def problem_of(status: int) -> FramesProblem | None:
    """Return what is wrong with frames that were walked so far, None if nothing is."""
    try:
        name = WalkStatus(status).name
    except ValueError:
        return FramesProblem.UNKNOWN
    return FramesProblem.__members__.get(name)


def places(stack: Stack, runs: Sequence[Run], depths: Sequence[int]) -> tuple[int | None, ...]:
    """Return for each run the number of the native frame that is its loop, None if that is not known by its place.

    `depths` are bytes from the stack pointer to the one of each native frame, leaf first. The outermost frame has no
    known end. In a redacted stack, the address of the entry is such a number already, counted from 1.
    """
    if stack.end:
        return tuple(run.entry - 1 if run.entry else None for run in runs)
    return tuple(None if run.entry is None else _place(run.entry - stack.memory_address, depths) for run in runs)


def _place(depth: int, depths: Sequence[int]) -> int | None:
    number = bisect_right(depths, depth) - 1
    return number if 0 <= number < len(depths) - 1 else None


def merged(
    interpreter: Interpreter, trace: StackTrace, runs: Sequence[Run], by_place: Sequence[int | None] | None
) -> StackTrace:
    """Return a native stack trace with the frames of a program in the same stack. Native frames between two frames of
    the program, and those of the loop, become frames of the interpreter.

    `by_place` has the number of the native frame of each run, without inlined frames; it is None if the runs are to be
    counted. If the two contradict each other, the native trace is returned with that reason.
    """
    if by_place is None and sum(map(interpreter.is_loop, trace.frames)) < len(runs):
        trace = _up_to_gap(trace)
    native = [number for number, frame in enumerate(trace.frames) if not frame.inlined]
    by_name = [number for number in native if interpreter.is_loop(trace.frames[number])]
    loops = _counted(trace, by_name, runs) if by_place is None else _placed(trace, native, by_name, runs, by_place)
    if loops is None:
        return interpreter.with_problem(trace, FramesProblem.CONTRADICTION)
    frames = list(_merged(trace, native, runs, loops))
    return replace(trace, frames=tuple(_marked(interpreter, frames)))


def _up_to_gap(trace: StackTrace) -> StackTrace:
    """Return the stack trace up to where loops may be missing between two native frames: frame pointers can lead past
    one, and so they do out of code that was made at run time, which runs in the loop's own frame."""
    for number, (callee, caller) in enumerate(zip(trace.frames, trace.frames[1:]), 1):
        is_made = callee.module in (None, JIT)
        if caller.found is Found.FRAME_POINTER_PAST or (caller.found is Found.FRAME_POINTER and is_made):
            return replace(trace, frames=trace.frames[:number], incomplete=Incomplete.NO_CFI)
    return trace


def _counted(trace: StackTrace, loops: Sequence[int], runs: Sequence[Run]) -> dict[int, int] | None:
    """Return the run of each native frame of the loop, by count; None if the counts contradict each other."""
    is_cut = bool(runs) and not runs[-1].is_whole
    too_many = len(loops) > len(runs) and not is_cut
    too_few = len(loops) < len(runs) and trace.incomplete in (None, Incomplete.CALLERS_SKIPPED)
    if too_many or too_few:
        return None
    return {loop: number for number, loop in enumerate(loops[: len(runs)])}


def _placed(
    trace: StackTrace,
    native: Sequence[int],
    by_name: Sequence[int],
    runs: Sequence[Run],
    by_place: Sequence[int | None],
) -> dict[int, int] | None:
    """Return the run of each native frame of the loop, by place; None if runs are in no order or in no frame."""
    loops: dict[int, int] = {}
    before = -1
    for number, run in enumerate(runs):
        place = by_place[number] if run.is_whole else _next_loop(native, by_name, before)
        if place is None or place >= len(native):
            if trace.incomplete is None and run.is_whole:
                return None
            break
        if place <= before:
            return None
        loops[native[place]] = number
        before = place
    return loops


def _next_loop(native: Sequence[int], by_name: Sequence[int], before: int) -> int | None:
    """Return the number of the first native frame after `before` that is a loop by its name, None if there is none."""
    return next((number for number in range(before + 1, len(native)) if native[number] in by_name), None)


def _merged(
    trace: StackTrace, native: Sequence[int], runs: Sequence[Run], loops: dict[int, int]
) -> Iterator[tuple[Frame, bool]]:
    """Yield all frames, leaf first, and whether each is a frame of a loop that ran frames of the program."""
    first = {loop: (native[native.index(loop) - 1] + 1 if loop != native[0] else 0) for loop in loops}
    starts = {first[loop]: run for loop, run in loops.items()}  # frames that are inlined into the loop come before it
    ends = {start: loop for loop, start in first.items()}
    is_loop = False
    for number, frame in enumerate(trace.frames):
        if number in starts:
            yield from ((one, False) for one in runs[starts[number]].frames)
            is_loop = True
            end = ends[number]
        yield frame, is_loop
        if is_loop and number == end:
            is_loop = False
    for run in runs[len(loops) :]:
        yield from ((one, False) for one in run.frames)


def _marked(interpreter: Interpreter, frames: Sequence[tuple[Frame, bool]]) -> Iterator[Frame]:
    """Yield the frames; those of the interpreter are marked, and the trampolines that -X perf makes for functions."""
    program = [number for number, (frame, _) in enumerate(frames) if frame.kind is interpreter.kind]
    first, last = (program[0], program[-1]) if program else (0, 0)
    for number, (frame, is_loop) in enumerate(frames):
        between = first < number < last and frame.kind is FrameKind.NATIVE
        is_trampoline = frame.module == JIT and (frame.name or "").startswith(_TRAMPOLINE)
        yield frame._replace(kind=FrameKind.INTERPRETER) if is_loop or between or is_trampoline else frame
