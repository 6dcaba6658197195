"""Find where GnuTLS 3.6.3 and later have the plaintext of messages.

    gnutls_record_send2(session, data, size, pad, flags)     probed before it changes the registers of its arguments
    gnutls_record_recv_seq(session, data, size, sequence)    jumps to the function that every receive leads to
        _gnutls_recv_int(session, 23, data, size, sequence, ms)
            get_data_from_buffers(session, 23, data, size, sequence)
                _gnutls_record_buffer_get(23, session, data, size, sequence)
                    memcpy(data, decrypted, size)             probed at the call, with its arguments in rdi, rsi and rdx

Only the first two functions have symbols. What they lead to is known by its arguments: the function with a fifth one,
`sequence`, or the one that it calls first, copies to `data`, its third argument. A compiler may have put functions
together. At the call, the address of the session, or one inside of it, is in a register that every function leaves as
it was, because what was copied is then removed from a list there.

Source: lib/record.c and lib/buffers.c of GnuTLS 3.7 and 3.8.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import NamedTuple, Optional

from .places import COPY, Places, Registers
from .probed_code import DATA_TYPE, SAVED, LibraryCode, UnknownCodeError, first_emulated
from .x86_code import Instruction

_WRITE, _READ = _SYMBOLS = ("gnutls_record_send2", "gnutls_record_recv_seq")
_FIRST, _SECOND, _THIRD, _FIFTH = 7, 6, 2, 8  # arguments: in rdi, rsi, rdx and r8
_MAX_BLOCKS = 64  # places of a function to which branches lead
_MAX_EXCESS = 255  # words of 8 bytes


class _Argument(NamedTuple):
    """Say which argument a register has, by the register in which it was given, and by how many bytes it exceeds it."""

    number: int
    excess: int


def is_gnutls(path: bytes) -> bool:
    """Return whether the name of a file is that of GnuTLS's library."""
    return os.path.basename(path).startswith(b"libgnutls.")


def find_places(fd: int) -> Places:
    """Return where to probe in an open ELF file. Raises UnknownCodeError, with the reason, or OSError."""
    code = LibraryCode.of(fd, _SYMBOLS)
    if not all(symbol in code.symbols for symbol in _SYMBOLS):
        raise UnknownCodeError("has no symbols of GnuTLS 3.6.3 or later")
    written = first_emulated(code.steps(code.symbols[_WRITE].address))
    call, registers = _copy(code, _receive(code))
    return Places(code.offset(written.address), code.offset(call.address), COPY, registers)


def _receive(code: LibraryCode) -> int:
    """Return the address of the function that receives data of whatever type."""
    has_type = False
    for step in code.straight(code.symbols[_READ].address):
        has_type |= step.code == DATA_TYPE
        if has_type and step.jumps_to is not None:
            return step.jumps_to
    raise UnknownCodeError(f"has code in {_READ} that is not known")


def _copy(code: LibraryCode, receive: int) -> tuple[Instruction, Registers]:
    """Return the call that copies what was received, and where the session is then."""
    for function in _with_fifth_argument(code, receive):
        inner = next((step.leads_to for step in code.steps(function) if step.is_call), None)
        for address in (function, inner):
            found = None if address is None else _copying_call(code.steps(address))
            if found:
                return found
    raise UnknownCodeError("has code that receives which is not known")


def _with_fifth_argument(code: LibraryCode, function: int) -> Iterator[int]:
    """Yield the functions that a function calls with a fifth argument from a register, whichever way it takes."""
    ways, seen = [function], set[int]()
    while ways and len(seen) < _MAX_BLOCKS:
        way = ways.pop(0)
        if way in seen:
            continue
        seen.add(way)
        has_fifth = False
        for step in code.straight(way):
            target = step.leads_to
            if target is not None and has_fifth and not step.is_branch:
                yield target
            elif target is not None and not step.is_call:
                ways.append(target)
            if step.is_call or step.changes == _FIFTH:
                has_fifth = step.moves is not None


def _copying_call(steps: Iterator[Instruction]) -> tuple[Instruction, Registers] | None:
    """Return the first call of a function that copies to its third argument, and where its second one is then, the
    session; None if there is none."""
    held = {_SECOND: _Argument(_SECOND, 0), _THIRD: _Argument(_THIRD, 0)}  # by register
    given = set[Optional[int]]()  # registers that were set since the last call
    for step in steps:
        if step.is_call:
            sessions = list(_sessions(held))
            if held.get(_FIRST) == _Argument(_THIRD, 0) and {_SECOND, _THIRD} <= given and sessions:
                return step, min(sessions, key=lambda found: found.excess)
            given.clear()
        given.add(step.changes)
        held = _held_after(held, step)
    return None


def _held_after(held: Mapping[int, _Argument], step: Instruction) -> dict[int, _Argument]:
    """Return which registers have something of arguments after an instruction."""
    if step.is_call:
        return {register: argument for register, argument in held.items() if register in SAVED}
    after = {register: argument for register, argument in held.items() if register != step.changes}
    moved = (*step.moves, 0) if step.moves else step.adds
    if moved and moved[0] in held:
        source, target, added = moved
        after[target] = held[source]._replace(excess=held[source].excess + added)
    return after


def _sessions(held: Mapping[int, _Argument]) -> Iterator[Registers]:
    """Yield the registers that have the second argument, or an address inside of it, and will keep it."""
    for register, (number, excess) in held.items():
        if number == _SECOND and register in SAVED and excess % 8 == 0 and 0 <= excess // 8 <= _MAX_EXCESS:
            yield Registers(register, excess=excess // 8)
