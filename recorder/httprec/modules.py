"""Number the ELF files that processes map: identify each when it is first seen, and copy it when a call needs it.

A file is kept open until it is copied, so that it can be read after its process has ended or its path was replaced; if
the recording has parts, it stays open for the next part. Each capture has a budget for copies; whatever does not fit is
noted in the capture and counted. Of equal files, such as those of containers with one image, only one is copied.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import Callable, NamedTuple

from httpcapture import (
    CARRIED,
    MAX_PART,
    MAX_PATH,
    PROGRAM_HEADERS,
    SECTION_HEADERS,
    VDSO,
    WHOLE_FILE,
    BeyondLimitError,
    Module,
    Section,
    Writer,
)

from . import tuning
from .elf_identity import Identity, identify, read_at
from .elf_sections import Extent, carried_extents

_OPEN_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
_MAX_VDSO = 64 << 10  # bytes
# A section of a Go program alone may have tens of MiB. It may take half of the room that is left, so that a large one
# does not take that of other programs.
_ANY_SIZE = (*CARRIED, PROGRAM_HEADERS, SECTION_HEADERS, WHOLE_FILE)


class _KnownModule(NamedTuple):
    module: Module
    key: tuple[object, ...]
    fd: int  # -1: it had to be closed
    part: int = 0  # number of the last part that has it


class Modules:
    """Number, remember and write modules. `budget` is how many bytes of sections to copy; with 0, none are copied.
    `rotate` says that the recording has parts. `between` is called before each copy of a module, for what cannot wait
    until all are copied."""

    def __init__(
        self, writer: Writer, budget: int, between: Callable[[], None] = lambda: None, *, rotate: bool = False
    ) -> None:
        self._writer, self._between, self._rotate = writer, between, rotate
        self._budget_left = self._budget = budget
        self._first_digests: dict[bytes, bytes] = {}  # by build ID: of the sections of the first file that has it
        self._part = 1
        self._numbers: dict[tuple[object, ...], int] = {}
        self._last_number = 0
        self._known: OrderedDict[int, _KnownModule] = OrderedDict()  # by number, the most recently used last
        self._open: OrderedDict[int, None] = OrderedDict()  # numbers of the open ones, in the same order
        self.left_out = 0  # sections beyond the budget, and files that had to be closed before they were copied

    def begin_part(self, writer: Writer) -> None:
        """Begin another capture, which has a budget of its own."""
        self._writer = writer
        self._part += 1
        self._budget_left = self._budget
        self._first_digests.clear()

    def number(self, pid: int, mapping: str, path: bytes) -> int:
        """Return the number of the file behind /proc/PID/map_files/MAPPING, which leads to deleted files and into mount
        namespaces too.

        Raises OSError if the mapping has gone or is not of a regular file.
        """
        link = f"/proc/{pid}/map_files/{mapping}"
        status = os.stat(link)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(0, "is not a regular file", link)
        key = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        number = self._numbers.get(key) or self._add(key, path, os.open(link, _OPEN_FLAGS))
        self._use(number)
        return number

    def vdso_number(self, pid: int, low: int, high: int) -> int:
        """Return the number of the vDSO, the code that the kernel maps into a process, read from its memory. Raises
        OSError."""
        with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
            content = os.pread(memory.fileno(), min(high - low, _MAX_VDSO), low)
        key = (VDSO, hashlib.sha256(content).digest())
        number = self._numbers.get(key)
        if number is None:
            fd = os.memfd_create("vdso")
            os.write(fd, content)
            number = self._add(key, VDSO, fd)
        self._use(number)
        return number

    def record(self, numbers: Iterable[int]) -> None:
        """Write these modules, with as many of their sections as the budget allows, unless the capture has them."""
        for number in sorted(set(numbers)):
            known = self._known.get(number)
            if known is None:
                self.left_out += 1  # forgotten since its process was read
            elif known.part != self._part:
                self._known[number] = known._replace(part=self._part)
                self._use(number)
                self._between()
                try:
                    self._write(known)
                except BeyondLimitError:
                    self.left_out += 1
                if not self._rotate:
                    self._close(number)

    def _write(self, known: _KnownModule) -> None:
        """Write a module. Raises BeyondLimitError if the capture can hold no more modules of any size."""
        self._writer.module(known.module)
        if self._budget and not self._is_repeated(known.module.build_id, known.fd):
            for section in self._sections(known.module, known.fd):
                self._writer.section(section)

    def _use(self, number: int) -> None:
        """Mark the module as used now, and close or forget the least recently used ones if there are too many."""
        self._known.move_to_end(number)
        if self._known[number].fd >= 0:
            self._open[number] = None
            self._open.move_to_end(number)
        if len(self._open) > tuning.MAX_OPEN_MODULES:
            self._close(next(iter(self._open)))
        if len(self._known) > tuning.MAX_KNOWN_MODULES:
            oldest = next(iter(self._known))
            self._close(oldest)
            del self._numbers[self._known.pop(oldest).key]

    def _close(self, number: int) -> None:
        if number in self._open:
            del self._open[number]
            os.close(self._known[number].fd)
            self._known[number] = self._known[number]._replace(fd=-1)

    def _add(self, key: tuple[object, ...], path: bytes, fd: int) -> int:
        self._last_number += 1
        number = self._numbers[key] = self._last_number
        try:
            identity = identify(fd)
        except OSError as error:
            identity = Identity(b"", 0, b"", 0, f"cannot be read: {error.strerror}")
        module = Module(
            id=number,
            path=path[:MAX_PATH],
            build_id=identity.build_id,
            size=identity.size,
            first_page_sha256=identity.first_page_sha256,
            machine=identity.machine,
            problem=identity.problem,
        )
        self._known[number] = _KnownModule(module, key, fd)
        return number

    def _is_repeated(self, build_id: bytes, fd: int) -> bool:
        """Return whether the capture has the same sections already, from the first file with this build ID. The build
        ID alone is no proof, because anybody can make a file with any build ID."""
        digest = _digest(fd, self._budget) if build_id and fd >= 0 else None
        if digest is None:
            return False
        known = build_id in self._first_digests
        return self._first_digests.setdefault(build_id, digest) == digest and known

    def _sections(self, module: Module, fd: int) -> Iterator[Section]:
        """Yield the sections of a file that the capture carries, in parts; if one fails, yield the reason."""
        if fd < 0:
            self.left_out += 1
            yield Section(
                module.id, WHOLE_FILE, 0, 0, 0, b"", f"left out: more than {tuning.MAX_OPEN_MODULES} files were in use"
            )
            return
        whole = Extent(WHOLE_FILE, 0, 0, module.size)
        try:
            for extent in [whole] if module.path == VDSO else carried_extents(fd):
                if extent.size > self._budget_left // (1 if extent.name in _ANY_SIZE else 2):
                    self.left_out += 1
                    problem = "left out: the capture's room for modules is used up"
                    yield Section(module.id, extent.name, extent.address, extent.size, 0, b"", problem)
                    continue
                self._budget_left -= extent.size
                for start, data in _parts(fd, extent):
                    yield Section(module.id, extent.name, extent.address, extent.size, start, data)
        except OSError as error:
            yield Section(module.id, WHOLE_FILE, 0, 0, 0, b"", f"cannot be read: {error.strerror}")


def _parts(fd: int, extent: Extent) -> Iterator[tuple[int, bytes]]:
    """Yield the offset and the bytes of each part. Raises OSError."""
    for start in range(0, extent.size, MAX_PART):
        yield start, read_at(fd, min(extent.size - start, MAX_PART), extent.offset + start)


def _digest(fd: int, most: int) -> bytes | None:
    """Return a digest of the sections of a file that a capture carries, or None if they cannot be read or have more
    than `most` bytes."""
    digest = hashlib.blake2b()
    try:
        for extent in carried_extents(fd):
            most -= extent.size
            if most < 0:
                return None
            digest.update(repr(extent).encode())
            for _, data in _parts(fd, extent):
                digest.update(data)
    except OSError:
        return None
    return digest.digest()
