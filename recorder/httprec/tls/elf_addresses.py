"""Turn addresses of an ELF file into offsets, and read the pointers that it has before it is loaded. The file is
untrusted: every read is bounded.

Source: ELF-64 object file format, "Program Header" and "Relocations"; System V ABI, AMD64, 4.4.
"""

from __future__ import annotations

import os
import struct
from typing import NamedTuple

from ..elf_identity import read_at

_PROGRAM_HEADER = struct.Struct("<IIQQQQQQ")
_SECTION_HEADER = struct.Struct("<IIQQQQIIQQ")
_RELOCATION = struct.Struct("<QQq")
_MAX_HEADERS = 4096
_MAX_RELOCATIONS = 16 << 20  # bytes
_PT_LOAD, _PF_X, _SHT_RELA, _EM_X86_64, _R_X86_64_RELATIVE = 1, 1, 4, 62, 8


class Segment(NamedTuple):
    """Describe a part of a file that is loaded: `size` bytes of it at an offset, and where they are loaded."""

    offset: int
    address: int
    size: int
    is_code: bool


class Addresses(NamedTuple):
    """Hold what is loaded of a file, and where its tables of relocations are: offset and size."""

    segments: tuple[Segment, ...]
    relocations: tuple[tuple[int, int], ...]

    def offset(self, address: int, *, code: bool = False) -> int | None:
        """Return where in the file the byte of an address is, None if it is not in the file."""
        for segment in self.segments:
            if segment.address <= address < segment.address + segment.size and (segment.is_code or not code):
                return address - segment.address + segment.offset
        return None

    def code_offset(self, address: int) -> int | None:
        """Do the same for an address of code."""
        return self.offset(address, code=True)

    def pointer(self, fd: int, address: int) -> int | None:
        """Return the pointer at an address, without load bias, None if it is not known. Raises OSError."""
        wanted = struct.pack("<QQ", address, _R_X86_64_RELATIVE)
        for start, size in self.relocations:
            table = read_at(fd, min(size, _MAX_RELOCATIONS), start)
            place = table.find(wanted)
            while place >= 0 and place % _RELOCATION.size:
                place = table.find(wanted, place + 1)
            if 0 <= place <= len(table) - _RELOCATION.size:
                return int(_RELOCATION.unpack_from(table, place)[2])
        offset = self.offset(address)
        data = b"" if offset is None else read_at(fd, 8, offset)
        return int.from_bytes(data, "little") if len(data) == 8 else None


def read_addresses(fd: int) -> Addresses | None:
    """Return what is loaded of an open ELF file for x86-64, None for any other file. Raises OSError."""
    head = os.pread(fd, 64, 0)
    if head[:6] != b"\x7fELF\x02\x01" or len(head) < 64 or struct.unpack_from("<H", head, 18)[0] != _EM_X86_64:
        return None
    programs, sections = struct.unpack_from("<QQ", head, 32)
    _, program_count, _, section_count = struct.unpack_from("<HHHH", head, 54)
    table = read_at(fd, min(program_count, _MAX_HEADERS) * _PROGRAM_HEADER.size, programs)
    segments = tuple(
        Segment(offset, address, size, bool(flags & _PF_X))
        for kind, flags, offset, address, _, size, _, _ in _whole(_PROGRAM_HEADER, table)
        if kind == _PT_LOAD
    )
    table = read_at(fd, min(section_count, _MAX_HEADERS) * _SECTION_HEADER.size, sections)
    found = (section for section in _whole(_SECTION_HEADER, table) if section[1] == _SHT_RELA)
    return Addresses(segments, tuple((section[4], section[5]) for section in found))


def _whole(entry: struct.Struct, table: bytes) -> list[tuple[int, ...]]:
    return list(entry.iter_unpack(table[: len(table) // entry.size * entry.size]))
