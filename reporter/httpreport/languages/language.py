"""Defines what a language does for stack traces.

A `Language` is made for one recording and keeps what it reads from it. For each stack it returns a `Runtime`, which
stands for one process at one moment: it turns addresses into frames, and may change the complete stack trace.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from httpcapture import Stack

from .stack_trace import Frame, StackTrace, Unnamed


class Runtime(Protocol):
    """Knows the code of a language in one process at one moment.

    Runtimes are keys of the stack traces that are kept, so two of them may only be equal if they give equal frames.
    """

    def frames(self, address: int, inside: int) -> Sequence[Frame] | Unnamed | None:
        """Return the frames of an address in memory that no file holds, inlined ones first.

        `inside` is a byte of the instruction that the address stands for: a return address lies behind its call.
        Return the reason if the code may be this language's and has no name, None if nothing is known of such code.
        """

    def finish(self, trace: StackTrace) -> StackTrace:
        """Return the complete stack trace with what this language changes in it; the same if that is nothing."""


class Language(Protocol):
    """Knows what one recording holds of one language."""

    def at(self, stack: Stack) -> Runtime | None:
        """Return the runtime of a stack's process when the stack was taken, None if nothing is known of it."""
