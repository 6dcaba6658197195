"""Unwinding: registers and stack bytes of one moment in, the addresses of all frames out, and why the walk
ended.

`Unwinder` is what callers use; the modules go from there down to the bytes: a walk (fast, walk), a step
(step), the row that a step follows (eh_frame, cfa, expression), the numbers in it (dwarf), and the processor
(architecture, x86_64).
"""

from __future__ import annotations

from .architecture import Architecture, Registers
from .eh_frame import CallFrameInfo
from .step import End
from .unwinder import Unwinder
from .walk import AddressSpace, CodeRange, Found, StackWalk, inside
from .x86_64 import X86_64, registers

__all__ = [
    "X86_64",
    "AddressSpace",
    "Architecture",
    "CallFrameInfo",
    "CodeRange",
    "End",
    "Found",
    "Registers",
    "StackWalk",
    "Unwinder",
    "inside",
    "registers",
]
