"""Read words from the stack copies of calls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from httpcapture import Stack, StackStatus

from ..calls.schema import Array
from ..calls.stack_slots import REGISTERS, SLOTS, WORDS, addresses
from ..capture.packed_stacks import RecordedStacks

Indices = npt.NDArray[np.intp]
Words = npt.NDArray[np.uint64]
_SIDES: tuple[Literal["left"], Literal["right"]] = ("left", "right")


@dataclass(frozen=True)
class RecordedWords:
    """Give the words of the stack copies of these calls (a `StackWords`). Each request reads the stacks once, and holds
    only what is asked for."""

    calls: Array
    stacks: RecordedStacks
    tasks_of_calls: Indices

    def tasks(self, calls: Indices) -> Indices:
        """Return for each call the number of the task by which its thread sent, negative if it is not known."""
        return self.tasks_of_calls[calls]

    def whole(self, calls: Indices) -> Words:
        """Return the words of some calls: shape (calls, SLOTS)."""
        return self.some(calls, np.arange(SLOTS))

    def some(self, calls: Indices, slots: Indices) -> Words:
        """Return the words of calls at these slots: shape (calls, slots)."""
        found = np.zeros((len(calls), len(slots)), np.uint64)
        recorded = self.calls["stack_status"][calls] == StackStatus.RECORDED
        ids = np.where(recorded, self.calls["stack"][calls], 0)
        order = np.argsort(ids, kind="stable")
        in_order = ids[order]
        for _, stack in self.stacks.some(set(ids[recorded].tolist())):
            first, last = (int(np.searchsorted(in_order, np.uint64(stack.id), side)) for side in _SIDES)
            found[order[first:last]] = _words(stack)[slots]
        return found


def _words(stack: Stack) -> Words:
    """Return all words of a stack copy."""
    words = np.zeros(SLOTS, np.uint64)
    for first, most, data in ((0, REGISTERS, stack.registers), (REGISTERS, WORDS, stack.memory)):
        read = np.frombuffer(data[: min(len(data) // 8, most) * 8], "<u8")
        words[first : first + len(read)] = read
    return addresses(words)
