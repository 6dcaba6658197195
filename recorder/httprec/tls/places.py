"""Define what is found in a TLS library: where it has the plaintext of messages."""

from __future__ import annotations

from typing import NamedTuple

WRITE, READ, COPY = PROGRAMS = ("tls_write_enters", "tls_read_returns", "tls_copy_enters")
"""Names of the programs to attach (tls_plaintext.h)."""


class Registers(NamedTuple):
    """Hold the numbers of the registers with the session, the buffer, and the address of the number of bytes; COPY
    needs only the first. What is there exceeds the address of the session by `excess` words of 8 bytes."""

    session: int
    buffer: int = 0
    received: int = 0
    excess: int = 0


class Places(NamedTuple):
    """Hold the offsets in a file at which to probe, which program to attach where it has read, and in which registers
    it has what it has read there."""

    write: int
    read: int
    reader: str
    registers: Registers
