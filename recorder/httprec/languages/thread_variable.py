"""Find the thread-local variable that a function returns, by the instructions of the function.

Sources: "ELF Handling For Thread-Local Storage" (Drepper), the models of x86-64; glibc, sysdeps/x86_64/nptl/tls.h: the
vector of a thread's blocks is at 8 bytes from the thread pointer, and has 16 bytes for each module.
"""

from __future__ import annotations

import re
import struct
from typing import Protocol

_MOST = 64  # bytes of such a function

_BEGIN = rb"(?:\xf3\x0f\x1e\xfa)?(?:\x55\x48\x89\xe5|\x48\x83\xec\x08)?"  # endbr64; enter, or sub $8,%rsp
_OF_EXECUTABLE = re.compile(_BEGIN + rb"\x64\x48\x8b\x04\x25(.{4})", re.DOTALL)  # mov %fs:OFFSET,%rax
_OF_LIBRARY = re.compile(  # mov ENTRY(%rip),%rax; mov %fs:(%rax),%rax
    _BEGIN + rb"\x48\x8b\x05(.{4})\x64\x48\x8b\x00", re.DOTALL
)
_OF_LOADED = re.compile(  # lea ENTRY(%rip),%rdi; call __tls_get_addr; pop %rbp or add $8,%rsp; mov OFFSET(%rax),%rax
    _BEGIN
    + rb"(?:\x66)?\x48\x8d\x3d(.{4})(?:\x66\x66\x48)?(?:\xe8|\xff\x15).{4}(?:\x5d|\x48\x83\xc4\x08)?"
    + rb"\x48\x8b(?:\x80(.{4})|\x40(.)|\x00)",
    re.DOTALL,
)

_VECTOR, _VECTOR_ENTRY = 8, 16
_MOST_MODULES, _LARGEST_BLOCK = 1 << 16, 1 << 32


class NoVariableError(Exception):
    """Report that the function is not known to return a thread-local variable."""


class Reads(Protocol):
    """Define how the memory of a process is read. Raises OSError."""

    def read(self, address: int, size: int) -> bytes:
        """Return `size` bytes."""


def variable_of(memory: Reads, function: int) -> tuple[int, ...]:
    """Return the steps from the thread pointer to the value that the function at an address returns: each is added, and
    an address is read there. Raises NoVariableError and OSError."""
    code = memory.read(function, _MOST)
    if found := _OF_EXECUTABLE.match(code):
        return (_signed(found[1]),)
    if found := _OF_LIBRARY.match(code):
        entry = function + found.end(1) + _signed(found[1])
        return (_signed(memory.read(entry, 8)),)
    if found := _OF_LOADED.match(code):
        entry = function + found.end(1) + _signed(found[1])
        module, offset = struct.unpack("<Qq", memory.read(entry, 16))
        if module < _MOST_MODULES and abs(offset) < _LARGEST_BLOCK:
            return _VECTOR, _VECTOR_ENTRY * module, offset + _signed(found[2] or found[3] or b"\0")
    raise NoVariableError


def _signed(number: bytes) -> int:
    return int.from_bytes(number, "little", signed=True)
