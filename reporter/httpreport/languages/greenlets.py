"""The stack trace of a greenlet ends where the greenlet began.

All greenlets of a thread run on one stack, and of those that wait the bytes that are in the way are moved to the heap.
Beyond its own first frame a greenlet has what others left there, so a walk would go on with frames of nobody.
Source: greenlet.cpp, "Stack layout for a greenlet".
"""

from __future__ import annotations

from httpcapture import Stack

from ..capture.recording import Recording
from .language import Runtime
from .stack_trace import Incomplete, StackTrace

START = "greenlet::UserGreenlet::g_initialstub(void*)"  # greenlet 2.0 and later


class Greenlets:
    """Cuts stack traces at the start of a greenlet. Every process may have greenlets."""

    def __init__(self, _recording: Recording) -> None:
        """A recording has no records of greenlets: they are known by the name of their first frame."""

    def at(self, _stack: Stack) -> Runtime:
        return self

    def frames(self, _address: int, _inside: int) -> None:
        return None

    def finish(self, trace: StackTrace) -> StackTrace:
        return up_to_start(trace)


def up_to_start(trace: StackTrace) -> StackTrace:
    """Return an unwound stack trace up to where a greenlet began, if it did."""
    for count, frame in enumerate(trace.frames, 1):
        if frame.name == START and frame.found is not None:
            return StackTrace(trace.frames[:count], incomplete=Incomplete.GREENLET)
    return trace
