"""Walk nearly all stacks with the stack and frame pointers only, at the cost of one look-up for each frame.

It follows rows that say no more than "CFA = one of the two + n, return address and frame pointer in slots below it",
and keeps each such row by the address that led to it. Everything else (expressions, signal frames, slots that were not
copied, any failure) is left to `full_walk`: a fast walk either equals the full one or fails.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Sequence
from typing import Callable, NamedTuple

from .arch.architecture import WORD, Architecture, Registers
from .cfa import RegisterRule, Row, Rule
from .dwarf import BadCfi
from .step import End, WalkEnded
from .walk import MAX_FRAMES, AddressSpace, Found, StackWalk

MAX_ROWS = 1 << 17


class NotFastError(Exception):
    """Signal that only the full walk can go on."""


class _Row(NamedTuple):
    """Hold a simple row. Distances are in words."""

    from_frame_pointer: bool  # the CFA is counted from there, else from the stack pointer
    cfa: int  # from that pointer up to the CFA
    frame_slot: int  # from the CFA down to the caller's frame pointer; 0: the register keeps its value
    return_slot: int  # from the CFA down to the return address
    found: Found  # how the caller is found


_CALL_WITHOUT_CFI = _Row(True, 2, 2, 1, Found.FRAME_POINTER)


class _Rows(dict[int, _Row]):
    """Map a pc to its row, which is learnt when it is first needed."""

    def __init__(self, learn: Callable[[int], _Row]) -> None:
        super().__init__()
        self._learn = learn

    def __missing__(self, pc: int) -> _Row:
        if len(self) >= MAX_ROWS:
            self.clear()
        row = self[pc] = self._learn(pc)
        return row


class FastWalker:
    """Walk the stacks of one address space and keep the rows."""

    def __init__(self, space: AddressSpace, architecture: Architecture) -> None:
        self._space = space
        self._architecture = architecture
        self._leaf_rows = _Rows(self._leaf_row)
        self._call_rows = _Rows(self._call_row)

    def walk(self, registers: Registers, stack: bytes) -> StackWalk | None:
        """Return the walk if it reaches the outermost frame by simple rows, else None."""
        pc = registers[self._architecture.instruction_pointer]
        start = registers[self._architecture.stack_pointer]
        frame = registers[self._architecture.frame_pointer]
        if pc is None or start is None or frame is None:
            return None
        words = array("Q", stack[: len(stack) // WORD * WORD])
        if sys.byteorder == "big":
            words.byteswap()
        walked = addresses, found, depths = [pc], [Found.REGISTERS], [0]
        try:
            self._follow(words, start, frame, walked)
        except (NotFastError, IndexError):
            return None
        except WalkEnded as ended:
            if ended.reason == End.NO_RETURN_ADDRESS:
                addresses.pop()
                depths.pop()
                if found.pop() is Found.STACK_TOP:  # then the leaf has a frame, and the 0 is something else
                    return None
            return StackWalk(tuple(addresses), tuple(found), ended.reason, depths=tuple(depths))
        return None

    def _follow(
        self, words: Sequence[int], start: int, frame: int, walked: tuple[list[int], list[Found], list[int]]
    ) -> None:
        """Add frames to the addresses, Founds and depths that are `walked`, up to the limit. Raises WalkEnded, or
        NotFastError or IndexError if it cannot go on."""
        addresses, found, depths = walked
        rows, here = self._call_rows, 0  # here: the stack pointer, in words above start
        row = self._leaf_rows[addresses[0]]
        for _ in range(MAX_FRAMES - 1):
            from_frame_pointer, cfa, frame_slot, return_slot, how = row
            if from_frame_pointer:
                distance = frame - start
                if distance % WORD or distance < here * WORD:
                    raise NotFastError
                if how is Found.FRAME_POINTER:
                    how = self._space.found_past(words[here : distance // WORD])
                cfa += distance // WORD
            else:
                cfa += here
            slot = cfa - return_slot
            if slot < here:
                raise NotFastError
            pc = words[slot]
            if frame_slot:
                slot = cfa - frame_slot
                if slot >= here:  # else it is popped already: an epilogue
                    frame = words[slot]
            here = cfa
            addresses.append(pc)
            found.append(how)
            depths.append(here * WORD)
            row = rows[pc]

    def _leaf_row(self, pc: int) -> _Row:
        return self._row(pc) or self._simple(self._architecture.entry, Found.STACK_TOP)

    def _call_row(self, return_address: int) -> _Row:
        if not return_address:
            raise WalkEnded(End.NO_RETURN_ADDRESS)
        return self._row(return_address - 1) or _CALL_WITHOUT_CFI

    def _row(self, address: int) -> _Row | None:
        """Return the row at `address`, None if there is no unwind information.

        Raises NotFastError, or WalkEnded if this is the outermost frame.
        """
        if self._space.find(address) is None:
            raise NotFastError
        row = self._space.row(address)
        if row is None:
            return None
        if isinstance(row, BadCfi):
            raise NotFastError
        if row.outermost:
            raise WalkEnded(End.OUTERMOST)
        return self._simple(row, Found.CFI)

    def _simple(self, row: Row, found: Found) -> _Row:
        """Return the simple row that says the same. Raises NotFastError if there is none."""
        architecture = self._architecture
        rules = dict(row.rules)
        return_address = rules.get(row.return_address)
        if return_address is None or row.return_address >= architecture.register_count:
            raise NotFastError
        if architecture.stack_pointer in rules:
            raise NotFastError
        if row.signal or row.cfa.expression or row.cfa.offset % WORD:
            raise NotFastError
        if row.cfa.register not in (architecture.stack_pointer, architecture.frame_pointer):
            raise NotFastError
        frame = rules.get(architecture.frame_pointer)
        return _Row(
            from_frame_pointer=row.cfa.register == architecture.frame_pointer,
            cfa=row.cfa.offset // WORD,
            frame_slot=_slot(frame) if frame else 0,
            return_slot=_slot(return_address),
            found=found,
        )


def _slot(rule: RegisterRule) -> int:
    if rule.kind != Rule.OFFSET or rule.number >= 0 or rule.number % WORD:
        raise NotFastError
    return -rule.number // WORD
