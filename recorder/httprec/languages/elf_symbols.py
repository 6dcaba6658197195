"""Find a few symbols of an ELF file by name. The file is untrusted: every read is bounded.

Source: ELF-64 object file format, "Sections" and "Symbol Table".
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import NamedTuple, Optional

from ..elf_identity import read_at
from .mapped_files import MappedFile

_PROGRAM_HEADER = struct.Struct("<IIQQQQQQ")
_SECTION_HEADER = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_MAX_HEADERS = 4096
_MAX_TABLE = 16 << 20  # bytes of a symbol table, and of its names
_PT_LOAD, _PF_X = 1, 1
_SHT_SYMTAB, _SHT_DYNSYM = 2, 11


class Symbol(NamedTuple):
    """Say where a symbol is in its module, in bytes, without load bias."""

    address: int
    size: int


class Symbols(NamedTuple):
    """Hold the symbols that were found, and by how much the addresses of code exceed its offsets in the file."""

    named: Mapping[str, Symbol]
    code_shift: int


class KnownSymbols:
    """Find the `wanted` symbols of files that have the symbol `key`. A file is read once. Among the files of a process,
    its executable and those that are `named` so may have it."""

    _MAX = 4096

    def __init__(self, wanted: Collection[str], key: str, named: re.Pattern[bytes]) -> None:
        self._wanted, self._key, self._named = wanted, key, named
        self._known: dict[tuple[int, ...], Optional[Symbols]] = {}  # by identity of the file

    def among(self, files: Iterable[MappedFile], executable: bytes) -> tuple[MappedFile, Symbols] | None:
        """Return the first of the files that a process has mapped which has `key`, and its symbols, None if none has.
        Raises OSError if the process ends."""
        for file in files:
            if file.path == executable or self._named.search(os.path.basename(file.path)):
                symbols = self.of(file.link)
                if symbols is not None:
                    return file, symbols
        return None

    def of(self, link: str) -> Symbols | None:
        """Return the symbols of the file at a path, None if it does not have `key`. Raises OSError."""
        fd = os.open(link, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            status = os.fstat(fd)
            identity = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
            if identity not in self._known:
                if len(self._known) >= self._MAX:
                    self._known.clear()
                found = find_symbols(fd, self._wanted)
                self._known[identity] = found if found and self._key in found.named else None
            return self._known[identity]
        finally:
            os.close(fd)


def find_symbols(fd: int, wanted: Collection[str], *, static: bool = False) -> Symbols | None:
    """Return the `wanted` dynamic symbols, and, if asked for, the `static` ones, of an open 64-bit little-endian ELF
    file, None for any other file. Raises OSError."""
    head = os.pread(fd, 64, 0)
    if head[:6] != b"\x7fELF\x02\x01" or len(head) < 64:
        return None
    programs, headers = struct.unpack_from("<QQ", head, 32)
    _, program_count, _, section_count = struct.unpack_from("<HHHH", head, 54)
    shift = _code_shift(read_at(fd, min(program_count, _MAX_HEADERS) * _PROGRAM_HEADER.size, programs))
    table = read_at(fd, min(section_count, _MAX_HEADERS) * _SECTION_HEADER.size, headers)
    parsed = [_SECTION_HEADER.unpack_from(table, at) for at in range(0, len(table) - 63, _SECTION_HEADER.size)]
    if shift is None:
        return None
    found = dict[str, Symbol]()
    for section in parsed:
        kind, link = section[1], section[6]
        if (kind == _SHT_DYNSYM or (static and kind == _SHT_SYMTAB)) and link < len(parsed):
            found.update(_named(_content(fd, section), _content(fd, parsed[link]), wanted))
    return Symbols(found, shift)


def _content(fd: int, section: tuple[int, ...]) -> bytes:
    return read_at(fd, min(section[5], _MAX_TABLE), section[4])


def _code_shift(table: bytes) -> int | None:
    for at in range(0, len(table) - _PROGRAM_HEADER.size + 1, _PROGRAM_HEADER.size):
        kind, flags, offset, address, *_ = _PROGRAM_HEADER.unpack_from(table, at)
        if kind == _PT_LOAD and flags & _PF_X:
            return int(address - offset)
    return None


def _named(table: bytes, names: bytes, wanted: Collection[str]) -> Iterator[tuple[str, Symbol]]:
    """Yield the defined symbols with these names. A name can be the end of another one in the table of names."""
    places = {place: name for name in wanted for place in _places(names, name.encode() + b"\0")}
    if not places:
        return
    for place, _, _, section, address, size in _SYMBOL.iter_unpack(table[: len(table) // _SYMBOL.size * _SYMBOL.size]):
        if place in places and section:
            yield places[place], Symbol(address, size)


def _places(text: bytes, wanted: bytes) -> Iterator[int]:
    place = text.find(wanted)
    while place >= 0:
        yield place
        place = text.find(wanted, place + 1)
