"""Unwind the trampolines that CPython's -X perf makes for each Python function.

They have no unwind information, and need not set the frame pointer. Their names in perf-PID.map tell what they are.
"""

from __future__ import annotations

from typing import Optional, Protocol

from ..unwind import Row, Trampoline

PREFIX = b"py::"  # of their names


class NamedCode(Protocol):
    """Find the name of code made at run time."""

    def find(self, address: int) -> Optional[tuple[bytes, int]]:
        """Return the name of the function at `address`, and the offset of the address in it."""


class Trampolines:
    """Find the rows of the trampolines of one process."""

    def __init__(self, code: NamedCode, trampoline: Trampoline) -> None:
        self._code, self._trampoline = code, trampoline

    def row(self, address: int) -> Row | None:
        """Return the row at the call of a trampoline, None for other code."""
        name, offset = self._code.find(address) or (b"", 0)
        is_at_call = name.startswith(PREFIX) and offset in self._trampoline.calls
        return self._trampoline.row if is_at_call else None
