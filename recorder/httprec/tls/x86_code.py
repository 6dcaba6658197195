"""Decode how long x86-64 instructions are, as far as the beginning of a C function needs it.

A probe in the middle of an instruction would break the program that runs it. So only instructions of this list are
stepped over, from the beginning of a function on, and where another one comes nothing is found.

Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2, chapter 2 and appendix A.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Optional

MAX_CODE = 512  # bytes of a function that are looked at

_ENDBR64 = b"\xf3\x0f\x1e\xfa"
_ARITHMETIC = {0x01, 0x03, 0x09, 0x0B, 0x21, 0x23, 0x29, 0x2B, 0x31, 0x33, 0x39, 0x3B, 0x85, 0x89, 0x8B, 0x8D, 0x63}
_TO_REGISTER = {0x03, 0x0B, 0x23, 0x2B, 0x33, 0x8A, 0x8B, 0x8D, 0x63}  # of these, the first operand is the register
_WITH_BYTE, _WITH_WORD = {0x83, 0x80, 0xC6, 0x6B, 0xC1}, {0x81, 0xC7, 0x69}  # an immediate behind the operand
_TESTS = {0xF6: 1, 0xF7: 4}  # bytes of the immediate of /0; of /2 to /7 there is none
_CONDITIONAL_MOVES = set(range(0x40, 0x50))
_EXTENDING_MOVES = {0xB6, 0xB7, 0xBE, 0xBF}
_CONVERSIONS, _SWAPS = {0x98}, set(range(0x0FC8, 0x0FD0))  # cltq; bswap


class Instruction(NamedTuple):
    """Describe an instruction: where it begins, its bytes, its prefix REX or 0, and its opcode: 0x0F00 and the second
    byte where it has two. `operand` is its ModRM byte, or None."""

    address: int
    code: bytes
    rex: int
    opcode: int
    operand: Optional[int]

    @property
    def end(self) -> int:
        """Return where the next one begins."""
        return self.address + len(self.code)

    @property
    def is_push(self) -> bool:
        """Return whether it pushes a register."""
        return 0x50 <= self.opcode <= 0x57

    @property
    def pushes(self) -> int:
        """Return the number of the register that it pushes."""
        return (self.opcode & 7) + 8 * (self.rex & 1)

    @property
    def moves(self) -> tuple[int, int] | None:
        """Return from which register to which it moves 8 bytes; None if it does not."""
        if self.opcode != 0x89 or self.operand is None or self.operand >> 6 != 3 or not self.rex & 8:
            return None
        return (self.operand >> 3 & 7) + 8 * (self.rex >> 2 & 1), (self.operand & 7) + 8 * (self.rex & 1)

    @property
    def adds(self) -> tuple[int, int, int] | None:
        """Return from which register to which it moves 8 bytes, and what it adds (lea); None if it does not."""
        if self.opcode != 0x8D or self.operand is None or not self.rex & 8:
            return None
        mode, base = self.operand >> 6, self.operand & 7
        if mode not in (1, 2) or base == 4:
            return None
        added = int.from_bytes(self.code[-1 if mode == 1 else -4 :], "little", signed=True)
        return base + 8 * (self.rex & 1), (self.operand >> 3 & 7) + 8 * (self.rex >> 2 & 1), added

    @property
    def changes(self) -> int | None:
        """Return the number of the register that it writes to; None if it writes to none, or if that is not known."""
        if self.opcode in _CONVERSIONS:
            return 0
        if 0x58 <= self.opcode <= 0x5F or 0xB8 <= self.opcode <= 0xBF or self.opcode in _SWAPS:
            return (self.opcode & 7) + 8 * (self.rex & 1)
        if self.operand is None:
            return None
        if self.opcode in _TO_REGISTER or self.opcode >> 8 == 0x0F:
            return (self.operand >> 3 & 7) + 8 * (self.rex >> 2 & 1)
        return (self.operand & 7) + 8 * (self.rex & 1) if self.operand >> 6 == 3 else None

    @property
    def is_branch(self) -> bool:
        """Return whether it jumps if a condition is met."""
        return 0x70 <= self.opcode <= 0x7F or 0x0F80 <= self.opcode <= 0x0F8F

    @property
    def is_call(self) -> bool:
        """Return whether it calls an address that the code has."""
        return self.opcode == 0xE8

    @property
    def is_indirect_call(self) -> bool:
        """Return whether it calls an address from memory or a register."""
        return self.opcode == 0xFF and self.operand is not None and self.operand >> 3 & 7 == 2

    @property
    def leads_to(self) -> int | None:
        """Return where it calls, jumps or branches to; None if it does not, or if the code does not tell where."""
        if not (self.is_call or self.is_branch or self.opcode in (0xE9, 0xEB)):
            return None
        size = 1 if self.opcode == 0xEB or 0x70 <= self.opcode <= 0x7F else 4
        return self.end + int.from_bytes(self.code[-size:], "little", signed=True)

    @property
    def jumps_to(self) -> int | None:
        """Return where it jumps without a condition; None if it does not, or if the code does not tell where."""
        return self.leads_to if self.opcode in (0xE9, 0xEB) else None

    @property
    def is_emulated(self) -> bool:
        """Return whether Linux emulates it when a probe is on it, instead of stepping over it, which is slow in virtual
        machines (branch_setup_xol_ops and push_setup_xol_ops, arch/x86/kernel/uprobes.c)."""
        return self.is_push or self.is_branch or self.is_call or self.opcode in (0xE9, 0xEB)


def instructions(code: bytes, address: int) -> Iterator[Instruction]:
    """Yield the instructions of a piece of code that begins at an address, in the order in which they run if no branch
    is taken, up to one that ends this order or is not known."""
    place = 0
    while place < len(code):
        size, rex, opcode, operand = _decode(code, place)
        if not size or place + size > len(code):
            return
        yield Instruction(address + place, code[place : place + size], rex, opcode, operand)
        if opcode in (0xC3, 0xE9, 0xEB) or (opcode == 0xFF and operand is not None and operand >> 3 & 7 in (4, 5)):
            return
        place += size


def _decode(code: bytes, start: int) -> tuple[int, int, int, int | None]:
    """Return size, REX, opcode and ModRM; a size of 0 if the instruction is not known."""
    if code.startswith(_ENDBR64, start):
        return len(_ENDBR64), 0, 0x0F1E, 0xFA
    place, rex = start, 0
    if place < len(code) and code[place] == 0x64:  # the segment fs, of which stack protectors read
        place += 1
    if place < len(code) and code[place] & 0xF0 == 0x40:
        rex = code[place]
        place += 1
    opcode = code[place] if place < len(code) else 0
    place += 1
    if opcode == 0x0F:
        opcode = 0x0F00 | (code[place] if place < len(code) else 0)
        place += 1
    after = _size_without_operand(opcode, rex)
    if after is not None:
        return place + after - start, rex, opcode, None
    after = _size_behind_operand(opcode, code[place] if place < len(code) else 0)
    if after is None or place >= len(code):
        return 0, 0, 0, None
    return place + _operand_size(code, place) + after - start, rex, opcode, code[place]


def _size_without_operand(opcode: int, rex: int) -> int | None:
    """Return how many bytes follow the opcode of an instruction without a ModRM byte; None if it has one, or is not
    known."""
    if 0x50 <= opcode <= 0x5F or opcode in (0x90, 0xC3) or opcode in _CONVERSIONS | _SWAPS:
        return 0
    if 0x70 <= opcode <= 0x7F or opcode == 0xEB or opcode in (0xA8, 0x6A, 0x3C):
        return 1
    if 0x0F80 <= opcode <= 0x0F8F or opcode in (0xE8, 0xE9, 0xA9, 0x25, 0x3D):
        return 4
    if 0xB8 <= opcode <= 0xBF:
        return 8 if rex & 8 else 4
    return None


def _size_behind_operand(opcode: int, operand: int) -> int | None:
    """Return how many bytes follow the operand of an instruction with a ModRM byte; None if it is not known."""
    if opcode in _WITH_BYTE:
        return 1
    if opcode in _WITH_WORD:
        return 4
    if opcode in _TESTS:
        return 0 if operand >> 3 & 7 > 1 else _TESTS[opcode]
    moves = opcode >> 8 == 0x0F and opcode & 0xFF in _CONDITIONAL_MOVES | _EXTENDING_MOVES | {0x1F}
    return 0 if moves or opcode in _ARITHMETIC or opcode in (0x84, 0x88, 0x8A, 0xFF, 0x38, 0x3A) else None


def _operand_size(code: bytes, place: int) -> int:
    """Return how many bytes an operand takes with its ModRM byte, SIB byte and displacement."""
    mode, register = code[place] >> 6, code[place] & 7
    if mode == 3:
        return 1
    size = 2 if register == 4 else 1
    base = code[place + 1] & 7 if register == 4 and place + 1 < len(code) else register
    if mode == 1:
        return size + 1
    return size + 4 if mode == 2 or base == 5 else size
