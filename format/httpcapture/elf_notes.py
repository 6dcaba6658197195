"""Find the build ID of an ELF file in its notes. Recorder and reporter share this code, so that they find the same ID.

Format: System V gABI, chapter 5, "Note Section". The notes are untrusted input.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import NamedTuple, Union

Buffer = Union[bytes, memoryview]

MAX_BUILD_ID = 256  # bytes; a longer one is none
_HEADER = struct.Struct("<III")  # bytes of the name, bytes of the content, type
_LONGEST_NAME = 8  # bytes of a name that are compared
_GNU = (b"GNU\0", 3)  # NT_GNU_BUILD_ID
_GO = (b"Go\0\0", 4)


class BuildIds(NamedTuple):
    """Hold the build IDs of one file; empty if it has none. The file's identity is the ID of the GNU note, else
    Go's."""

    gnu: bytes = b""
    go: bytes = b""

    @property
    def identity(self) -> bytes:
        return self.gnu or self.go


def build_ids(areas: Iterable[Buffer]) -> BuildIds:
    """Return the first build ID of each kind in these areas of notes."""
    found = {_GNU: b"", _GO: b""}
    for area in areas:
        for owner, content in _notes(area):
            if owner in found:
                found[owner] = found[owner] or content
    return BuildIds(found[_GNU], found[_GO])


def _notes(area: Buffer) -> Iterator[tuple[tuple[bytes, int], bytes]]:
    """Yield the name, type and content of each whole note; the content is empty if it is longer than a build ID may
    be."""
    at = 0
    while at + _HEADER.size <= len(area):
        name_size, size, kind = _HEADER.unpack_from(area, at)
        name_at = at + _HEADER.size
        begin = name_at + _aligned(name_size)
        if begin + size > len(area):
            return
        name = bytes(area[name_at : name_at + min(name_size, _LONGEST_NAME)])
        yield (name, kind), bytes(area[begin : begin + size]) if size <= MAX_BUILD_ID else b""
        at = begin + _aligned(size)


def _aligned(size: int) -> int:
    return (size + 3) & ~3
