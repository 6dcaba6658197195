"""Identify an ELF file by its build ID, or by its size and the hash of its first page."""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Iterator
from typing import NamedTuple

from httpcapture.elf_notes import build_ids

_PAGE = 4096
_MAX_NOTES = 64 << 10  # bytes of one PT_NOTE segment
_MAX_SEGMENTS = 256
_PT_NOTE = 4


class Identity(NamedTuple):
    """Identify a file. If it has no build ID, `build_id` is empty and `problem` says why."""

    build_id: bytes
    size: int
    first_page_sha256: bytes
    machine: int  # e_machine
    problem: str


def read_at(fd: int, size: int, offset: int) -> bytes:
    """Return at most `size` bytes, or b"" if the offset, which is untrusted, is out of range. Raises OSError."""
    return os.pread(fd, size, offset) if offset < 1 << 62 else b""


def _note_segments(fd: int, head: bytes) -> Iterator[bytes]:
    """Yield the PT_NOTE segments of a 64-bit little-endian file (ELF-64 object file format, "Program header")."""
    (table,) = struct.unpack_from("<Q", head, 32)
    entry_size, count = struct.unpack_from("<HH", head, 54)
    for index in range(min(count, _MAX_SEGMENTS)):
        header = read_at(fd, 56, table + index * entry_size)
        if len(header) < 56:
            return
        kind, _, offset, _, _, size = struct.unpack_from("<IIQQQQ", header)
        if kind == _PT_NOTE:
            yield read_at(fd, min(size, _MAX_NOTES), offset)


def identify(fd: int) -> Identity:
    """Return the identity of an open regular file. Raises OSError if it cannot be read."""
    size = os.fstat(fd).st_size
    page = os.pread(fd, _PAGE, 0)
    found, machine, problem = b"", 0, ""
    if page[:6] != b"\x7fELF\x02\x01" or len(page) < 64:
        problem = "not a 64-bit little-endian ELF file"
    else:
        found = build_ids(_note_segments(fd, page)).identity
        (machine,) = struct.unpack_from("<H", page, 18)
        problem = "" if found else "has no build ID"
    return Identity(found, size, hashlib.sha256(page).digest(), machine, problem)
