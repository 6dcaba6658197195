"""Stack rows of the BPF program become Stack records; what is in the registers and bytes is the reporter's affair.

The kernel sends equal frames of a process once. Every part of a recording needs those of its own calls: they are kept.
The kernel may know frames as sent that are kept no more: then a call's stack is not in its part, and that is counted.
"""

from __future__ import annotations

import hashlib
import struct
from collections import OrderedDict
from collections.abc import Iterable, Iterator

from httpbpf.layout import STACK_ROW
from httpcapture import Stack

_HEAD = struct.Struct("<QQQIIQIIQ")  # struct stack_row up to its registers, rows.h
_REGISTERS = _HEAD.size
_BYTES = STACK_ROW.size
_MAX_KEPT = 32768  # twice what the kernel knows as sent (seen_stacks, maps.h); 1.5 kB each at most


def stack_record(row: bytes) -> Stack:
    """A row as it stands in the stack ring or in a slot; what is not of this stack is left out."""
    (number, start_ns, taken_ns, pid, frames_size, address, memory_size, registers_size, missing) = _HEAD.unpack_from(
        row
    )
    return Stack(
        id=number,
        pid=pid,
        process_start_ns=start_ns,
        taken_ns=taken_ns,
        frames=row[_BYTES : _BYTES + frames_size],
        registers=row[_REGISTERS : _REGISTERS + registers_size],
        memory_address=address if memory_size else 0,
        memory=row[_BYTES : _BYTES + memory_size],
        missing_pages=missing if memory_size else 0,
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
        if len(self._kept) > _MAX_KEPT:
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
        if len(self._settled) > _MAX_KEPT:
            self._settled.popitem(last=False)
