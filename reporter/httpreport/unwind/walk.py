"""Walk from the recorded registers through the stack bytes to the outermost frame, or say why it stopped before.

Frames are looked up by pc. The recorded pc and one that a signal interrupted are taken as they are, every return
address less 1, since it may lie after the end of its function. `full_walk` carries all registers and follows every kind
of row.
"""

from __future__ import annotations

import enum
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from .arch.architecture import Architecture, Registers
from .cfa import Row
from .dwarf import BadCfi, WorkBudget
from .step import End, StackMemory, WalkEnded, step_by_cfi, step_by_frame_pointer, step_from_entry

MAX_FRAMES = 1024
MAX_EXPRESSION_STEPS = 20000  # in one walk


class Found(enum.IntEnum):
    """Say how a frame was found."""

    REGISTERS = 0  # the recorded instruction pointer
    CFI = 1  # by its callee's unwind information
    FRAME_POINTER = 2  # its callee has no unwind information: by the frame pointer
    STACK_TOP = 3  # its callee, the leaf, has no unwind information: a code address was on top of its stack
    INTERRUPTED = 4  # by its callee's unwind information: a signal frame, so the address was not called from
    FRAME_POINTER_PAST = 5  # as FRAME_POINTER, past words that may be return addresses: callers may be missing


WITHOUT_CFI = (Found.FRAME_POINTER, Found.FRAME_POINTER_PAST, Found.STACK_TOP)


@dataclass(frozen=True)
class StackWalk:
    """Hold the frames of one stack, leaf first, including all that were found before a failure."""

    addresses: tuple[int, ...]
    found: tuple[Found, ...]  # for each address
    end: End
    detail: str = ""
    needed: int | None = None  # the address of the value for lack of which it ended, if there was one
    depths: tuple[int, ...] = ()  # for each address: bytes from the recorded stack pointer up to the one in its frame

    @property
    def complete(self) -> bool:
        """Return whether the outermost frame was reached."""
        return self.end in (End.OUTERMOST, End.NO_RETURN_ADDRESS, End.NO_FRAME_POINTER)

    @property
    def inside(self) -> tuple[int, ...]:
        """Return for each frame an address inside its current instruction."""
        return inside(self.addresses, self.found)


def inside(addresses: Iterable[int], found: Iterable[Found]) -> tuple[int, ...]:
    """Return for each frame an address inside its current instruction.

    A return address lies after its call, and so perhaps after the end of its function.
    """
    exact = (Found.REGISTERS, Found.INTERRUPTED)
    return tuple(pc if how in exact else pc - 1 for pc, how in zip(addresses, found))


class Rows(Protocol):
    """Describe the unwind information of a module."""

    def row(self, address: int) -> Row | BadCfi | None:
        """Return the row at an address without load bias, None if no function is described there."""


class CodeRange(NamedTuple):
    """Describe one executable mapping: addresses [start, end), and the unwind information of its module, if any."""

    start: int
    end: int
    bias: int  # address in the process - address in the module
    frames: Rows | None


class AddressSpace:
    """Hold the executable mappings of a process at one moment."""

    def __init__(self, ranges: Iterable[CodeRange]) -> None:
        self._ranges = sorted(ranges, key=lambda code: code.start)
        self._starts = [code.start for code in self._ranges]

    def find(self, address: int) -> CodeRange | None:
        """Return the mapping that holds `address`, None if no code is mapped there."""
        index = bisect_right(self._starts, address) - 1
        return self._ranges[index] if index >= 0 and address < self._ranges[index].end else None

    def found_past(self, words: Iterable[int]) -> Found:
        """Return how a frame was found by a frame pointer above these words of the stack.

        A function need not set the frame pointer; then that of a caller leads past the frames in between. Their return
        addresses are among the words.
        """
        return Found.FRAME_POINTER_PAST if any(self.find(word - 1) for word in words) else Found.FRAME_POINTER

    def row(self, address: int) -> Row | BadCfi | None:
        """Return the row at `address`, None without unwind information. Raises WalkEnded if no code is mapped there."""
        code = self.find(address)
        if code is None:
            raise WalkEnded(End.NOT_CODE, f"{address:#x}")
        return code.frames.row(address - code.bias) if code.frames else None


def full_walk(
    space: AddressSpace,
    architecture: Architecture,
    registers: Registers,
    stack: bytes,
    missing: tuple[range, ...] = (),
) -> StackWalk:
    """Return the walk of one stack with all registers; `stack` is its bytes from the stack pointer upwards, except
    those at the offsets `missing`."""
    pc, start = registers[architecture.instruction_pointer], registers[architecture.stack_pointer]
    if pc is None or start is None:
        return StackWalk((), (), End.STACK_ENDED, "the instruction or the stack pointer was not recorded")
    memory, budget = StackMemory(start, stack, missing), WorkBudget(MAX_EXPRESSION_STEPS)
    addresses, found, depths = [pc], [Found.REGISTERS], [0]
    try:
        while len(addresses) < MAX_FRAMES:
            row = space.row(pc if found[-1] in (Found.REGISTERS, Found.INTERRUPTED) else pc - 1)
            if isinstance(row, BadCfi):
                raise WalkEnded(End.BAD_CFI, str(row))
            if row is None:
                registers, how = _step_without_cfi(space, architecture, registers, memory, found[-1])
            else:
                registers = step_by_cfi(architecture, registers, row, memory, budget)
                how = Found.INTERRUPTED if row.signal else Found.CFI
            pc = registers[architecture.instruction_pointer] or 0
            if not pc:
                raise WalkEnded(End.NO_RETURN_ADDRESS)
            addresses.append(pc)
            found.append(how)
            depths.append((registers[architecture.stack_pointer] or start) - start)
    except WalkEnded as ended:
        return StackWalk(tuple(addresses), tuple(found), ended.reason, ended.detail, ended.needed, tuple(depths))
    return StackWalk(tuple(addresses), tuple(found), End.TOO_MANY_FRAMES, depths=tuple(depths))


def _step_without_cfi(
    space: AddressSpace, architecture: Architecture, registers: Registers, memory: StackMemory, found: Found
) -> tuple[Registers, Found]:
    """Return the caller of a function without unwind information. Raises WalkEnded unless it is code or 0.

    A leaf counts as a system call stub without a frame if its return address, taken as when it began, is code. psABI
    1.0, 3.4.1: a frame pointer of 0 marks the outermost frame.
    """
    if found == Found.REGISTERS:
        caller = step_from_entry(architecture, registers, memory)
        if space.find((caller[architecture.instruction_pointer] or 0) - 1):
            return caller, Found.STACK_TOP
    elif registers[architecture.frame_pointer] == 0 and found in WITHOUT_CFI:
        raise WalkEnded(End.NO_FRAME_POINTER)
    caller = step_by_frame_pointer(architecture, registers, memory)
    pc = caller[architecture.instruction_pointer] or 0
    if pc and not space.find(pc - 1):
        raise WalkEnded(End.NO_CFI, f"the frame pointer leads to {pc:#x}, which is not code")
    words = memory.words(registers[architecture.stack_pointer] or 0, registers[architecture.frame_pointer] or 0)
    return caller, space.found_past(words)
