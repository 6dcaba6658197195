"""The only file of the reporter that looks for binaries: a module's symbols come from a file of the very same
build.

A file stands at the module's recorded path, below --symfs or here, and counts only if its build ID is the
recorded one; where none was recorded, if its size and first page are. Names from another build would be lies,
so there are none.

The paths are a stranger's. So: no path with `..`, only regular files (looked at before they are opened, as
opening a device can do something), never a wait on a FIFO, nothing above MAX_BYTES. A symlink is followed:
what it leads to is vouched for by the build ID. Files are read, not mapped: a mapped file that shrinks kills
the process.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from httpcapture import Module

from .elf import BadElf, Elf, read_elf
from .symbolize import Binary
from .symbols import read_symbols
from .trace import Unnamed

MAX_BYTES = 1 << 30
PAGE = 4096  # what Module.first_page_sha256 is the hash of
HEAD = 1 << 16  # where a build ID nearly always is: it spares reading a large file of another build
_DELETED = b" (deleted)"


@dataclass(frozen=True)
class Binaries:
    """Where to look: at the recorded paths, and first below `symfs`."""

    symfs: str | None = None

    def find(self, module: Module) -> Binary | Unnamed:
        """The module's ELF file and symbols, or why there are none."""
        if not module.build_id and not module.first_page_sha256:
            return Unnamed.NO_IDENTITY
        reasons = {Unnamed.NOT_FOUND}
        for path in self._candidates(module):
            found = _read(path, module)
            if isinstance(found, Elf):
                return Binary(found, read_symbols(found))
            reasons.add(found)
        return max(reasons, key=(Unnamed.NOT_FOUND, Unnamed.UNREADABLE, Unnamed.OTHER_BUILD).index)

    def _candidates(self, module: Module) -> Iterator[bytes]:
        path = module.path[: -len(_DELETED)] if module.path.endswith(_DELETED) else module.path
        if not path.startswith(b"/") or b"\0" in path or b".." in path.split(b"/"):
            return
        if self.symfs is not None:
            yield os.path.join(os.fsencode(self.symfs), path.lstrip(b"/"))
        yield path


def _read(path: bytes, module: Module) -> Elf | Unnamed:
    try:
        if not _may_be_read(os.stat(path)):
            return Unnamed.UNREADABLE
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            return _read_build(file, module)
    except FileNotFoundError:
        return Unnamed.NOT_FOUND
    except (OSError, BadElf):
        return Unnamed.UNREADABLE


def _may_be_read(status: os.stat_result) -> bool:
    """The files of /proc, regular but some of them endless, say that they are empty."""
    return stat.S_ISREG(status.st_mode) and 0 < status.st_size <= MAX_BYTES


def _read_build(file: BinaryIO, module: Module) -> Elf | Unnamed:
    """Read the file if it is of the module's build. Raises OSError and BadElf."""
    status = os.fstat(file.fileno())
    if not _may_be_read(status):
        return Unnamed.UNREADABLE
    os.set_blocking(file.fileno(), True)
    head = file.read(HEAD)
    if module.build_id:
        if _build_id(head) not in (b"", module.build_id):
            return Unnamed.OTHER_BUILD
    elif (status.st_size, hashlib.sha256(head[:PAGE]).digest()) != (module.size, module.first_page_sha256):
        return Unnamed.OTHER_BUILD
    elf = read_elf(head + file.read(status.st_size))
    if module.build_id not in (b"", elf.build_id or elf.go_build_id):
        return Unnamed.OTHER_BUILD
    return elf


def _build_id(head: bytes) -> bytes:
    """The GNU build ID, if it and the program headers are in the head of the file."""
    try:
        return read_elf(head, ()).build_id
    except BadElf:
        return b""
