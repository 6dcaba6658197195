"""Identify an ELF file by its build ID, or by its size and the hash of its first page."""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Iterator
from typing import NamedTuple

_PAGE = 4096
_MAX_NOTES = 64 << 10  # bytes of one PT_NOTE segment
_MAX_SEGMENTS = 256
_PT_NOTE = 4
_NT_GNU_BUILD_ID = 3
_NT_GO_BUILD_ID = 4
_MAX_BUILD_ID = 256


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


def _notes(segment: bytes) -> Iterator[tuple[bytes, int, bytes]]:
    position = 0
    while position + 12 <= len(segment):
        name_size, size, kind = struct.unpack_from("<III", segment, position)
        start = position + 12 + name_size + (-name_size % 4)
        yield segment[position + 12 : position + 12 + name_size], kind, segment[start : start + size]
        position = start + size + (-size % 4)


def _build_id(fd: int, head: bytes) -> bytes:
    go = b""
    for segment in _note_segments(fd, head):
        for name, kind, content in _notes(segment):
            if (name, kind) == (b"GNU\0", _NT_GNU_BUILD_ID):
                return content[:_MAX_BUILD_ID]
            if (name, kind) == (b"Go\0\0", _NT_GO_BUILD_ID):
                go = content[:_MAX_BUILD_ID]
    return go


def identify(fd: int) -> Identity:
    """Return the identity of an open regular file. Raises OSError if it cannot be read."""
    size = os.fstat(fd).st_size
    page = os.pread(fd, _PAGE, 0)
    build_id, machine, problem = b"", 0, ""
    if page[:6] != b"\x7fELF\x02\x01" or len(page) < 64:
        problem = "not a 64-bit little-endian ELF file"
    else:
        build_id = _build_id(fd, page)
        (machine,) = struct.unpack_from("<H", page, 18)
        problem = "" if build_id else "has no build ID"
    return Identity(build_id, size, hashlib.sha256(page).digest(), machine, problem)
