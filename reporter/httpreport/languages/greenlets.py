"""End the stack trace of a greenlet where the greenlet began.

All greenlets of a thread run on one stack. When another one runs, the bytes of a waiting one that are in its way move
to the heap. So the stack beyond a greenlet's first frame has what other greenlets left there, and a walk would go on
with frames that are not its callers.
Source: greenlet.cpp, "Stack layout for a greenlet".
"""

from __future__ import annotations

from collections.abc import Sequence

from httpcapture import Stack

from ..capture.recording import Recording
from .language import Runtime
from .stack_trace import Incomplete, StackTrace

START = "greenlet::UserGreenlet::g_initialstub(void*)"  # greenlet 2.0 and later


class Greenlets:
    """Cut stack traces at the start of a greenlet. Every process may have greenlets."""

    def __init__(self, _recording: Recording) -> None:
        """Ignore the recording: greenlets are recognised by the name of their first frame."""

    def at(self, _stack: Stack, _depths: Sequence[int]) -> Runtime:
        """Return this object: it serves every process."""
        return self

    def frames(self, _address: int, _inside: int) -> None:
        """Return None: greenlets have no code of their own."""
        return None

    def finish(self, trace: StackTrace) -> StackTrace:
        """Return the stack trace up to where its greenlet began."""
        return up_to_start(trace)


def up_to_start(trace: StackTrace) -> StackTrace:
    """Return an unwound stack trace up to where a greenlet began, if it did."""
    for count, frame in enumerate(trace.frames, 1):
        if frame.name == START and frame.found is not None:
            return StackTrace(trace.frames[:count], incomplete=Incomplete.GREENLET)
    return trace
