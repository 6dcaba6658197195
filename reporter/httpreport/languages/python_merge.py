"""Put Python frames where the interpreter ran them among the native frames.

A run of Python frames (python_stack.py) belongs to one native frame, an activation of the interpreter's loop. Which
one it is, is known by place from 3.12 on: an address inside the loop's own part of the stack was recorded. Before that
it is known by count: the first run belongs to the first frame of the loop's function. Where the two sides contradict
each other, no Python frame is shown.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import replace

from httpcapture import Stack

from .jit_map import JIT
from .python_stack import Run
from .stack_trace import Frame, FrameKind, Incomplete, PythonProblem, StackTrace
from .trampolines import PREFIX

LOOP = "_PyEval_EvalFrameDefault"
_COLD = f"{LOOP}.cold"
_TRAMPOLINE = PREFIX.decode()


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


def runs_python(trace: StackTrace) -> bool:
    """Return whether a native stack trace has the interpreter's loop, by its name."""
    return any(frame.name in (LOOP, _COLD) for frame in trace.frames)


def merged(trace: StackTrace, runs: Sequence[Run], by_place: Sequence[int | None] | None) -> StackTrace:
    """Return a native stack trace with the Python frames of the same stack. Native frames between two Python frames,
    and those of the loop, become frames of the interpreter.

    `by_place` has the number of the native frame of each run, without inlined frames; it is None if the runs are to be
    counted. If the two contradict each other, the native trace is returned with that reason.
    """
    native = [number for number, frame in enumerate(trace.frames) if not frame.inlined]
    loops = _loops(trace, native, runs) if by_place is None else _placed(trace, native, runs, by_place)
    if loops is None:
        return replace(trace, python_problem=PythonProblem.CONTRADICTION)
    return replace(trace, frames=tuple(_marked(list(_merged(trace, native, runs, loops)), trace, loops)))


def _loops(trace: StackTrace, native: Sequence[int], runs: Sequence[Run]) -> dict[int, int] | None:
    """Return the run of each native frame of the loop, by count; None if the counts contradict each other."""
    loops = [number for number in native if trace.frames[number].name in (LOOP, _COLD)]
    is_cut = bool(runs) and not runs[-1].is_whole
    too_many = len(loops) > len(runs) and not is_cut
    too_few = len(loops) < len(runs) and trace.incomplete in (None, Incomplete.CALLERS_SKIPPED)
    if too_many or too_few:
        return None
    return {loop: number for number, loop in enumerate(loops[: len(runs)])}


def _placed(
    trace: StackTrace, native: Sequence[int], runs: Sequence[Run], by_place: Sequence[int | None]
) -> dict[int, int] | None:
    """Return the run of each native frame of the loop, by place; None if runs are in no order or in no frame."""
    loops: dict[int, int] = {}
    before = -1
    for number, run in enumerate(runs):
        place = by_place[number] if run.is_whole else _next_loop(trace, native, before)
        if place is None or place >= len(native):
            if trace.incomplete is None and run.is_whole:
                return None
            break
        if place <= before:
            return None
        loops[native[place]] = number
        before = place
    return loops


def _next_loop(trace: StackTrace, native: Sequence[int], before: int) -> int | None:
    """Return the number of the first native frame after `before` that is a loop by its name, None if there is none."""
    after = range(before + 1, len(native))
    return next((number for number in after if trace.frames[native[number]].name in (LOOP, _COLD)), None)


def _merged(
    trace: StackTrace, native: Sequence[int], runs: Sequence[Run], loops: dict[int, int]
) -> Iterator[tuple[Frame, bool]]:
    """Yield all frames, leaf first, and whether each is a frame of a loop that ran Python frames."""
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


def _marked(frames: Sequence[tuple[Frame, bool]], trace: StackTrace, loops: dict[int, int]) -> Iterator[Frame]:
    """Yield the frames; those of the interpreter are marked, and the trampolines that -X perf makes for functions."""
    python = [number for number, (frame, _) in enumerate(frames) if frame.kind is FrameKind.PYTHON]
    first, last = (python[0], python[-1]) if python else (0, 0)
    for number, (frame, is_loop) in enumerate(frames):
        between = first < number < last and frame.kind is FrameKind.NATIVE
        is_trampoline = frame.module == JIT and (frame.name or "").startswith(_TRAMPOLINE)
        yield frame._replace(kind=FrameKind.INTERPRETER) if is_loop or between or is_trampoline else frame
