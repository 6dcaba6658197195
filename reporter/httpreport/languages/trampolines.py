"""Unwind the trampolines that CPython's -X perf makes for each Python function.

A trampoline calls the interpreter with its function. It has no unwind information, and need not set the frame pointer.
Its frame has two words: a free one or the caller's frame pointer, and the return address.

Source: Python/asm_trampoline.S of CPython 3.12 to 3.14. Its code is `sub $8,%rsp; call *%rcx; add $8,%rsp; ret`, later
`push %rbp; mov %rsp,%rbp; call *%rcx; pop %rbp; ret`, after an `endbr64` if CET is on.
"""

from __future__ import annotations

from typing import Optional, Protocol

from ..unwind import Row
from ..unwind.arch.x86_64 import X86_64
from ..unwind.cfa import Cfa, RegisterRule, Rule

PREFIX = b"py::"  # of their names in perf-PID.map
LAST_BYTES_OF_CALLS = (5, 9)  # offsets of the last byte of the call, without and with endbr64

_WORD = 8
_FRAME_POINTER, _RETURN_ADDRESS = X86_64.frame_pointer, X86_64.instruction_pointer
# With the CFA on the stack: the frame pointer that was pushed at CFA - 16, if the frame pointer points there; else it
# is still the caller's. DWARF 5, 7.7.1: lit16 minus dup breg6(0) eq bra(+6) drop breg6(0) skip(+1) deref.
_CALLERS_FRAME_POINTER = bytes.fromhex("40 1c 12 7600 29 280600 13 7600 2f0100 06")
ROW = Row(
    Cfa(X86_64.stack_pointer, 2 * _WORD),
    (
        (_RETURN_ADDRESS, RegisterRule(Rule.OFFSET, -_WORD)),
        (_FRAME_POINTER, RegisterRule(Rule.VALUE_EXPRESSION, 0, _CALLERS_FRAME_POINTER)),
    ),
    _RETURN_ADDRESS,
    signal=False,
    outermost=False,
)


class NamedCode(Protocol):
    """Find the name of code made at run time."""

    def find(self, address: int) -> Optional[tuple[bytes, int]]:
        """Return the name of the function at `address`, and the offset of the address in it."""


class Trampolines:
    """Find the rows of the trampolines of one process."""

    def __init__(self, code: NamedCode) -> None:
        self._code = code

    def row(self, address: int) -> Row | None:
        """Return the row at the call of a trampoline, None for other code."""
        name, offset = self._code.find(address) or (b"", 0)
        return ROW if name.startswith(PREFIX) and offset in LAST_BYTES_OF_CALLS else None
