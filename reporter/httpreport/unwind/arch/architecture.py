"""Define what httpreport must know of a processor to unwind stacks that were recorded on it."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Optional

from ..cfa import Row

Registers = Sequence[Optional[int]]
"""The values of the registers by DWARF number, None where a value is not known."""

WORD = 8


@dataclass(frozen=True)
class Trampoline:
    """Describe the code that CPython's -X perf makes for each function: it calls the interpreter with the function."""

    row: Row  # where the caller is while it calls
    calls: Sequence[int]  # offsets of the last byte of the call, in all forms of the code


@dataclass(frozen=True)
class Architecture:
    """Describe a processor with 64-bit little-endian words, as its ABI and Linux use it.

    The unwinder assumes what x86-64 and arm64 have in common: the stack grows downwards, and the frame pointer points
    to a frame record of two words, the caller's frame pointer and the return address. The caller's stack begins above
    this record. It also assumes what holds on x86-64 only: the caller's stack pointer is always above the callee's
    (`step.py`), also for a leaf without a frame.
    """

    name: str  # as in Meta.arch
    elf_machine: int  # e_machine of its ELF files
    registers: Sequence[str]  # names by DWARF number
    stack_pointer: int  # DWARF number; so are the next two
    frame_pointer: int
    instruction_pointer: int  # return-address rules have this number
    entry: Row  # where the return address and the caller's stack are when a function begins
    recorded: Sequence[str]  # names of the u64 of the kernel's struct pt_regs, which is what Stack.registers holds
    python_trampoline: Trampoline
    end_of_32_bit: int  # the user space of a 32-bit process ends here; that of a 64-bit process has its stack above

    @property
    def register_count(self) -> int:
        """Return how many registers have a DWARF number here."""
        return len(self.registers)

    @cached_property
    def recorded_struct(self) -> struct.Struct:
        """Return the layout of struct pt_regs."""
        return struct.Struct(f"<{len(self.recorded)}Q")

    def numbered(self, **values: int) -> Registers:
        """Return registers by DWARF number from values by name. Names that DWARF does not number are left out."""
        return tuple(map(values.get, self.registers))

    def recorded_registers(self, data: bytes) -> Registers | None:
        """Return the registers of a recorded struct pt_regs, None if it is too short."""
        if len(data) < self.recorded_struct.size:
            return None
        return self.numbered(**dict(zip(self.recorded, self.recorded_struct.unpack_from(data))))
