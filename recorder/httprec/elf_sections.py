"""Find the parts of an ELF file that a capture carries: those that unwinding and naming need. Every read is bounded.

A section is found by its name in the section header table (ELF-64 object file format, "Sections"). The header tables
are carried as sections with names of their own. The reporter interprets the contents; only their position matters here.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from typing import NamedTuple

from httpcapture import PROGRAM_HEADERS, SECTION_HEADERS, carried

from .elf_identity import read_at

_PROGRAM_HEADER_SIZE = 56
_SECTION_HEADER = struct.Struct("<IIQQQQIIQQ")
_MAX_PROGRAM_HEADERS = 256
_MAX_SECTIONS = 4096
_MAX_NAMES = 1 << 20  # bytes of the section name table
_SHT_NOBITS = 8


class Extent(NamedTuple):
    """Say where a part that the capture carries is: its virtual address, and its file offset and size in bytes."""

    name: str
    address: int
    offset: int
    size: int


def carried_extents(fd: int) -> Iterator[Extent]:
    """Yield the tables and sections to carry of an open 64-bit little-endian ELF file; fewer if it is damaged. Raises
    OSError."""
    head = os.pread(fd, 64, 0)
    if head[:6] != b"\x7fELF\x02\x01" or len(head) < 64:
        return
    program_table, section_table = struct.unpack_from("<QQ", head, 32)
    program_size, programs, section_size, sections, names = struct.unpack_from("<HHHHH", head, 54)
    if program_size == _PROGRAM_HEADER_SIZE:
        yield Extent(PROGRAM_HEADERS, 0, program_table, min(programs, _MAX_PROGRAM_HEADERS) * program_size)
    if section_size == _SECTION_HEADER.size and sections:
        size = min(sections, _MAX_SECTIONS) * section_size
        yield Extent(SECTION_HEADERS, 0, section_table, size)
        yield from _sections(fd, read_at(fd, size, section_table), names)


def _sections(fd: int, table: bytes, names: int) -> Iterator[Extent]:
    headers = list(_SECTION_HEADER.iter_unpack(table[: len(table) // _SECTION_HEADER.size * _SECTION_HEADER.size]))
    if names >= len(headers):
        return
    strings = read_at(fd, min(headers[names][5], _MAX_NAMES), headers[names][4])
    extents: dict[str, list[Extent]] = {}
    for name, kind, _, address, offset, size, *_ in headers:
        text = strings[name : strings.find(b"\0", name)].decode("ascii", "replace")
        if kind != _SHT_NOBITS:
            extents.setdefault(text, []).append(Extent(text, address, offset, size))
    for text in carried(extents):
        yield from extents[text]
