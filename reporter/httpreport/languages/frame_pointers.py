"""Say whether a stack trace that follows frame pointers may lack callers.

Where the words of the stack leave it open (`Found.FRAME_POINTER_PAST`), it depends on the code whose frame pointer was
followed: some compilers keep frame pointers in all their code, and keep other addresses of code in their frames.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..unwind import Found
from .stack_trace import Frame

_OF_V8 = "Builtins_"  # functions in V8's binary that V8 has compiled; all its code keeps frame pointers
_OF_HOTSPOT = ("Interpreter", "StubRoutines", "call_stub")  # code of the Java VM that keeps frame pointers


def may_skip_callers(frames: Sequence[Frame]) -> bool:
    """Return whether callers may be missing between two frames, leaf first."""
    own = [frame for frame in frames if not frame.inlined]
    steps = list(zip(own, own[1:]))
    keeps_all = any(_name(frame).startswith(_OF_V8) for frame in own) or _is_java_with_frame_pointers(steps)
    return any(
        caller.found is Found.FRAME_POINTER_PAST and not _keeps_frame_pointer(callee, keeps_all)
        for callee, caller in steps
    )


def _is_java_with_frame_pointers(steps: Sequence[tuple[Frame, Frame]]) -> bool:
    """Return whether Java methods keep frame pointers (-XX:+PreserveFramePointer).

    If they do not, the frame pointer in a method is that of an older frame, so the method's own return address lies
    below it, and every step from a method is a FRAME_POINTER_PAST.
    """
    of_java = any(_name(frame).startswith(_OF_HOTSPOT) for step in steps for frame in step)
    return of_java and any(
        caller.found is Found.FRAME_POINTER and _is_made_at_run_time(callee) and _is_method(callee)
        for callee, caller in steps
    )


def _keeps_frame_pointer(frame: Frame, keeps_all: bool) -> bool:
    if _is_made_at_run_time(frame):
        return keeps_all or _name(frame).startswith(_OF_HOTSPOT)
    return _name(frame).startswith(_OF_V8)


def _is_method(frame: Frame) -> bool:
    return bool(frame.name) and not _name(frame).startswith(_OF_HOTSPOT)


def _is_made_at_run_time(frame: Frame) -> bool:
    return frame.file_offset is None


def _name(frame: Frame) -> str:
    return frame.name or ""
