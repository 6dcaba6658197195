"""Step from a frame to its caller: registers, a row and stack memory give the caller's registers.

A register whose value is unknown becomes None. A walk ends, with a reason, only if it needs an unknown value.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from .arch.architecture import WORD, Architecture, Registers
from .cfa import RegisterRule, Row, Rule
from .dwarf import ADDRESS_MASK, BadCfi, WorkBudget
from .expression import evaluate, known

_U64 = struct.Struct("<Q")


class End(enum.Enum):
    """Say why a walk ended. Only the first three are the end of the stack."""

    OUTERMOST = "the outermost frame, by its unwind information"
    NO_RETURN_ADDRESS = "the outermost frame: its return address is 0"
    NO_FRAME_POINTER = "the outermost frame: its frame pointer is 0"
    STACK_ENDED = "the copied stack ended"
    FRAME_POINTER_OUTSIDE = "no unwind information, and the frame pointer leads out of the copied stack"
    PAGE_MISSING = "a page of the stack was not in memory"
    NOT_CODE = "the address is in no executable mapping"
    NO_CFI = "no unwind information, and no frame pointer to follow"
    BAD_CFI = "the unwind information is bad or needs what is not known"
    NOT_GROWING = "the caller's frame would not be above its callee's"
    TOO_MANY_FRAMES = "more frames than the limit"


class WalkEnded(Exception):
    """Signal that there is no caller; `reason` says why. `needed` is the address of the value that was not copied."""

    def __init__(self, reason: End, detail: str = "", needed: int | None = None) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail
        self.needed = needed


@dataclass(frozen=True)
class StackMemory:
    """Hold the copied bytes of a stack, from `address` (the stack pointer) upwards. `missing` are the offsets of pages
    that were not in memory."""

    address: int
    data: bytes
    missing: tuple[range, ...] = ()

    def read(self, address: int) -> int:
        """Return the 8-byte value at `address`. Raises WalkEnded if it was not copied."""
        offset = address - self.address
        if not 0 <= offset <= len(self.data) - WORD:
            raise WalkEnded(End.STACK_ENDED, f"{address:#x} was not copied", address)
        if any(page.start - WORD < offset < page.stop for page in self.missing):
            raise WalkEnded(End.PAGE_MISSING, f"the page of {address:#x} was not in memory", address)
        value: int = _U64.unpack_from(self.data, offset)[0]
        return value

    def words(self, start: int, end: int) -> Sequence[int]:
        """Return the 8-byte values in [start, end), as far as they were copied."""
        data = self.data[max(start - self.address, 0) : max(end - self.address, 0)]
        return struct.unpack(f"<{len(data) // WORD}Q", data[: len(data) // WORD * WORD])


def step_by_cfi(
    architecture: Architecture, registers: Registers, row: Row, memory: StackMemory, budget: WorkBudget
) -> Registers:
    """Return the caller's registers by a row of call frame information. Raises WalkEnded."""
    try:
        return _apply(architecture, registers, row, memory, budget)
    except (BadCfi, IndexError, OverflowError, struct.error) as error:
        raise WalkEnded(End.BAD_CFI, str(error)) from None


def step_by_frame_pointer(architecture: Architecture, registers: Registers, memory: StackMemory) -> Registers:
    """Return the caller's registers by the frame record that the frame pointer points to. Raises WalkEnded.

    All other registers become unknown: a function without unwind information may have saved them anywhere.
    """
    frame, stack = registers[architecture.frame_pointer], registers[architecture.stack_pointer]
    if frame is None or stack is None or frame < stack or frame % WORD:
        raise WalkEnded(End.NO_CFI)
    caller: list[int | None] = [None] * architecture.register_count
    try:
        caller[architecture.frame_pointer] = memory.read(frame)
        caller[architecture.instruction_pointer] = memory.read(frame + WORD)
    except WalkEnded as ended:
        reason = End.FRAME_POINTER_OUTSIDE if ended.reason is End.STACK_ENDED else ended.reason
        raise WalkEnded(reason, ended.detail, ended.needed) from None
    caller[architecture.stack_pointer] = frame + 2 * WORD
    return caller


def step_from_entry(architecture: Architecture, registers: Registers, memory: StackMemory) -> Registers:
    """Return the caller's registers of a function without a frame of its own: all is as when it began.

    The system call stubs of Go and musl, which are in assembly, are such functions. Raises WalkEnded.
    """
    caller = step_by_cfi(architecture, registers, architecture.entry, memory, WorkBudget(0))
    kept = (architecture.frame_pointer, architecture.instruction_pointer, architecture.stack_pointer)
    return [value if number in kept else None for number, value in enumerate(caller)]


def _apply(
    architecture: Architecture, registers: Registers, row: Row, memory: StackMemory, budget: WorkBudget
) -> Registers:
    if row.outermost:
        raise WalkEnded(End.OUTERMOST)
    stack = known(registers, architecture.stack_pointer)
    if row.cfa.expression:
        cfa = evaluate(row.cfa.expression, registers, memory.read, budget)
    else:
        cfa = (known(registers, row.cfa.register) + row.cfa.offset) & ADDRESS_MASK
    if cfa <= stack and not row.signal:  # a signal may have changed to another stack
        raise WalkEnded(End.NOT_GROWING, f"{cfa:#x} after {stack:#x}")
    caller = list(registers)
    caller[architecture.stack_pointer] = cfa
    caller[architecture.instruction_pointer] = None
    for register, rule in row.rules:
        if register >= len(caller):
            continue
        if rule.kind is Rule.OFFSET and cfa + rule.number < stack and register != row.return_address:
            continue  # its slot is below the stack pointer: in an epilogue, popped already
        try:
            caller[register] = _restore(rule, registers, cfa, memory, budget)
        except WalkEnded:
            if register == row.return_address:
                raise
            caller[register] = None
    caller[architecture.instruction_pointer] = known(caller, row.return_address)
    return caller


def _restore(rule: RegisterRule, registers: Registers, cfa: int, memory: StackMemory, budget: WorkBudget) -> int | None:
    if rule.kind is Rule.OFFSET:
        return memory.read((cfa + rule.number) & ADDRESS_MASK)
    if rule.kind is Rule.VALUE_OFFSET:
        return (cfa + rule.number) & ADDRESS_MASK
    if rule.kind is Rule.REGISTER:
        return registers[rule.number]
    if rule.kind is Rule.EXPRESSION:
        return memory.read(evaluate(rule.expression, registers, memory.read, budget, (cfa,)))
    if rule.kind is Rule.VALUE_EXPRESSION:
        return evaluate(rule.expression, registers, memory.read, budget, (cfa,))
    return None
