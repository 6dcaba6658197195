"""Evaluate DWARF expressions: an address or value from registers and stack memory, in a bounded number of steps.

Format: DWARF 5, 2.5 and 7.7.1. Operations that need more than registers and memory (threads, objects, calls) are
refused.
"""

from __future__ import annotations

import operator
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Callable

from .arch.architecture import WORD
from .dwarf import ADDRESS_MASK, BadCfi, WorkBudget, sleb128, uleb128

MAX_STACK = 64

Read = Callable[[int], int]
"""Return the 8-byte value at an address. Raises an exception if it is not known."""


def _signed(value: int) -> int:
    return value - ((value >> 63) << 64)


def _divide(a: int, b: int) -> int:
    a, b = _signed(a), _signed(b)
    if not b:
        raise BadCfi("division by zero in an expression")
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


def _remainder(a: int, b: int) -> int:
    if not b:
        raise BadCfi("division by zero in an expression")
    return a % b


_WIDTH = 64
_U8, _I16 = struct.Struct("<B"), struct.Struct("<h")
_CONSTANTS = {
    0x03: struct.Struct("<Q"),
    0x08: _U8,
    0x09: struct.Struct("<b"),
    0x0A: struct.Struct("<H"),
    0x0B: _I16,
    0x0C: struct.Struct("<I"),
    0x0D: struct.Struct("<i"),
    0x0E: struct.Struct("<Q"),
    0x0F: struct.Struct("<q"),
}
_UNARY: dict[int, Callable[[int], int]] = {
    0x19: lambda a: abs(_signed(a)),
    0x1F: operator.neg,
    0x20: operator.invert,
}
_BINARY: dict[int, Callable[[int, int], int]] = {
    0x1A: operator.and_,
    0x1B: _divide,
    0x1C: operator.sub,
    0x1D: _remainder,
    0x1E: operator.mul,
    0x21: operator.or_,
    0x22: operator.add,
    0x24: lambda a, b: a << b if b < _WIDTH else 0,
    0x25: lambda a, b: a >> b if b < _WIDTH else 0,
    0x26: lambda a, b: _signed(a) >> min(b, _WIDTH - 1),
    0x27: operator.xor,
    0x29: lambda a, b: int(a == b),
    0x2A: lambda a, b: int(_signed(a) >= _signed(b)),
    0x2B: lambda a, b: int(_signed(a) > _signed(b)),
    0x2C: lambda a, b: int(_signed(a) <= _signed(b)),
    0x2D: lambda a, b: int(_signed(a) < _signed(b)),
    0x2E: lambda a, b: int(a != b),
}
_DEREF, _DUP, _DROP, _OVER, _PICK, _SWAP, _ROT = 0x06, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17
_CONSTU, _CONSTS, _PLUS_UCONST, _BRA, _SKIP = 0x10, 0x11, 0x23, 0x28, 0x2F
_LIT0, _LIT31, _BREG0, _BREG31, _BREGX, _DEREF_SIZE, _NOP = 0x30, 0x4F, 0x70, 0x8F, 0x92, 0x94, 0x96


def evaluate(
    expression: bytes,
    registers: Sequence[int | None],
    read: Read,
    budget: WorkBudget,
    initial: Sequence[int] = (),
) -> int:
    """Return the value that `expression` leaves on top of its stack, which begins as `initial`.

    Raises BadCfi, or IndexError or struct.error if operands or the stack run out.
    """
    machine = _Machine(expression, registers, read, list(initial))
    while machine.at < len(expression):
        budget.spend()
        machine.step()
        if len(machine.stack) > MAX_STACK:
            raise BadCfi(f"an expression needs more than {MAX_STACK} values")
    return machine.stack[-1]


def known(registers: Sequence[int | None], register: int) -> int:
    """Return the value of a register. Raises BadCfi if it is not known."""
    value = registers[register] if register < len(registers) else None
    if value is None:
        raise BadCfi(f"the value of register {register} is not known here")
    return value


@dataclass
class _Machine:
    code: bytes
    registers: Sequence[int | None]
    read: Read
    stack: list[int]
    at: int = 0

    def step(self) -> None:
        """Perform the operation at `at`."""
        operation, stack = self.code[self.at], self.stack
        self.at += 1
        if operation in _BINARY:
            right = stack.pop()
            self._push(_BINARY[operation](stack.pop(), right))
        elif operation in _UNARY:
            self._push(_UNARY[operation](stack.pop()))
        elif _LIT0 <= operation <= _LIT31:
            self._push(operation - _LIT0)
        elif operation in _CONSTANTS:
            self._push(self._number(_CONSTANTS[operation]))
        elif operation == _CONSTU:
            self._push(self._uleb())
        elif operation == _CONSTS:
            self._push(self._sleb())
        elif operation == _PLUS_UCONST:
            self._push(stack.pop() + self._uleb())
        elif _BREG0 <= operation <= _BREG31 or operation == _BREGX:
            register = self._uleb() if operation == _BREGX else operation - _BREG0
            self._push(known(self.registers, register) + self._sleb())
        elif operation == _DEREF:
            self._push(self.read(stack.pop()))
        elif operation == _DEREF_SIZE:
            bits = 8 * min(self._number(_U8), WORD)
            self._push(self.read(stack.pop()) & ((1 << bits) - 1))
        elif operation in (_BRA, _SKIP):
            self._jump(self._number(_I16), operation == _SKIP or stack.pop() != 0)
        elif operation != _NOP:
            self._shuffle(operation)

    def _push(self, value: int) -> None:
        self.stack.append(value & ADDRESS_MASK)

    def _number(self, form: struct.Struct) -> int:
        value: int = form.unpack_from(self.code, self.at)[0]
        self.at += form.size
        return value

    def _uleb(self) -> int:
        value, self.at = uleb128(self.code, self.at)
        return value

    def _sleb(self) -> int:
        value, self.at = sleb128(self.code, self.at)
        return value

    def _jump(self, distance: int, taken: bool) -> None:
        self.at += distance if taken else 0
        if not 0 <= self.at <= len(self.code):
            raise BadCfi("an expression jumps out of itself")

    def _shuffle(self, operation: int) -> None:
        stack = self.stack
        if operation == _DUP:
            stack.append(stack[-1])
        elif operation == _DROP:
            stack.pop()
        elif operation == _OVER:
            stack.append(stack[-2])
        elif operation == _PICK:
            stack.append(stack[-1 - self._number(_U8)])
        elif operation == _SWAP:
            stack[-1], stack[-2] = stack[-2], stack[-1]
        elif operation == _ROT:
            stack[-1], stack[-2], stack[-3] = stack[-2], stack[-3], stack[-1]
        else:
            raise BadCfi(f"expression operation {operation:#x}")
