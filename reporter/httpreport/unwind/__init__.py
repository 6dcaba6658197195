"""Unwind stacks: registers and stack bytes of one moment become the addresses of all frames, and why the walk ended.

Callers use `Unwinder`. The modules lead from there down to the bytes: a walk (fast, walk), a step (step), the row that
a step follows (eh_frame, go_frames, cfa, expression), the numbers in it (dwarf), and the processor (arch/).
"""

from __future__ import annotations

from .arch import ARCHITECTURES, Architecture
from .arch.architecture import Registers, Trampoline
from .cfa import Row
from .eh_frame import CallFrameInfo
from .go_frames import GoCallFrames
from .step import End
from .unwinder import Unwinder
from .walk import AddressSpace, CodeRange, Found, Rows, StackWalk, inside

__all__ = [
    "ARCHITECTURES",
    "AddressSpace",
    "Architecture",
    "CallFrameInfo",
    "CodeRange",
    "End",
    "Found",
    "GoCallFrames",
    "Registers",
    "Row",
    "Rows",
    "StackWalk",
    "Trampoline",
    "Unwinder",
    "inside",
]
