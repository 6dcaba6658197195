"""Name the addresses of one module by a `Binary`: its ELF file, and symbols of the very same build."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Callable, NamedTuple, Optional, Union

from httpcapture import Module

from ..elf.elf import Elf
from ..elf.go_functions import GoFunctions
from ..elf.symbol_table import Symbol, SymbolTable
from ..languages.stack_trace import Unnamed
from ..unwind import CallFrameInfo


class Location(NamedTuple):
    """Describe the function at an address, and the line there; `line` is 0 if it is not known."""

    function: str
    file: str | None
    line: int


Lines = Callable[[int], Sequence[Location]]
"""Return the functions at an address from the lowest PT_LOAD: innermost first, all but the last inlined."""


@dataclass(frozen=True)
class Binary:
    """Name the addresses of one module. Addresses are its own, without load bias."""

    elf: Elf
    symbols: tuple[SymbolTable, ...]  # the first one that has an address names it
    unnamed: Unnamed = Unnamed.NO_SYMBOL  # why an address that no symbol covers has no name
    lines: Lines | None = None

    @property
    def nbytes(self) -> int:
        """Return about how many bytes it takes in memory."""
        sections = sum(len(section.data) for section in self.elf.sections.values())
        return sections + sum(table.symbols.nbytes + len(table.strings) for table in self.symbols)

    def symbol(self, address: int) -> Symbol | None:
        """Return the symbol that covers an address."""
        return next(filter(None, (table.lookup(address) for table in self.symbols)), None)

    def locations(self, address: int) -> Sequence[Location]:
        """Return the functions at an address, innermost first, all but the last inlined; none without DWARF."""
        if self.lines is None or not self.elf.segments:
            return ()
        return self.lines(address - min(segment.address for segment in self.elf.segments))

    def function_start(self, address: int) -> int | None:
        """Return where the function around an address begins by its unwind information."""
        return self.call_frames.function_start(address)

    @cached_property
    def go_functions(self) -> GoFunctions | None:
        """Return the functions of a Go program, None if it is none."""
        return GoFunctions.of(self.elf)

    @cached_property
    def call_frames(self) -> CallFrameInfo:
        """Return the unwind information of the file's ELF data."""
        return CallFrameInfo(self.elf)


FindBinary = Callable[[Module, Optional[Elf]], Union[Binary, Unnamed]]
"""Return a module's binary, or the reason why there is none. The Elf is made from the module's recorded parts."""
