"""Turn a recorded stack into the addresses of its frames, and say how they were found.

The stack copy is unwound if there is one; else the addresses count that the recorder found by frame pointers.

A process may have several recorded maps. Only maps that contain the stack pointer are considered: after an exec the
stack is elsewhere. Among these, the walk that gets furthest counts; the nearest maps in time are tried first.

The stacks of a redacted capture were walked when it was written, and hold the result of this walk (`Stack.end`).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from operator import attrgetter
from typing import Callable, Optional

import numpy as np

from httpcapture import UNWOUND_WHOLE, Meta, Stack

from ..languages.stack_trace import Incomplete
from ..unwind import (
    ARCHITECTURES,
    AddressSpace,
    Architecture,
    CallFrameInfo,
    CodeRange,
    Found,
    Registers,
    StackWalk,
    Unwinder,
    inside,
)
from .maps import Mapping, Maps

MAX_FRAMES = 1024
MAX_RECORDED = 127  # frames by frame pointer; the limit of httprec, and a kernel's default

_FRAME = struct.Struct("<QQ")  # the caller's frame pointer, and the address to return to
_NOWHERE = (1 << 64) - 1  # an address that is in no mapping


CallFrames = Callable[[Mapping, Optional[int]], Optional[tuple[int, CallFrameInfo]]]
"""Return load bias and unwind information of a mapping and the id of its module, None if there is none."""


@dataclass(frozen=True, eq=False)
class Snapshot:
    """Hold a process's mappings at one moment, and the ids of the modules that they map, by the mapping's start."""

    architecture: Architecture | None  # None: the processor is not known
    number: int  # which of the process's recorded maps it is, from 1
    maps: Maps
    modules: dict[int, int]
    call_frames: CallFrames

    @cached_property
    def unwinder(self) -> Unwinder:
        """Return the unwinder of stack copies of a known processor. Its first use looks for all modules."""
        assert self.architecture is not None
        space = AddressSpace(map(self._code_range, filter(attrgetter("executable"), self.maps)))
        return Unwinder(space, self.architecture)

    @cached_property
    def of_32_bit(self) -> bool:
        """Return whether nothing is mapped where the stack of a 64-bit process is."""
        ends = [mapping.end for mapping in self.maps]
        return bool(ends) and self.architecture is not None and max(ends) <= self.architecture.end_of_32_bit

    def _code_range(self, mapping: Mapping) -> CodeRange:
        bias, frames = self.call_frames(mapping, self.modules.get(mapping.start)) or (0, None)
        return CodeRange(mapping.start, mapping.end, bias, frames)


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


def walk(meta: Meta, stack: Stack, snapshots: Iterable[Snapshot]) -> tuple[Walk, Snapshot | None]:
    """Return the walk of a stack, and the maps that its addresses are in, None if there are none.

    `snapshots` are the maps of the process, the nearest in time first.
    """
    if stack.end:
        return _as_walked(stack, snapshots)
    if not stack.registers:
        recorded_so = not meta.limits.get("stack_pages")
        return _by_frame_pointers(stack, snapshots, Incomplete.AS_RECORDED if recorded_so else Incomplete.NO_COPY)
    architecture = ARCHITECTURES.get(meta.arch)
    registers = architecture.recorded_registers(stack.registers) if architecture else None
    if architecture is None or registers is None:
        return _by_frame_pointers(stack, snapshots, Incomplete.OTHER_PROCESSOR)
    chain = _chain_in_copy(stack, registers, architecture)
    if not stack.memory:
        return _by_frame_pointers(stack, snapshots, Incomplete.UNREADABLE, chain)
    stack_pointer = registers[architecture.stack_pointer] or 0
    memory = _from_stack_pointer(stack, stack_pointer, meta.page_size)
    unwound = _unwound(stack, registers, memory, _with_stack(snapshots, stack_pointer))
    return unwound or _by_frame_pointers(stack, snapshots, Incomplete.NO_MAPS, chain)


def _unwound(
    stack: Stack, registers: Registers, memory: bytes, snapshots: Iterable[Snapshot]
) -> tuple[Walk, Snapshot] | None:
    """Unwind the copy by the maps that let the walk go furthest. Return None where there are no maps."""
    best: tuple[StackWalk, Snapshot] | None = None
    for one in snapshots:
        found = one.unwinder.unwind(registers, memory)
        if best is None or found.complete or len(found.addresses) > len(best[0].addresses):
            best = found, one
        if found.complete:
            break
    if best is None:
        return None
    found, one = best
    incomplete, count = Incomplete.of(found.end), len(found.addresses)
    if incomplete and incomplete is not Incomplete.STACK_ENDED and stack.missing_pages:
        incomplete, count = Incomplete.PAGE_MISSING, count - (found.addresses[-1] == _NOWHERE)
    copied = len(stack.memory) if incomplete is Incomplete.STACK_ENDED else 0
    some = slice(count)
    frames = found.addresses[some], found.inside[some], found.found[some]
    return Walk(*frames, incomplete, copied, depths=found.depths[some]), one


def _with_stack(snapshots: Iterable[Snapshot], stack_pointer: int) -> Iterable[Snapshot]:
    """Return the maps that contain the stack; all if none do: the thread may be younger than the maps."""
    every = list(snapshots)
    return [one for one in every if one.maps.find(stack_pointer)] or every


def _from_stack_pointer(stack: Stack, stack_pointer: int, page_size: int) -> bytes:
    """Return the stack copy, empty unless it starts at the stack pointer, as httprec's do.

    Pages that were not in memory are filled with _NOWHERE: as zeros they could pass for the end of the stack.
    """
    if stack.memory_address != stack_pointer:
        return b""
    if not stack.missing_pages or not page_size:
        return stack.memory
    memory, before = bytearray(stack.memory), stack.memory_address % page_size
    for page in range(stack.missing_pages.bit_length()):
        if stack.missing_pages >> page & 1:
            start, end = max(page * page_size - before, 0), min((page + 1) * page_size - before, len(memory))
            memory[start:end] = b"\xff" * (end - start)
    return bytes(memory)


def _by_frame_pointers(
    stack: Stack, snapshots: Iterable[Snapshot], reason: Incomplete, in_copy: Sequence[int] = ()
) -> tuple[Walk, Snapshot | None]:
    """Follow the recorded chain of frame pointers, else that in the stack copy, which httprec does not walk.

    The maps are those in which the chain gets furthest, the nearest in time if several are equal. After an exec the
    later maps have none of its addresses; before a dlopen the earlier maps do not have all.
    """
    addresses = _frames(stack) or in_copy
    best = max(snapshots, key=lambda one: _code_frames(addresses[:MAX_FRAMES], one.maps), default=None)
    if reason is Incomplete.NO_COPY and best and best.of_32_bit:
        reason = Incomplete.PROCESS_OF_32_BIT
    return _chain(addresses, best, reason), best


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


def _as_walked(stack: Stack, snapshots: Iterable[Snapshot]) -> tuple[Walk, Snapshot | None]:
    addresses = _frames(stack)
    kept, found = tuple(addresses[:MAX_FRAMES]), _found(stack.found[:MAX_FRAMES])
    where = next((one for one in snapshots if one.number == stack.maps), None)
    if not found or len(found) != len(kept):
        return replace(_chain(addresses, where, incomplete_of(stack.end)), copied=stack.copied), where
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
