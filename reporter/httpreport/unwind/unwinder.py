"""Unwind the stacks of one process: a known stack costs a look-up, a common one a fast walk, any other a full walk."""

from __future__ import annotations

from .arch.architecture import Architecture, Registers
from .fast import FastWalker
from .walk import AddressSpace, StackWalk, full_walk

MAX_KEPT_WALKS = 512


class Unwinder:
    """Walk the stacks of one address space."""

    def __init__(self, space: AddressSpace, architecture: Architecture) -> None:
        self._space = space
        self._architecture = architecture
        self._fast = FastWalker(space, architecture)
        self._walks: dict[tuple[Registers, bytes, tuple[range, ...]], StackWalk] = {}

    def unwind(self, registers: Registers, stack: bytes, missing: tuple[range, ...] = ()) -> StackWalk:
        """Return the walk of one stack; `stack` is its bytes from the stack pointer upwards. No bytes make it raise.

        At the offsets `missing`, which were not copied, the bytes must not pass for an address of code.
        """
        key = (tuple(registers), stack, missing)
        walk = self._walks.get(key)
        if walk is None:
            if len(self._walks) >= MAX_KEPT_WALKS:
                self._walks.clear()
            walk = self._fast.walk(*key[:2]) or full_walk(self._space, self._architecture, *key)
            self._walks[key] = walk
        return walk
