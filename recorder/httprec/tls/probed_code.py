"""Read the code of a TLS library. The file is untrusted: every read is bounded, and code that is not as expected is
refused. A probe is only ever put on an instruction that Linux emulates."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

from ..elf_identity import read_at
from ..languages.elf_symbols import Symbol, find_symbols
from .elf_addresses import Addresses, read_addresses
from .x86_code import MAX_CODE, Instruction, instructions

DATA_TYPE = b"\xbe\x17\x00\x00\x00"  # mov $23,%esi: the type of records with data
SAVED = {3, 5, 12, 13, 14, 15}  # rbx, rbp, r12 to r15: every function leaves them as they were (System V ABI, 3.2.1)
_HARMLESS = (b"\xf3\x0f\x1e\xfa", b"\x48\x85\xff")  # endbr64, test %rdi,%rdi
_MAX_STEPS = 64  # instructions of a function that are looked at
_MAX_JUMPS = 2  # from a function to another that does its work


class UnknownCodeError(Exception):
    """Say why the plaintext cannot be read."""


class LibraryCode(NamedTuple):
    """Hold an open ELF file, where its code is, and the symbols of it that were asked for."""

    fd: int
    addresses: Addresses
    symbols: Mapping[str, Symbol]

    @classmethod
    def of(cls, fd: int, symbols: Collection[str]) -> LibraryCode:
        """Return the code of a file. Raises UnknownCodeError if it has none for this processor, or OSError."""
        found, addresses = find_symbols(fd, symbols, static=True), read_addresses(fd)
        if found is None or addresses is None:
            raise UnknownCodeError("is no 64-bit ELF file of this processor")
        return cls(fd, addresses, found.named)

    def offset(self, address: int) -> int:
        """Return where in the file the code of an address is. Raises UnknownCodeError."""
        offset = self.addresses.code_offset(address)
        if offset is None:
            raise UnknownCodeError("has addresses outside of its code")
        return offset

    def straight(self, address: int) -> Iterator[Instruction]:
        """Yield instructions from an address on, as if no branch was taken."""
        return instructions(read_at(self.fd, MAX_CODE, self.offset(address)), address)

    def steps(self, address: int) -> Iterator[Instruction]:
        """Yield instructions from an address on, also behind jumps that no condition decides."""
        steps = 0
        for _ in range(_MAX_JUMPS + 1):
            last = None
            for last in self.straight(address):
                yield last
                steps += 1
                if steps == _MAX_STEPS:
                    return
            target = last.jumps_to if last else None
            if target is None:
                return
            address = target


def first_emulated(steps: Iterator[Instruction]) -> Instruction:
    """Return the first instruction of a function that is emulated, before which arguments stay where they are, and the
    stack too. Raises UnknownCodeError."""
    for step in steps:
        if step.is_emulated and not step.is_call:
            return step
        if step.code not in _HARMLESS:
            break
    raise UnknownCodeError("has code at the beginning of its functions that is not known")
