"""Stack rows of the BPF program become Stack records; what is in the registers and bytes is the reporter's affair."""

from __future__ import annotations

import hashlib
import struct

from httpbpf.layout import STACK_ROW, STACK_SIZE
from httpcapture import Stack

_HEAD = struct.Struct("<QQQIIQII")  # struct stack_row up to its registers, rows.h
_REGISTERS = _HEAD.size
_FRAMES = STACK_ROW.size
_MEMORY = STACK_SIZE


def stack_record(row: bytes) -> Stack:
    """A row as it stands in the stack ring, in a connection or in a slot; what is not of this stack is left out."""
    number, start_ns, taken_ns, pid, frames_size, address, memory_size, registers_size = _HEAD.unpack_from(row)
    return Stack(
        id=number,
        pid=pid,
        process_start_ns=start_ns,
        taken_ns=taken_ns,
        frames=row[_FRAMES : _FRAMES + frames_size],
        registers=row[_REGISTERS : _REGISTERS + registers_size],
        memory_address=address if memory_size else 0,
        memory=row[_MEMORY : _MEMORY + memory_size],
    )


def unsent_id(row: bytes) -> int:
    """An id for a stack that the kernel gave none, since its call was still waiting."""
    return int.from_bytes(hashlib.blake2b(row, digest_size=8).digest(), "little") | 1
