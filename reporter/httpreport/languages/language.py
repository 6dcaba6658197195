"""Define what a language does for stack traces.

A `Language` is made for one recording and keeps what it reads from it. For each stack it returns a `Runtime`, which
stands for one process at one moment: it turns addresses into frames, and may change the complete stack trace.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from httpcapture import Stack

from ..calls.process_keys import ProcessKey
from ..unwind import Rows
from .stack_trace import Frame, StackTrace, Unnamed


class Runtime(Protocol):
    """Describe the code of a language in one process at one moment.

    Cached stack traces are found by runtime, so two runtimes may be equal only if they give equal frames.
    """

    def frames(self, address: int, inside: int) -> Sequence[Frame] | Unnamed | None:
        """Return the frames for an address in memory that is not mapped from a file, inlined ones first.

        `inside` is a byte of the instruction that the frame was executing: a return address lies after its call.
        Return the reason if the code may be this language's and has no name, None if this language does not know it.
        """

    def finish(self, trace: StackTrace) -> StackTrace:
        """Return the complete stack trace, changed where this language needs it."""


class Language(Protocol):
    """Make the runtimes of one language for one recording."""

    def at(self, stack: Stack, depths: Sequence[int]) -> Runtime | None:
        """Return the runtime of a stack's process when the stack was taken, None if it does not use this language.

        `depths` are bytes from the recorded stack pointer to that of each native frame, nothing if they are not known.
        """


@runtime_checkable
class UnwindsCode(Protocol):
    """Describe a language that also knows how to unwind its code in memory that is not mapped from a file."""

    def rows(self, process: ProcessKey) -> Rows | None:
        """Return the unwind information of a process's code, without load bias; None if there is none."""
