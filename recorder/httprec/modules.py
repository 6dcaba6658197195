"""ELF files by number: each is identified when it is first seen mapped, and copied when a call needs it.

A file is kept open until then, so that it is still there when its process has ended or its path has been replaced; and
beyond, where the recording has parts. What is copied has a budget for each capture; what does not fit is said in the
capture and counted. Of files that are the same, as those of containers of one image, one is copied.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from httpcapture import MAX_PART, MAX_PATH, VDSO, WHOLE_FILE, BeyondLimitError, Module, Section, Writer

from . import tuning
from .elf_identity import Identity, identify, read_at
from .elf_sections import Place, places

_OPEN_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
_MAX_VDSO = 64 << 10  # bytes


class _Known(NamedTuple):
    module: Module
    key: tuple[object, ...]
    fd: int  # -1: had to be closed
    part: int = 0  # of the recording, the last one that it was written to


class Modules:
    """`budget` is in bytes of section contents; 0: none are copied. `rotate`: the recording has parts."""

    def __init__(self, writer: Writer, budget: int, *, rotate: bool = False) -> None:
        self._writer, self._rotate = writer, rotate
        self._room = self._budget = budget
        self._first: dict[bytes, bytes] = {}  # build ID: digest of what was copied of the first file that has it
        self._part = 1
        self._numbers: dict[tuple[object, ...], int] = {}
        self._last_number = 0
        self._known: OrderedDict[int, _Known] = OrderedDict()  # by number, the one seen last at the end
        self._open: OrderedDict[int, None] = OrderedDict()  # of them, those that are open; the same order
        self.left_out = 0  # sections for which there was no room, and files that had to be closed

    def begin_part(self, writer: Writer) -> None:
        """Another capture begins, which has a budget of its own."""
        self._writer = writer
        self._part += 1
        self._room = self._budget
        self._first.clear()

    def number(self, pid: int, mapping: str, path: bytes) -> int:
        """The number of the file behind /proc/PID/map_files/MAPPING, which deletion and mount namespaces do not hide.

        Raises OSError where it cannot be had any more.
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
        """The number of the code that the kernel maps into a process, taken from its memory. Raises OSError."""
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
        """Writes these modules, with what the budget allows of them, unless this capture has them already."""
        for number in sorted(set(numbers)):
            known = self._known.get(number)
            if known is None:
                self.left_out += 1  # forgotten since its process was read
            elif known.part != self._part:
                self._known[number] = known._replace(part=self._part)
                self._use(number)
                try:
                    self._write(known)
                except BeyondLimitError:
                    self.left_out += 1
                if not self._rotate:
                    self._close(number)

    def _write(self, known: _Known) -> None:
        """Raises BeyondLimitError where the capture has no room for more modules, however small."""
        self._writer.module(known.module)
        if self._budget and not self._is_carried(known.module.build_id, known.fd):
            for section in self._sections(known.module, known.fd):
                self._writer.section(section)

    def _use(self, number: int) -> None:
        """The module is needed now; of those that were used least some may have to be closed or forgotten."""
        self._known.move_to_end(number)
        if self._known[number].fd >= 0:
            self._open[number] = None
            self._open.move_to_end(number)
        if len(self._open) > tuning.OPEN_MODULES:
            self._close(next(iter(self._open)))
        if len(self._known) > tuning.MODULES:
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
        self._known[number] = _Known(module, key, fd)
        return number

    def _is_carried(self, build_id: bytes, fd: int) -> bool:
        """Whether the first file of this build ID brought the same. A build ID alone does not tell: it is what whoever
        made the file says."""
        digest = _digest(fd, self._budget) if build_id and fd >= 0 else None
        if digest is None:
            return False
        known = build_id in self._first
        return self._first.setdefault(build_id, digest) == digest and known

    def _sections(self, module: Module, fd: int) -> Iterator[Section]:
        """What the capture carries of a file, part by part; where that fails, why."""
        if fd < 0:
            self.left_out += 1
            yield Section(
                module.id, WHOLE_FILE, 0, 0, 0, b"", f"left out: more than {tuning.OPEN_MODULES} files were in use"
            )
            return
        whole = Place(WHOLE_FILE, 0, 0, module.size)
        try:
            for place in [whole] if module.path == VDSO else places(fd):
                if place.size > self._room:
                    self.left_out += 1
                    problem = "left out: the capture's room for modules is used up"
                    yield Section(module.id, place.name, place.address, place.size, 0, b"", problem)
                    continue
                self._room -= place.size
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
