"""Unwind Go's functions by the sizes of their frames, which .gopclntab has for each instruction.

Go's linker writes no .eh_frame for them. C code in the same program has one.

Format: Go's internal ABI, src/cmd/compile/abi-internal.md: the caller's frame pointer is saved just below the return
address in every frame that has a size.
"""

from __future__ import annotations

from ..elf.go_functions import OUTERMOST, GoFunctions
from .arch.architecture import WORD, Architecture
from .cfa import Cfa, RegisterRule, Row, Rule
from .dwarf import BadCfi
from .eh_frame import CallFrameInfo


class GoCallFrames:
    """Find the row of an address of a Go program: that of .eh_frame, else one made of the size of the frame."""

    def __init__(self, functions: GoFunctions, others: CallFrameInfo, architecture: Architecture) -> None:
        self._functions, self._others, self._architecture = functions, others, architecture

    def row(self, address: int) -> Row | BadCfi | None:
        """Return the row at an address, None if no function is described there."""
        size = self._functions.frame_size(address)
        if size is None:
            return self._others.row(address)
        architecture = self._architecture
        rules = [(architecture.instruction_pointer, RegisterRule(Rule.OFFSET, -WORD))]
        if size >= WORD:
            rules.append((architecture.frame_pointer, RegisterRule(Rule.OFFSET, -2 * WORD)))
        return Row(
            Cfa(architecture.stack_pointer, max(size, 0) + WORD),
            tuple(rules),
            architecture.instruction_pointer,
            signal=False,
            outermost=size == OUTERMOST,
        )
