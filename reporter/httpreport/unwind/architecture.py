"""What the unwinder must know of a processor, so that another one is one more file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional

Registers = Sequence[Optional[int]]
"""The values of the registers by DWARF number, None where a value is not known."""

WORD = 8


@dataclass(frozen=True)
class Architecture:
    """DWARF register numbers of one processor.

    Both x86-64 and arm64 grow the stack downwards, and keep a frame record of two words where the frame
    pointer points: the caller's frame pointer, then the return address; the caller's stack begins above it.
    """

    name: str  # as in Elf.machine
    register_count: int
    stack_pointer: int
    frame_pointer: int
    instruction_pointer: int  # the number that return-address rules are given under
