"""Convert stack rows of the BPF program to Stack records, and repeat stacks that several parts of a recording need.

Registers and bytes of a stack are not interpreted. The kernel sends equal frames of a process only once, but every part
of a recording needs the stacks of its own calls, so stacks are kept here. The kernel may remember having sent a stack
that is no longer kept; then the stack of a call is missing from its part, and is counted.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterable, Iterator

from httpbpf.layout import STACK_ROW
from httpcapture import Stack

from . import tuning
from .rows import RowCodec

_STACK_CODEC = RowCodec(STACK_ROW)


def stack_record(row: bytes) -> Stack:
    """Return the Stack of a row from the stack ring or from a slot, without the remains of earlier stacks in the
    slot."""
    fields = _STACK_CODEC.read(row)
    copied = fields["memory_size"]
    return Stack(
        id=fields["id"],
        pid=fields["pid"],
        process_start_ns=fields["process_start"],
        taken_ns=fields["taken"],
        frames=row[STACK_ROW.size : STACK_ROW.size + fields["frames_size"]],
        registers=fields["registers"][: fields["registers_size"]],
        memory_address=fields["memory_address"] if copied else 0,
        memory=row[STACK_ROW.size : STACK_ROW.size + copied],
        missing_pages=fields["missing_pages"] if copied else 0,
    )


def unsent_id(row: bytes) -> int:
    """Return an ID for a stack without one, because its call was still waiting when the recording ended."""
    return int.from_bytes(hashlib.blake2b(row, digest_size=8).digest(), "little") | 1


class RepeatedStacks:
    """Keep the stacks that many calls share, which are those without registers, for the parts that need them again.

    `not_repeated` is an upper bound on the number of stacks that parts lack.
    """

    def __init__(self) -> None:
        self.not_repeated = 0
        self._stacks: OrderedDict[int, Stack] = OrderedDict()  # by ID, the most recently used last
        self._only_in_earlier_parts: set[int] = set()  # IDs of stacks above that this part does not have yet
        self._settled: OrderedDict[int, None] = OrderedDict()  # other IDs that this part has, or that were counted

    def add(self, stack: Stack) -> None:
        """Note that the current part has this stack."""
        if stack.registers:
            self._settle(stack.id)
            return
        self._stacks[stack.id] = stack
        self._stacks.move_to_end(stack.id)
        self._only_in_earlier_parts.discard(stack.id)
        if len(self._stacks) > tuning.MAX_REMEMBERED_STACKS:
            self._forget(self._stacks.popitem(last=False)[0])

    def begin_part(self) -> None:
        """Begin another part, which has no stacks yet."""
        self._only_in_earlier_parts = set(self._stacks)
        self._settled.clear()

    def missing(self, ids: Iterable[int]) -> Iterator[Stack]:
        """Yield the stacks with these IDs that the current part does not have yet; count those that are not kept."""
        for number in ids:
            if number in self._stacks:
                self._stacks.move_to_end(number)
                if number in self._only_in_earlier_parts:
                    yield self._stacks[number]
            elif number not in self._settled:
                self.not_repeated += 1
                self._settle(number)

    def _forget(self, number: int) -> None:
        if number in self._only_in_earlier_parts:
            self._only_in_earlier_parts.remove(number)
        else:
            self._settle(number)

    def _settle(self, number: int) -> None:
        self._settled[number] = None
        if len(self._settled) > tuning.MAX_REMEMBERED_STACKS:
            self._settled.popitem(last=False)
