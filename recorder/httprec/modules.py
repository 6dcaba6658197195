"""ELF files by number: each is identified when it is first seen mapped, and copied when a call needs it.

A file is kept open in between, so that it is still there when its process has ended or its path has been replaced. What
is copied has a budget for the whole capture; what does not fit is said in the capture and counted. Of files that are
the same, as those of containers of one image, one is copied.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from httpcapture import MAX_PART, MAX_PATH, WHOLE_FILE, Module, Section, Writer

from .elf_identity import Identity, identify, read_at
from .elf_sections import Place, places

VDSO = b"[vdso]"
_MAX_OPEN = 512  # files that wait; a process may have 1,024 open unless told otherwise
_MAX_VDSO = 64 << 10  # bytes


class _Waiting(NamedTuple):
    module: Module
    fd: int  # -1: had to be closed


class Modules:
    """`budget` is in bytes of section contents; 0: none are copied."""

    def __init__(self, writer: Writer, budget: int) -> None:
        self._writer = writer
        self._room = self._budget = budget
        self._first: dict[bytes, bytes] = {}  # build ID: digest of what was copied of the first file that has it
        self._numbers: dict[tuple[object, ...], int] = {}
        self._waiting: OrderedDict[int, _Waiting] = OrderedDict()
        self.left_out = 0  # sections for which there was no room

    def number(self, pid: int, mapping: str, path: bytes) -> int:
        """The number of the file behind /proc/PID/map_files/MAPPING, which deletion and mount namespaces do not hide.

        Raises OSError where it cannot be had any more.
        """
        link = f"/proc/{pid}/map_files/{mapping}"
        status = os.stat(link)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(0, "is not a regular file", link)
        key = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        if key not in self._numbers:
            self._add(key, path, os.open(link, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK))
        return self._numbers[key]

    def vdso_number(self, pid: int, low: int, high: int) -> int:
        """The number of the code that the kernel maps into a process, taken from its memory. Raises OSError."""
        with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
            content = os.pread(memory.fileno(), min(high - low, _MAX_VDSO), low)
        key = (VDSO, hashlib.sha256(content).digest())
        if key not in self._numbers:
            fd = os.memfd_create("vdso")
            os.write(fd, content)
            self._add(key, VDSO, fd)
        return self._numbers[key]

    def record(self, numbers: Iterable[int]) -> None:
        """Writes these modules, with what the budget allows of them, unless they are written already."""
        for number in sorted(numbers):
            waiting = self._waiting.pop(number, None)
            if waiting is not None:
                self._writer.module(waiting.module)
                if waiting.fd >= 0:
                    if self._room and not self._is_carried(waiting.module.build_id, waiting.fd):
                        for section in self._sections(waiting.module, waiting.fd):
                            self._writer.section(section)
                    os.close(waiting.fd)

    def _add(self, key: tuple[object, ...], path: bytes, fd: int) -> None:
        number = self._numbers[key] = len(self._numbers) + 1
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
        self._waiting[number] = _Waiting(module, fd)
        if len(self._waiting) > _MAX_OPEN:
            oldest = next(number for number, waiting in self._waiting.items() if waiting.fd >= 0)
            os.close(self._waiting[oldest].fd)
            self._waiting[oldest] = _Waiting(self._waiting[oldest].module, -1)

    def _is_carried(self, build_id: bytes, fd: int) -> bool:
        """Whether the first file of this build ID brought the same. A build ID alone does not tell: it is what whoever
        made the file says."""
        digest = _digest(fd, self._room) if build_id else None
        if digest is None:
            return False
        known = build_id in self._first
        return self._first.setdefault(build_id, digest) == digest and known

    def _sections(self, module: Module, fd: int) -> Iterator[Section]:
        """What the capture carries of an open file, part by part; where that fails, why."""
        whole = Place(WHOLE_FILE, 0, 0, module.size)
        try:
            for place in [whole] if module.path == VDSO else places(fd):
                if place.size > self._budget:
                    self.left_out += 1
                    problem = "left out: the capture's room for modules is used up"
                    yield Section(module.id, place.name, place.address, place.size, 0, b"", problem)
                    continue
                self._budget -= place.size
                for start, data in _parts(fd, place):
                    yield Section(module.id, place.name, place.address, place.size, start, data)
        except OSError as error:
            yield Section(module.id, WHOLE_FILE, 0, 0, 0, b"", f"cannot be read: {error.strerror}")


def _parts(fd: int, place: Place) -> Iterator[tuple[int, bytes]]:
    """Where each part begins, and its bytes. Raises OSError."""
    for start in range(0, place.size, MAX_PART):
        yield start, read_at(fd, min(place.size - start, MAX_PART), place.offset + start)


def _digest(fd: int, most: int) -> bytes | None:
    """Of all that a capture carries of a file; None where that cannot be read, or is more than `most` bytes."""
    digest = hashlib.blake2b()
    try:
        for place in places(fd):
            most -= place.size
            if most < 0:
                return None
            digest.update(repr(place).encode())
            for _, data in _parts(fd, place):
                digest.update(data)
    except OSError:
        return None
    return digest.digest()
