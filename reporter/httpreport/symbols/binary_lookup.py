"""Look for binaries and debug files of modules. No other file of the reporter does.

A binary is expected at the module's recorded path, below --symfs or below `root`. Its debug file is expected below
usr/lib/debug/.build-id, or where its .gnu_debuglink says. A debuginfod server may have either. A file counts only if
its build ID is the recorded one. Without a recorded build ID, a binary counts if its size, its first page and its
recorded sections are equal, and a debug file if its CRC is the one in .gnu_debuglink. Files of another build are never
used: their names would be wrong.

The paths are untrusted input. Paths with `..` are refused. Only regular files of up to MAX_BYTES are read; they are
checked before they are opened, since opening a device can have effects, and FIFOs are never waited for. Symlinks are
followed, since the build ID is checked in the end. Files are read and not mapped: a mapped file that shrinks would kill
the process.
"""

from __future__ import annotations

import hashlib
import os
import stat
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import BinaryIO, Callable, NamedTuple, Union

from httpcapture import GO_FUNCTION_TABLES, Module

from ..elf.elf import BadElf, Elf, read_elf
from ..elf.symbol_table import SymbolTable, read_symbols
from ..languages.stack_trace import Unnamed
from .binary import Binary, Lines
from .debuginfod import Debuginfod
from .source_lines import DebugFile, LineReader

MAX_BYTES = 1 << 30
PAGE = 4096  # bytes that Module.first_page_sha256 is the hash of
HEAD = 1 << 16  # bytes; nearly all build IDs are in them, which saves reading large files of other builds
DEBUG_FOLDER = b"/usr/lib/debug"
_SYMBOL_TABLE = (".symtab", ".strtab")  # all that a debug file is read for
_DWARF = b"\0.debug_info\0"  # in the table of section names
_DELETED = b" (deleted)"


class _File(NamedTuple):
    """Describe a file of the build that was looked for."""

    path: bytes
    elf: Elf
    has_dwarf: bool


_Read = Union[tuple[Elf, bool], Unnamed]  # all of a _File but its path


@dataclass(frozen=True)
class Binaries:
    """Look for binaries: first below `symfs`, then below `root`, then at debuginfod servers."""

    symfs: str | None = None
    debuginfod: Debuginfod | None = None
    root: str = "/"  # "here"
    line_reader: LineReader = field(default_factory=LineReader)

    def find(self, module: Module, carried: Elf | None = None) -> Binary | Unnamed:
        """Return the module's binary, or why there is none. `carried` is made from the module's recorded parts."""
        if not module.build_id and not module.first_page_sha256:
            local: _File | Unnamed = Unnamed.NO_IDENTITY
        else:
            local = self._binary(module, carried)
        elf = local.elf if isinstance(local, _File) else carried
        if elf is None:
            return local if isinstance(local, Unnamed) else Unnamed.NOT_FOUND
        has_all = ".symtab" in elf.sections and isinstance(local, _File) and local.has_dwarf
        debug = None if has_all else self._debug_file(module, elf)
        symbols = tuple(map(read_symbols, [elf, debug.elf] if debug else [elf]))
        with_dwarf = [file for file in (debug, local) if isinstance(file, _File) and file.has_dwarf]
        return Binary(elf, symbols, _why_unnamed(elf, symbols, local), _lines(self.line_reader, with_dwarf, module))

    @property
    def problems(self) -> Sequence[str]:
        """Return the failures of debuginfod servers and debug files."""
        return [*(self.debuginfod.problems if self.debuginfod else ()), *self.line_reader.problems]

    def close(self) -> None:
        """End the process that reads debug files."""
        self.line_reader.close()

    def _binary(self, module: Module, carried: Elf | None) -> _File | Unnamed:
        read_build = partial(_read_build, module=module, carried=carried)
        reasons = {Unnamed.NOT_FOUND}
        path = _recorded_path(module)
        for candidate in self._below_roots(path) if path else ():
            found = _read(candidate, read_build)
            if isinstance(found, _File):
                return found
            reasons.add(found)
        if carried is None and self.debuginfod and module.build_id:
            for fetched in self.debuginfod.executables(module.build_id):
                found = _read(os.fsencode(fetched), read_build)
                if isinstance(found, _File):
                    return found
        return max(reasons, key=(Unnamed.NOT_FOUND, Unnamed.UNREADABLE, Unnamed.OTHER_BUILD).index)

    def _debug_file(self, module: Module, elf: Elf) -> _File | None:
        """Return the debug file of a binary without symbols or without DWARF."""
        for path, crc in self._debug_files(module, elf):
            found = _read(path, partial(_read_debug_file, build_id=module.build_id, crc=crc))
            if isinstance(found, _File):
                return found
        return None

    def _debug_files(self, module: Module, elf: Elf) -> Iterator[tuple[bytes, int | None]]:
        """Yield paths of possible debug files, and CRCs (GDB manual, "Debugging Information in Separate Files")."""
        build_id = module.build_id.hex()
        if build_id:
            name = f".build-id/{build_id[:2]}/{build_id[2:]}.debug".encode()
            yield from ((path, None) for path in self._below_roots(DEBUG_FOLDER + b"/" + name))
        link, binary = _debuglink(elf), _recorded_path(module)
        if link and binary:
            name, crc = link
            folder = os.path.dirname(binary)
            for folder_searched in (folder, os.path.join(folder, b".debug"), DEBUG_FOLDER + folder):
                yield from ((path, crc) for path in self._below_roots(os.path.join(folder_searched, name)))
        if self.debuginfod and build_id:
            yield from ((os.fsencode(path), None) for path in self.debuginfod.debug_files(module.build_id))

    def _below_roots(self, path: bytes) -> Iterator[bytes]:
        for root in (self.symfs, self.root):
            if root is not None:
                yield os.path.join(os.fsencode(root), path.lstrip(b"/"))


def _lines(reader: LineReader, files: list[_File], module: Module) -> Lines | None:
    """Return the look-up of lines in the first file, None if there is no file."""
    try:
        identity = module.build_id or module.first_page_sha256
        return partial(reader.at, DebugFile.of(files[0].path, files[0].elf.build_id, identity)) if files else None
    except OSError:
        return None


def _why_unnamed(elf: Elf, symbols: tuple[SymbolTable, ...], local: _File | Unnamed) -> Unnamed:
    """Return the reason for an address that no symbol covers. `local` is the binary, or why it was not found."""
    if elf.incomplete.intersection((*_SYMBOL_TABLE, *GO_FUNCTION_TABLES)):
        return Unnamed.SYMBOLS_LEFT_OUT
    sources = {source for table in symbols for source in table.sources}
    if sources - {".dynsym"}:
        return Unnamed.NO_SYMBOL
    return local if isinstance(local, Unnamed) and not sources else Unnamed.STRIPPED


def _recorded_path(module: Module) -> bytes | None:
    """Return the module's path on the recorded host, None if it must not be looked at."""
    path = module.path[: -len(_DELETED)] if module.path.endswith(_DELETED) else module.path
    usable = path.startswith(b"/") and b"\0" not in path and b".." not in path.split(b"/")
    return path if usable else None


def _debuglink(elf: Elf) -> tuple[bytes, int] | None:
    """Return name and CRC32 of the debug file: the name ends with a NUL, the CRC is at the next multiple of 4."""
    section = elf.section(".gnu_debuglink")
    name, ended, _ = section.data.partition(b"\0") if section else (b"", b"", b"")
    at = (len(name) + 4) & ~3
    if section is None or not ended or len(section.data) < at + 4 or name in (b"", b".", b"..") or b"/" in name:
        return None
    return name, int.from_bytes(section.data[at : at + 4], "little")


def _read(path: bytes, read: Callable[[BinaryIO], _Read]) -> _File | Unnamed:
    """Return what `read`, which may raise OSError and BadElf, makes of a regular file."""
    try:
        if not _may_be_read(os.stat(path)):
            return Unnamed.UNREADABLE
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            if not _may_be_read(os.fstat(descriptor)):
                return Unnamed.UNREADABLE
            os.set_blocking(descriptor, True)
            found = read(file)
            return found if isinstance(found, Unnamed) else _File(path, *found)
    except FileNotFoundError:
        return Unnamed.NOT_FOUND
    except (OSError, BadElf):
        return Unnamed.UNREADABLE


def _may_be_read(status: os.stat_result) -> bool:
    """Return whether it is a regular file of a usable size. Files in /proc may be endless; their size is 0."""
    return stat.S_ISREG(status.st_mode) and 0 < status.st_size <= MAX_BYTES


def _read_build(file: BinaryIO, module: Module, carried: Elf | None) -> _Read:
    """Read the binary if it is of the module's build. Raises OSError and BadElf."""
    size = os.fstat(file.fileno()).st_size
    head = file.read(HEAD)
    if module.build_id:
        if _build_id(head) not in (b"", module.build_id):
            return Unnamed.OTHER_BUILD
    elif (size, hashlib.sha256(head[:PAGE]).digest()) != (module.size, module.first_page_sha256):
        return Unnamed.OTHER_BUILD
    data = head + file.read(size)
    elf = read_elf(data)
    if module.build_id not in (b"", elf.build_id or elf.go_build_id):
        return Unnamed.OTHER_BUILD
    if not module.build_id and carried is not None and not _has_all(elf, carried):
        return Unnamed.OTHER_BUILD
    return elf, _DWARF in data


def _has_all(elf: Elf, carried: Elf) -> bool:
    """Return whether a file has the recorded sections, which the capture may have without their ends.

    Two builds can have the same size and first page, for instance if they differ only in names of the same length.
    """
    return all(
        name in elf.sections and elf.sections[name].data.startswith(section.data)
        for name, section in carried.sections.items()
    )


def _read_debug_file(file: BinaryIO, build_id: bytes, crc: int | None) -> _Read:
    """Read the debug file if it is of this build: by its CRC where one is given, and by build ID where both have one.
    Raises OSError and BadElf."""
    head = file.read(HEAD)
    if build_id and _build_id(head) not in (b"", build_id):
        return Unnamed.OTHER_BUILD
    data = head + file.read(os.fstat(file.fileno()).st_size)
    if crc is not None and zlib.crc32(data) != crc:
        return Unnamed.OTHER_BUILD
    elf = read_elf(data, _SYMBOL_TABLE)
    same = elf.build_id == build_id if crc is None else elf.build_id in (b"", build_id)
    return (elf, _DWARF in data) if same else Unnamed.OTHER_BUILD


def _build_id(head: bytes) -> bytes:
    """Return the GNU build ID, empty if it or the program headers are not in the head of the file."""
    try:
        return read_elf(head, ()).build_id
    except BadElf:
        return b""
