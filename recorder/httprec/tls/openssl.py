"""Find where OpenSSL 1.1.1 and 3 have the plaintext of messages: `ssl3_write` and `ssl3_read`, to which all functions
of its interface lead. The file is untrusted: every read is bounded, and code that is not as expected is refused.

Where a file has no symbols of theirs, TLS_method leads to them: it returns the address of a struct ssl_method_st
(ssl/ssl_local.h) with the addresses of both. A probe is only ever put on an instruction that Linux emulates.

    ssl3_write(ssl, buffer, size, &written)    probed before it changes the registers of its arguments
    ssl3_read(ssl, buffer, room, &received)
        result = ssl->method->ssl_read_bytes(ssl, 23, NULL, buffer, room, peek, &received);
        if (result == -1 && ...)               probed at the branch, with the result in eax

At the branch, the three arguments that matter are still in the registers from which they were given to ssl_read_bytes:
those that every function leaves as they were (System V ABI, AMD64, 3.2.1).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from ..elf_identity import read_at
from ..languages.elf_symbols import Symbol, find_symbols
from .elf_addresses import Addresses, read_addresses
from .x86_code import MAX_CODE, Instruction, instructions

_METHOD, _READ, _WRITE = "TLS_method", "ssl3_read", "ssl3_write"
_SINCE_111, _SINCE_32 = "SSL_read_ex", "SSL_new_stream"
_SYMBOLS = (_METHOD, _READ, _WRITE, _SINCE_111, _SINCE_32)
_SLOTS, _SLOTS_SINCE_32 = (0x38, 0x48), (0x50, 0x60)  # of ssl_read and ssl_write in struct ssl_method_st
_RETURNS_ADDRESS = re.compile(
    rb"(?:\xf3\x0f\x1e\xfa)?(?:\x48\x8d\x05(?P<relative>.{4})|\xb8(?P<absolute>.{4}))\xc3", re.DOTALL
)
_MAX_STEPS = 64  # instructions of a function that are looked at
_MAX_JUMPS = 2  # from a function to another that does its work
_DATA_TYPE = b"\xbe\x17\x00\x00\x00"  # mov $23,%esi: the type of records with data
_COMPARES_MINUS_1 = b"\x83\xf8\xff"  # cmp $-1,%eax
_HARMLESS = (b"\xf3\x0f\x1e\xfa", b"\x48\x85\xff")  # endbr64, test %rdi,%rdi
_FIRST, _FOURTH, _SEVENTH = 7, 1, -1  # arguments: in rdi, in rcx, on the stack
_SAVED = {3, 5, 12, 13, 14, 15}  # rbx, rbp, r12 to r15
_SCRATCH = {0, 1, 2, 6, 7}  # rax, rcx, rdx, rsi, rdi


class Registers(NamedTuple):
    """Hold the numbers of the registers with the session, the buffer, and the address of the number of bytes."""

    session: int
    buffer: int
    received: int


class Places(NamedTuple):
    """Hold the offsets in the file at which to probe, and in which registers what has been read is."""

    write: int
    read_end: int
    registers: Registers


class UnknownCodeError(Exception):
    """Say why the plaintext cannot be read."""


def find_places(fd: int) -> Places:
    """Return where to probe in an open ELF file. Raises UnknownCodeError, with the reason, or OSError."""
    found = find_symbols(fd, _SYMBOLS, static=True)
    addresses = read_addresses(fd)
    if found is None or addresses is None:
        raise UnknownCodeError("is no 64-bit ELF file of this processor")
    symbols = found.named
    if _SINCE_111 not in symbols:
        raise UnknownCodeError("has no symbols of OpenSSL 1.1.1 or later")
    read, write = _functions(fd, addresses, symbols)
    written = _first_emulated(_code(fd, addresses, write))
    _check_write(_code(fd, addresses, write))
    end, registers = _read_end(_code(fd, addresses, read))
    return Places(_offset(addresses, written.address), _offset(addresses, end.address), registers)


def _offset(addresses: Addresses, address: int) -> int:
    offset = addresses.code_offset(address)
    if offset is None:
        raise UnknownCodeError("has addresses outside of its code")
    return offset


def _functions(fd: int, addresses: Addresses, symbols: Mapping[str, Symbol]) -> tuple[int, int]:
    """Return the addresses of ssl3_read and ssl3_write."""
    if _READ in symbols and _WRITE in symbols:
        return symbols[_READ].address, symbols[_WRITE].address
    if _METHOD not in symbols:
        raise UnknownCodeError("has no symbol TLS_method")
    at = symbols[_METHOD].address
    match = _RETURNS_ADDRESS.match(read_at(fd, 16, _offset(addresses, at)))
    if not match:
        raise UnknownCodeError("has code in TLS_method that is not known")
    if match["relative"] is not None:
        method = at + match.end("relative") + int.from_bytes(match["relative"], "little", signed=True)
    else:
        method = int.from_bytes(match["absolute"], "little")
    slots = _SLOTS_SINCE_32 if _SINCE_32 in symbols else _SLOTS
    read, write = (addresses.pointer(fd, method + slot) for slot in slots)
    if read is None or write is None:
        raise UnknownCodeError("has no table of functions behind TLS_method")
    return read, write


def _code(fd: int, addresses: Addresses, address: int) -> Iterator[Instruction]:
    """Yield instructions from an address on, also behind jumps that no condition decides."""
    steps = 0
    for _ in range(_MAX_JUMPS + 1):
        last = None
        for last in instructions(read_at(fd, MAX_CODE, _offset(addresses, address)), address):
            yield last
            steps += 1
            if steps == _MAX_STEPS:
                return
        target = last.jumps_to if last else None
        if target is None:
            return
        address = target


def _first_emulated(steps: Iterator[Instruction]) -> Instruction:
    """Return the first instruction that is emulated, before which arguments stay where they are, and the stack too."""
    for step in steps:
        if step.is_emulated and not step.is_call:
            return step
        if step.code not in _HARMLESS:
            break
    raise UnknownCodeError("has code at the beginning of its functions that is not known")


def _check_write(steps: Iterator[Instruction]) -> None:
    if not any(step.code == _DATA_TYPE for step in steps):
        raise UnknownCodeError("has code in ssl3_write that is not known")


def _read_end(steps: Iterator[Instruction]) -> tuple[Instruction, Registers]:
    """Return the branch behind the call of ssl_read_bytes, and where its arguments were. Its seventh argument, which
    older versions and LibreSSL do not have, is pushed after errno was set to 0."""
    has_called = has_type = False
    given: dict[int, int] = {}  # by the place of an argument: the register from which it was given
    for step in steps:
        has_called |= step.is_call
        has_type |= step.code == _DATA_TYPE
        given = {place: register for place, register in given.items() if register != step.changes}
        if has_called and step.is_push:
            given[_SEVENTH] = step.pushes
        moved = step.moves
        if moved:
            given[moved[1]] = moved[0]
        if step.is_indirect_call:
            break
    registers = Registers(*(given.get(place, 0) for place in (_FIRST, _FOURTH, _SEVENTH)))
    if not has_type or not set(registers) <= _SAVED:
        raise UnknownCodeError("has code in ssl3_read that is not known")
    compared = False
    for step in steps:
        if compared and step.is_branch:
            return step, registers
        if compared or not (step.code == _COMPARES_MINUS_1 or step.changes in _SCRATCH):
            break
        compared = step.code == _COMPARES_MINUS_1
    raise UnknownCodeError("has code in ssl3_read that is not known")


def is_openssl(path: bytes) -> bool:
    """Return whether the name of a file is that of OpenSSL's library for TLS."""
    return re.match(rb"libssl[-.]", os.path.basename(path)) is not None
