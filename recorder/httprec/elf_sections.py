"""What the capture carries of an ELF file: what unwinding and naming need, copied raw, every read bounded.

A section is found by its name in the section header table (ELF-64 object file format, "Sections"). Tables go along as
sections with names of their own. Whoever reads the capture interprets them; here only their place matters.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from typing import NamedTuple

from httpcapture import CARRIED, PROGRAM_HEADERS, SECTION_HEADERS

from .elf_identity import read_at

_PROGRAM_HEADER_SIZE = 56
_SECTION_HEADER = struct.Struct("<IIQQQQIIQQ")
_MAX_PROGRAM_HEADERS = 256
_MAX_SECTIONS = 4096
_MAX_NAMES = 1 << 20  # bytes of the section name table
_SHT_NOBITS = 8


class Place(NamedTuple):
    """Where something that the capture carries is: virtual address, and file offset and size in bytes."""

    name: str
    address: int
    offset: int
    size: int


def places(fd: int) -> Iterator[Place]:
    """The tables and sections of an open 64-bit little-endian ELF file. Raises OSError; a damaged file gives less."""
    head = os.pread(fd, 64, 0)
    if head[:6] != b"\x7fELF\x02\x01" or len(head) < 64:
        return
    program_table, section_table = struct.unpack_from("<QQ", head, 32)
    program_size, programs, section_size, sections, names = struct.unpack_from("<HHHHH", head, 54)
    if program_size == _PROGRAM_HEADER_SIZE:
        yield Place(PROGRAM_HEADERS, 0, program_table, min(programs, _MAX_PROGRAM_HEADERS) * program_size)
    if section_size == _SECTION_HEADER.size and sections:
        size = min(sections, _MAX_SECTIONS) * section_size
        yield Place(SECTION_HEADERS, 0, section_table, size)
        yield from _sections(fd, read_at(fd, size, section_table), names)


def _sections(fd: int, table: bytes, names: int) -> Iterator[Place]:
    headers = list(_SECTION_HEADER.iter_unpack(table[: len(table) // _SECTION_HEADER.size * _SECTION_HEADER.size]))
    if names >= len(headers):
        return
    strings = read_at(fd, min(headers[names][5], _MAX_NAMES), headers[names][4])
    for name, kind, _, address, offset, size, *_ in headers:
        text = strings[name : strings.find(b"\0", name)].decode("ascii", "replace")
        if text in CARRIED and kind != _SHT_NOBITS:
            yield Place(text, address, offset, size)
