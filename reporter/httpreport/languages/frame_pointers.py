"""Say whether a stack trace that follows frame pointers may lack callers.

Where the words of the stack leave it open (`Found.FRAME_POINTER_PAST`), it depends on the code whose frame pointer was
followed: some compilers keep frame pointers in all their code, and keep other addresses of code in their frames.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..unwind import Found
from .stack_trace import Frame

_OF_V8 = "Builtins_"  # functions in V8's binary that V8 has compiled; all its code keeps frame pointers
_OF_HOTSPOT = ("Interpreter", "StubRoutines", "call_stub")  # Java's other code does so if it is told to


def may_skip_callers(frames: Sequence[Frame]) -> bool:
    """Return whether callers may be missing between two frames, leaf first."""
    of_v8 = any((frame.name or "").startswith(_OF_V8) for frame in frames)
    own = [frame for frame in frames if not frame.inlined]
    return any(
        caller.found is Found.FRAME_POINTER_PAST and not _keeps_frame_pointers(callee, of_v8)
        for callee, caller in zip(own, own[1:])
    )


def _keeps_frame_pointers(frame: Frame, of_v8: bool) -> bool:
    name, is_made_at_run_time = frame.name or "", frame.file_offset is None
    if is_made_at_run_time:
        return of_v8 or name.startswith(_OF_HOTSPOT)
    return name.startswith(_OF_V8)
