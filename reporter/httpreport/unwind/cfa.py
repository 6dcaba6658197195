"""Run a CFA program up to a pc, which gives one row: where the caller's frame begins and where its registers are.

Format: DWARF 5, 6.4; the numbers of the instructions: 7.24; DW_CFA_GNU_args_size and
_negative_offset_extended: LSB Core 5.0, 10.5.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Callable, NamedTuple

from .dwarf import BadCfi, WorkBudget, pointer, sleb128, uleb128

MAX_REGISTER = 32  # higher numbers are vector registers and the like, which no walk needs
MAX_REMEMBERED = 64

_ADVANCE, _OFFSET, _RESTORE = 0x40, 0x80, 0xC0


class Rule(enum.IntEnum):
    """Say how a register of the caller is found."""

    UNDEFINED = 0
    OFFSET = 1  # in memory at CFA + number
    VALUE_OFFSET = 2  # it is CFA + number
    REGISTER = 3  # in the register `number`
    EXPRESSION = 4  # in memory where the expression says
    VALUE_EXPRESSION = 5  # what the expression says


class RegisterRule(NamedTuple):
    """Say how one register of the caller is found: a Rule, and the offset, register or expression that it needs."""

    kind: Rule
    number: int = 0
    expression: bytes = b""


class Cfa(NamedTuple):
    """Define the canonical frame address: the value of the expression if there is one, else register + offset."""

    register: int
    offset: int
    expression: bytes = b""


class Row(NamedTuple):
    """List the rules that apply at one pc. A register without a rule keeps its value."""

    cfa: Cfa
    rules: tuple[tuple[int, RegisterRule], ...]
    return_address: int  # the register whose rule finds the caller's pc
    signal: bool  # a signal frame: the caller did not call, it was interrupted
    outermost: bool  # the return address is undefined: there is no caller


@dataclass(frozen=True)
class Alignment:
    """Hold what a CIE says for all its programs."""

    code: int
    data: int
    pointer_encoding: int


class CfaProgram:
    """Hold the state of a running program. `initial` is the state after the CIE's program, for DW_CFA_restore."""

    def __init__(self, alignment: Alignment, initial: CfaProgram | None, budget: WorkBudget) -> None:
        self.cfa: Cfa | None = initial.cfa if initial else None
        self.rules: dict[int, RegisterRule] = dict(initial.rules) if initial else {}
        self._initial = initial.rules if initial else {}
        self._alignment = alignment
        self._budget = budget
        self._remembered: list[tuple[Cfa | None, dict[int, RegisterRule]]] = []
        self._data, self._at, self._location, self._address = b"", 0, 0, 0

    def run(self, data: bytes, address: int, location: int, pc: int) -> None:
        """Run the instructions `data`, which lie at `address`, for a function at `location` until they pass `pc`."""
        self._data, self._address, self._at, self._location = data, address, 0, location
        while self._at < len(data):
            self._budget.spend()
            operation = data[self._at]
            self._at += 1
            high, low = operation & 0xC0, operation & 0x3F
            if high == _ADVANCE:
                self._location += low * self._alignment.code
            elif high == _OFFSET:
                self._set(low, Rule.OFFSET, self._uleb() * self._alignment.data)
            elif high == _RESTORE:
                self._restore(low)
            elif operation in _OPERATIONS:
                _OPERATIONS[operation](self)
            else:
                raise BadCfi(f"CFA instruction {operation:#x}")
            if self._location > pc:
                return

    def _uleb(self) -> int:
        value, self._at = uleb128(self._data, self._at)
        return value

    def _sleb(self) -> int:
        value, self._at = sleb128(self._data, self._at)
        return value

    def _block(self) -> bytes:
        size = self._uleb()
        block = self._data[self._at : self._at + size]
        if len(block) < size:
            raise BadCfi("an expression reaches beyond its instructions")
        self._at += size
        return block

    def _set(self, register: int, kind: Rule, number: int = 0, expression: bytes = b"") -> None:
        if register <= MAX_REGISTER:
            self.rules[register] = RegisterRule(kind, number, expression)

    def _restore(self, register: int) -> None:
        if register in self._initial:
            self.rules[register] = self._initial[register]
        else:
            self.rules.pop(register, None)

    def _advance(self, size: int) -> None:
        delta = self._data[self._at : self._at + size]
        self._at += size
        self._location += int.from_bytes(delta, "little") * self._alignment.code

    def _set_location(self) -> None:
        encoding, address = self._alignment.pointer_encoding, self._address + self._at
        self._location, self._at = pointer(self._data, self._at, encoding, address)

    def _remember(self) -> None:
        if len(self._remembered) == MAX_REMEMBERED:
            raise BadCfi(f"more than {MAX_REMEMBERED} remembered states")
        self._remembered.append((self.cfa, dict(self.rules)))

    def _recall(self) -> None:
        if not self._remembered:
            raise BadCfi("no remembered state to restore")
        self.cfa, self.rules = self._remembered.pop()

    def _define(self, register: int | None = None, offset: int | None = None) -> None:
        if register is None or offset is None:
            if self.cfa is None or self.cfa.expression:
                raise BadCfi("half a CFA rule is changed where there is none")
            register = self.cfa.register if register is None else register
            offset = self.cfa.offset if offset is None else offset
        self.cfa = Cfa(register, offset)

    def _define_expression(self) -> None:
        self.cfa = Cfa(0, 0, self._block())


_OPERATIONS: dict[int, Callable[[CfaProgram], object]] = {
    0x00: lambda p: None,  # nop
    0x01: CfaProgram._set_location,
    0x02: lambda p: p._advance(1),
    0x03: lambda p: p._advance(2),
    0x04: lambda p: p._advance(4),
    0x05: lambda p: p._set(p._uleb(), Rule.OFFSET, p._uleb() * p._alignment.data),  # offset_extended
    0x06: lambda p: p._restore(p._uleb()),
    0x07: lambda p: p._set(p._uleb(), Rule.UNDEFINED),
    0x08: lambda p: p.rules.pop(p._uleb(), None),  # same_value
    0x09: lambda p: p._set(p._uleb(), Rule.REGISTER, p._uleb()),
    0x0A: CfaProgram._remember,
    0x0B: CfaProgram._recall,
    0x0C: lambda p: p._define(p._uleb(), p._uleb()),  # def_cfa
    0x0D: lambda p: p._define(register=p._uleb()),
    0x0E: lambda p: p._define(offset=p._uleb()),
    0x0F: CfaProgram._define_expression,
    0x10: lambda p: p._set(p._uleb(), Rule.EXPRESSION, 0, p._block()),
    0x11: lambda p: p._set(p._uleb(), Rule.OFFSET, p._sleb() * p._alignment.data),
    0x12: lambda p: p._define(p._uleb(), p._sleb() * p._alignment.data),
    0x13: lambda p: p._define(offset=p._sleb() * p._alignment.data),
    0x14: lambda p: p._set(p._uleb(), Rule.VALUE_OFFSET, p._uleb() * p._alignment.data),
    0x15: lambda p: p._set(p._uleb(), Rule.VALUE_OFFSET, p._sleb() * p._alignment.data),
    0x16: lambda p: p._set(p._uleb(), Rule.VALUE_EXPRESSION, 0, p._block()),
    0x2D: lambda p: None,  # AARCH64_negate_ra_state: not followed; an arm64 walk has to strip return addresses itself
    0x2E: lambda p: p._uleb(),  # GNU_args_size
    0x2F: lambda p: p._set(p._uleb(), Rule.OFFSET, -p._uleb() * p._alignment.data),
}
