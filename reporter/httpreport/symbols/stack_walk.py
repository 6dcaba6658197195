"""Turn a recorded stack into the addresses of its frames, and say how they were found.

The stack copy is unwound if there is one; else the addresses count that the recorder found by frame pointers.

Of the readings of the process's maps around the stack's moment (readings.py), the walk that gets furthest counts.

The stacks of a redacted capture were walked when it was written, and hold the result of this walk (`Stack.end`).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from httpcapture import MAX_MEMORY, UNWOUND_WHOLE, Meta, Stack

from ..languages.stack_trace import Incomplete
from ..unwind import ARCHITECTURES, Architecture, End, Found, Registers, StackWalk, inside
from .maps import Maps
from .readings import Place, Readings, Snapshot

MAX_FRAMES = 1024
MAX_RECORDED = 127  # frames by frame pointer; the limit of httprec, and a kernel's default

MAX_PAGES = 64  # bits of Stack.missing_pages
PAGE = 4096  # bytes, where META does not say

_FRAME = struct.Struct("<QQ")  # the caller's frame pointer, and the address to return to


@dataclass(frozen=True)
class Walk:
    """Hold the frames of one stack, leaf first.

    `inside[i]` is a byte of the instruction that `addresses[i]` stands for. `found` is empty if the walk followed frame
    pointers only.
    """

    addresses: tuple[int, ...]
    inside: tuple[int, ...]
    found: tuple[Found, ...] = ()
    incomplete: Incomplete | None = None
    copied: int = 0  # bytes of the copy if it ended too early
    left_out: int = 0
    repeats: int = 0  # outermost frames that repeat up to the limit; only of a walk by frame pointers
    depths: tuple[int, ...] = field(default=(), compare=False)
    """For each address of an unwound copy, bytes from the stack pointer up to the one in its frame."""


class _Copy(NamedTuple):
    """Hold the stack copy as the unwinder takes it."""

    memory: bytes  # from the stack pointer upwards
    missing: tuple[range, ...]  # offsets of pages that were not in memory
    page_size: int

    @classmethod
    def of(cls, stack: Stack, stack_pointer: int, page_size: int) -> _Copy:
        """Return the stack copy, empty unless it starts at the stack pointer, as httprec's do.

        Pages that were not in memory are filled with ones: as zeros they could pass for the end of the stack. Bits
        of `missing_pages` beyond the copy stand for pages that could not be read either.
        """
        size = page_size or PAGE
        if stack.memory_address != stack_pointer:
            return cls(b"", (), size)
        memory, before, missing = bytearray(stack.memory), stack.memory_address % size, []
        for page in range(stack.missing_pages.bit_length()):
            start, end = max(page * size - before, 0), min((page + 1) * size - before, len(memory))
            if stack.missing_pages >> page & 1 and start < end:
                memory[start:end] = b"\xff" * (end - start)
                missing.append(range(start, end))
        return cls(bytes(memory), tuple(missing), size)


def walk(meta: Meta, stack: Stack, readings: Readings) -> tuple[Walk, Place | None]:
    """Return the walk of a stack, and the maps that its addresses are in, None if there are none."""
    if stack.end:
        return _as_walked(stack, readings)
    if not stack.registers:
        recorded_so = not meta.limits.get("stack_pages")
        return _by_frame_pointers(stack, readings, Incomplete.AS_RECORDED if recorded_so else Incomplete.NO_COPY)
    architecture = ARCHITECTURES.get(meta.arch)
    registers = architecture.recorded_registers(stack.registers) if architecture else None
    if architecture is None or registers is None:
        return _by_frame_pointers(stack, readings, Incomplete.OTHER_PROCESSOR)
    if not stack.memory:
        chain = _chain_in_copy(stack, registers, architecture)
        return _by_frame_pointers(stack, readings, Incomplete.UNREADABLE, chain)
    return _from_copy(meta, stack, registers, architecture, readings)


def _from_copy(
    meta: Meta, stack: Stack, registers: Registers, architecture: Architecture, readings: Readings
) -> tuple[Walk, Place | None]:
    """Unwind a stack copy by the maps of its moment."""
    chain = _chain_in_copy(stack, registers, architecture)
    stack_pointer = registers[architecture.stack_pointer] or 0
    around = readings.around(stack.taken_ns)
    snapshots = around.of_stack(stack_pointer, leaf=chain[0])
    if snapshots:
        return _unwound(stack, registers, _Copy.of(stack, stack_pointer, meta.page_size), snapshots)
    if around.distinct:
        return _chain(chain[:1], None, Incomplete.STACK_NOT_IN_MAPS), None
    return _chain(_frames(stack) or chain, None, Incomplete.NO_MAPS), None


def _unwound(stack: Stack, registers: Registers, copy: _Copy, snapshots: Sequence[Snapshot]) -> tuple[Walk, Place]:
    """Unwind the copy by those of the maps that let the walk go furthest."""
    best: tuple[StackWalk, Snapshot] | None = None
    for one in snapshots:
        found = one.unwinder.unwind(registers, copy.memory, copy.missing)
        if best is None or found.complete or len(found.addresses) > len(best[0].addresses):
            best = found, one
        if found.complete:
            break
    assert best is not None
    found, one = best
    incomplete = Incomplete.of(found.end)
    if found.needed is not None and found.end in (End.STACK_ENDED, End.FRAME_POINTER_OUTSIDE):
        incomplete = _why_not_copied(stack, found.needed, one.maps, copy.page_size)
        if incomplete is Incomplete.OTHER_STACK and found.end is End.FRAME_POINTER_OUTSIDE:
            incomplete = Incomplete.NO_CFI
    copied = len(stack.memory) if incomplete is Incomplete.STACK_ENDED else 0
    frames = found.addresses, found.inside, found.found
    return Walk(*frames, incomplete, copied, depths=found.depths), _place(one, snapshots)


def _why_not_copied(stack: Stack, needed: int, maps: Maps, page_size: int) -> Incomplete:
    """Return why an address is not in a stack copy, which the walk needs."""
    start = stack.memory_address
    mapping = maps.find(start)
    if needed < start or (mapping is not None and needed >= mapping.end):
        return Incomplete.OTHER_STACK
    page = (needed - start + start % page_size) // page_size
    if page < MAX_PAGES and stack.missing_pages >> page & 1:
        return Incomplete.PAGE_MISSING
    return Incomplete.TOO_FAR if page >= MAX_MEMORY // page_size else Incomplete.STACK_ENDED


def _place(maps: Snapshot, snapshots: Sequence[Snapshot]) -> Place:
    return Place(maps, next((one for one in snapshots if one is not maps), None))


def _by_frame_pointers(
    stack: Stack, readings: Readings, reason: Incomplete, in_copy: Sequence[int] = ()
) -> tuple[Walk, Place | None]:
    """Follow the recorded chain of frame pointers, else that in the stack copy, which httprec does not walk.

    Of the maps around its moment, it is in those in which the chain gets furthest.
    """
    addresses = _frames(stack) or in_copy
    snapshots = readings.around(stack.taken_ns).of_leaf(addresses[0] if addresses else 0)
    best = max(snapshots, key=lambda one: _code_frames(addresses[:MAX_FRAMES], one.maps), default=None)
    if best is None:
        return _chain(addresses, None, reason), None
    if reason is Incomplete.NO_COPY and best.of_32_bit:
        reason = Incomplete.PROCESS_OF_32_BIT
    return _chain(addresses, best, reason), _place(best, snapshots)


def _chain(addresses: Sequence[int], where: Snapshot | None, reason: Incomplete | None) -> Walk:
    """Follow a chain of frame pointers up to a return address of 0 or to the first address that is not code.

    The address that is not code is the last frame, since nothing after it is a chain. Both recursion and a chain that
    leads in a circle repeat addresses; the addresses alone do not tell them apart.
    """
    chain = addresses[: addresses.index(0)] if 0 in addresses else addresses
    kept = tuple(chain[:MAX_FRAMES])
    code = len(kept) if where is None else _code_frames(kept, where.maps)
    left_out = len(chain) - len(kept) if code == len(kept) else 0
    kept = kept[: code + 1]
    repeats = _repeated(kept) if len(kept) >= MAX_RECORDED else 0
    return Walk(kept, _called_from(kept), incomplete=reason, left_out=left_out, repeats=repeats)


def _code_frames(addresses: Sequence[int], maps: Maps) -> int:
    """Return how many addresses, from the leaf on, are code."""
    inside_addresses = enumerate(_called_from(addresses))
    return next((number for number, address in inside_addresses if not maps.has_code(address)), len(addresses))


def _repeated(addresses: tuple[int, ...]) -> int:
    """Return the length of the shortest sequence of last addresses that equals the sequence before it, else 0."""
    lengths = range(1, len(addresses) // 2 + 1)
    return next((length for length in lengths if addresses[-length:] == addresses[-2 * length : -length]), 0)


def _as_walked(stack: Stack, readings: Readings) -> tuple[Walk, Place | None]:
    addresses = _frames(stack)
    kept, found = tuple(addresses[:MAX_FRAMES]), _found(stack.found[:MAX_FRAMES])
    maps = readings.numbered(stack.maps)
    where = Place(maps, readings.numbered(stack.other_maps)) if maps else None
    if not found or len(found) != len(kept):
        return replace(_chain(addresses, maps, incomplete_of(stack.end)), copied=stack.copied), where
    left_out = len(addresses) - len(kept)
    return Walk(kept, inside(kept, found), found, incomplete_of(stack.end), stack.copied, left_out), where


def _found(numbers: bytes) -> tuple[Found, ...]:
    """Return how frames were found, nothing if one of the numbers is unknown."""
    try:
        return tuple(map(Found, numbers))
    except ValueError:
        return ()


def incomplete_of(end: str) -> Incomplete | None:
    """Return the reason that `Stack.end` names, None for a whole stack."""
    return None if end == UNWOUND_WHOLE else Incomplete.__members__.get(end.upper(), Incomplete.UNKNOWN)


def _frames(stack: Stack) -> list[int]:
    """Return the addresses that were recorded by frame pointer."""
    addresses: list[int] = np.frombuffer(stack.frames, "<u8", len(stack.frames) // 8).tolist()
    return addresses


def _chain_in_copy(stack: Stack, registers: Registers, architecture: Architecture) -> list[int]:
    """Return the addresses that lead through a stack copy by frame pointer, as far as the frames rise."""
    addresses = [registers[architecture.instruction_pointer] or 0]
    frame, lowest = registers[architecture.frame_pointer] or 0, stack.memory_address
    while frame >= lowest and len(addresses) <= MAX_FRAMES:
        offset = frame - stack.memory_address
        if offset + _FRAME.size > len(stack.memory):
            break
        lowest = frame + _FRAME.size
        frame, address = _FRAME.unpack_from(stack.memory, offset)
        addresses.append(address)
    return addresses


def _called_from(addresses: Sequence[int]) -> tuple[int, ...]:
    """Return `Walk.inside` for frames by frame pointers: all but the first are return addresses."""
    return (*addresses[:1], *(address - 1 for address in addresses[1:]))
