"""The only file of the reporter that looks for binaries: a module's names come from files of the very same build.

A binary stands at the module's recorded path, below --symfs or here; its debug file below usr/lib/debug/.build-id or
where its .gnu_debuglink says; a debuginfod server may have either. Each counts only if its build ID is the recorded
one; where none was recorded, a binary if its size and first page are, and what the capture carries of it, and a debug
file if its CRC is the one in .gnu_debuglink. Names from another build would be lies, so there are none.

The paths are a stranger's. So: no path with `..`, only regular files (looked at before they are opened, as
opening a device can do something), never a wait on a FIFO, nothing above MAX_BYTES. A symlink is followed:
what it leads to is vouched for by the build ID. Files are read, not mapped: a mapped file that shrinks kills
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

from httpcapture import Module

from ..elf.elf import BadElf, Elf, read_elf
from ..elf.symbol_table import SymbolTable, read_symbols
from ..languages.stack_trace import Unnamed
from .binary import Binary, Lines
from .debuginfod import Debuginfod
from .source_lines import DebugFile, LineReader

MAX_BYTES = 1 << 30
PAGE = 4096  # what Module.first_page_sha256 is the hash of
HEAD = 1 << 16  # where a build ID nearly always is: it spares reading a large file of another build
DEBUG_FOLDER = b"/usr/lib/debug"
_SYMBOL_TABLE = (".symtab", ".strtab")  # all that a debug file is read for
_DWARF = b"\0.debug_info\0"  # in the table of section names
_DELETED = b" (deleted)"


class _File(NamedTuple):
    """A file of the build that was looked for."""

    path: bytes
    elf: Elf
    has_dwarf: bool


_Read = Union[tuple[Elf, bool], Unnamed]  # all of a _File but its path


@dataclass(frozen=True)
class Binaries:
    """Where to look: first below `symfs`, then here, then at debuginfod servers."""

    symfs: str | None = None
    debuginfod: Debuginfod | None = None
    root: str = "/"  # "here"
    line_reader: LineReader = field(default_factory=LineReader)

    def find(self, module: Module, carried: Elf | None = None) -> Binary | Unnamed:
        """What names the module's addresses, or why there is nothing. `carried` is what the capture has of it."""
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
        return Binary(elf, symbols, _why_unnamed(symbols, local), _lines(self.line_reader, with_dwarf, module))

    @property
    def problems(self) -> Sequence[str]:
        """What debuginfod servers and debug files failed at."""
        return [*(self.debuginfod.problems if self.debuginfod else ()), *self.line_reader.problems]

    def close(self) -> None:
        """End what was started to read debug files."""
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
        """The debug file of a binary that is stripped of symbols or of DWARF."""
        for path, crc in self._debug_files(module, elf):
            found = _read(path, partial(_read_debug_file, build_id=module.build_id, crc=crc))
            if isinstance(found, _File):
                return found
        return None

    def _debug_files(self, module: Module, elf: Elf) -> Iterator[tuple[bytes, int | None]]:
        """Where it may be (GDB manual, "Debugging Information in Separate Files"), and its CRC where that is known."""
        build_id = module.build_id.hex()
        if build_id:
            name = f".build-id/{build_id[:2]}/{build_id[2:]}.debug".encode()
            yield from ((path, None) for path in self._below_roots(DEBUG_FOLDER + b"/" + name))
        link, binary = _debuglink(elf), _recorded_path(module)
        if link and binary:
            name, crc = link
            folder = os.path.dirname(binary)
            for place in (folder, os.path.join(folder, b".debug"), DEBUG_FOLDER + folder):
                yield from ((path, crc) for path in self._below_roots(os.path.join(place, name)))
        if self.debuginfod and build_id:
            yield from ((os.fsencode(path), None) for path in self.debuginfod.debug_files(module.build_id))

    def _below_roots(self, path: bytes) -> Iterator[bytes]:
        for root in (self.symfs, self.root):
            if root is not None:
                yield os.path.join(os.fsencode(root), path.lstrip(b"/"))


def _lines(reader: LineReader, files: list[_File], module: Module) -> Lines | None:
    """The lines of the first of the files, if there are any."""
    try:
        identity = module.build_id or module.first_page_sha256
        return partial(reader.at, DebugFile.of(files[0].path, files[0].elf.build_id, identity)) if files else None
    except OSError:
        return None


def _why_unnamed(symbols: tuple[SymbolTable, ...], local: _File | Unnamed) -> Unnamed:
    """The reason for an address that no symbol covers; `local` tells why there is no more than the capture has."""
    sources = {source for table in symbols for source in table.sources}
    if sources - {".dynsym"}:
        return Unnamed.NO_SYMBOL
    return local if isinstance(local, Unnamed) and not sources else Unnamed.STRIPPED


def _recorded_path(module: Module) -> bytes | None:
    """Where the module was on the recorded host, None where that is not a path to look at."""
    path = module.path[: -len(_DELETED)] if module.path.endswith(_DELETED) else module.path
    usable = path.startswith(b"/") and b"\0" not in path and b".." not in path.split(b"/")
    return path if usable else None


def _debuglink(elf: Elf) -> tuple[bytes, int] | None:
    """File name and CRC32 of the debug file: the name ends with a NUL, the CRC is at the next multiple of 4."""
    section = elf.section(".gnu_debuglink")
    name, ended, _ = section.data.partition(b"\0") if section else (b"", b"", b"")
    at = (len(name) + 4) & ~3
    if section is None or not ended or len(section.data) < at + 4 or name in (b"", b".", b"..") or b"/" in name:
        return None
    return name, int.from_bytes(section.data[at : at + 4], "little")


def _read(path: bytes, read: Callable[[BinaryIO], _Read]) -> _File | Unnamed:
    """What `read` makes of a regular file; it may raise OSError and BadElf."""
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
    """The files of /proc, regular but some of them endless, say that they are empty."""
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
    """Whether a file has the sections of the recorded one, of which the capture may lack the ends. Size and first page
    do not tell builds apart whose names are of the same length."""
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
    """The GNU build ID, if it and the program headers are in the head of the file."""
    try:
        return read_elf(head, ()).build_id
    except BadElf:
        return b""
