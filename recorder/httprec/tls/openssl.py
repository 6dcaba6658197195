"""Find where OpenSSL 1.1.1 and 3 have the plaintext of messages: `ssl3_write` and `ssl3_read`, to which all functions
of its interface lead.

Where a file has no symbols of theirs, TLS_method leads to them: it returns the address of a struct ssl_method_st
(ssl/ssl_local.h) with the addresses of both.

    ssl3_write(ssl, buffer, size, &written)    probed before it changes the registers of its arguments
    ssl3_read(ssl, buffer, room, &received)
        result = ssl->method->ssl_read_bytes(ssl, 23, NULL, buffer, room, peek, &received);
        if (result == -1 && ...)               probed at the branch, with the result in eax

At the branch, the three arguments that matter are still in the registers from which they were given to ssl_read_bytes:
those that every function leaves as they were.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from ..elf_identity import read_at
from .places import READ, Places, Registers
from .probed_code import DATA_TYPE, SAVED, LibraryCode, UnknownCodeError, first_emulated
from .x86_code import Instruction

_METHOD, _READ, _WRITE = "TLS_method", "ssl3_read", "ssl3_write"
_SINCE_111, _SINCE_32 = "SSL_read_ex", "SSL_new_stream"
_SYMBOLS = (_METHOD, _READ, _WRITE, _SINCE_111, _SINCE_32)
_SLOTS, _SLOTS_SINCE_32 = (0x38, 0x48), (0x50, 0x60)  # of ssl_read and ssl_write in struct ssl_method_st
_RETURNS_ADDRESS = re.compile(
    rb"(?:\xf3\x0f\x1e\xfa)?(?:\x48\x8d\x05(?P<relative>.{4})|\xb8(?P<absolute>.{4}))\xc3", re.DOTALL
)
_COMPARES_MINUS_1 = b"\x83\xf8\xff"  # cmp $-1,%eax
_FIRST, _FOURTH, _SEVENTH = 7, 1, -1  # arguments: in rdi, in rcx, on the stack
_SCRATCH = {0, 1, 2, 6, 7}  # rax, rcx, rdx, rsi, rdi


def find_places(fd: int) -> Places:
    """Return where to probe in an open ELF file. Raises UnknownCodeError, with the reason, or OSError."""
    code = LibraryCode.of(fd, _SYMBOLS)
    if _SINCE_111 not in code.symbols:
        raise UnknownCodeError("has no symbols of OpenSSL 1.1.1 or later")
    read, write = _functions(code)
    written = first_emulated(code.steps(write))
    _check_write(code.steps(write))
    end, registers = _read_end(code.steps(read))
    return Places(code.offset(written.address), code.offset(end.address), READ, registers)


def _functions(code: LibraryCode) -> tuple[int, int]:
    """Return the addresses of ssl3_read and ssl3_write."""
    symbols = code.symbols
    if _READ in symbols and _WRITE in symbols:
        return symbols[_READ].address, symbols[_WRITE].address
    if _METHOD not in symbols:
        raise UnknownCodeError("has no symbol TLS_method")
    at = symbols[_METHOD].address
    match = _RETURNS_ADDRESS.match(read_at(code.fd, 16, code.offset(at)))
    if not match:
        raise UnknownCodeError("has code in TLS_method that is not known")
    if match["relative"] is not None:
        method = at + match.end("relative") + int.from_bytes(match["relative"], "little", signed=True)
    else:
        method = int.from_bytes(match["absolute"], "little")
    slots = _SLOTS_SINCE_32 if _SINCE_32 in symbols else _SLOTS
    read, write = (code.addresses.pointer(code.fd, method + slot) for slot in slots)
    if read is None or write is None:
        raise UnknownCodeError("has no table of functions behind TLS_method")
    return read, write


def _check_write(steps: Iterator[Instruction]) -> None:
    if not any(step.code == DATA_TYPE for step in steps):
        raise UnknownCodeError("has code in ssl3_write that is not known")


def _read_end(steps: Iterator[Instruction]) -> tuple[Instruction, Registers]:
    """Return the branch behind the call of ssl_read_bytes, and where its arguments were. Its seventh argument, which
    older versions and LibreSSL do not have, is pushed after errno was set to 0."""
    has_called = has_type = False
    given: dict[int, int] = {}  # by the place of an argument: the register from which it was given
    for step in steps:
        has_called |= step.is_call
        has_type |= step.code == DATA_TYPE
        given = {place: register for place, register in given.items() if register != step.changes}
        if has_called and step.is_push:
            given[_SEVENTH] = step.pushes
        moved = step.moves
        if moved:
            given[moved[1]] = moved[0]
        if step.is_indirect_call:
            break
    registers = [given.get(place, 0) for place in (_FIRST, _FOURTH, _SEVENTH)]
    if not has_type or not SAVED.issuperset(registers):
        raise UnknownCodeError("has code in ssl3_read that is not known")
    compared = False
    for step in steps:
        if compared and step.is_branch:
            return step, Registers(*registers)
        if compared or not (step.code == _COMPARES_MINUS_1 or step.changes in _SCRATCH):
            break
        compared = step.code == _COMPARES_MINUS_1
    raise UnknownCodeError("has code in ssl3_read that is not known")


def is_openssl(path: bytes) -> bool:
    """Return whether the name of a file is that of OpenSSL's library for TLS."""
    return re.match(rb"libssl[-.]", os.path.basename(path)) is not None
