"""Stack rows of the BPF program become Stack records; what is in the registers and bytes is the reporter's affair.

The kernel sends equal frames of a process once. Every part of a recording needs those of its own calls: they are kept.
The kernel may know frames as sent that are kept no more: then a call's stack is not in its part, and that is counted.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterable, Iterator

from httpbpf.layout import STACK_ROW
from httpcapture import Stack

from . import tuning
from .rows import RowCodec

_STACKS = RowCodec(STACK_ROW)


def stack_record(row: bytes) -> Stack:
    """A row as it stands in the stack ring or in a slot; what is not of this stack is left out."""
    fields = _STACKS.read(row)
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
    """An id for a stack that the kernel gave none, since its call was still waiting."""
    return int.from_bytes(hashlib.blake2b(row, digest_size=8).digest(), "little") | 1


class SharedStacks:
    """Stacks that many calls have: those of frames only. `forgotten` counts those that a part lacks, at most."""

    def __init__(self) -> None:
        self.forgotten = 0
        self._kept: OrderedDict[int, Stack] = OrderedDict()  # the one used last at the end
        self._elsewhere: set[int] = set()  # of them, those that are in an earlier part only
        self._settled: OrderedDict[int, None] = OrderedDict()  # others of this part: in it, or counted; the newest last

    def add(self, stack: Stack) -> None:
        """This stack is in the part that is being written."""
        if stack.registers:
            self._settle(stack.id)
            return
        self._kept[stack.id] = stack
        self._kept.move_to_end(stack.id)
        self._elsewhere.discard(stack.id)
        if len(self._kept) > tuning.STACKS:
            self._forget(self._kept.popitem(last=False)[0])

    def begin_part(self) -> None:
        self._elsewhere = set(self._kept)
        self._settled.clear()

    def missing(self, ids: Iterable[int]) -> Iterator[Stack]:
        """The stacks with these ids that are known, but not in this part yet; those that are not known are counted."""
        for number in ids:
            if number in self._kept:
                self._kept.move_to_end(number)
                if number in self._elsewhere:
                    yield self._kept[number]
            elif number not in self._settled:
                self.forgotten += 1
                self._settle(number)

    def _forget(self, number: int) -> None:
        if number in self._elsewhere:
            self._elsewhere.remove(number)
        else:
            self._settle(number)

    def _settle(self, number: int) -> None:
        self._settled[number] = None
        if len(self._settled) > tuning.STACKS:
            self._settled.popitem(last=False)
