"""Attach to the TLS libraries of the processes that are followed, each file once, and say of which processes the
plaintext cannot be read."""

from __future__ import annotations

import contextlib
import fnmatch
import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Callable, NamedTuple

from httpcapture import MAX_MAPS, Process

from .. import tuning
from ..languages.mapped_files import MappedFile, mapped_files
from . import gnutls, openssl
from .places import WRITE, Registers
from .probed_code import UnknownCodeError

_PAGE = 4096  # bytes

_OTHERS = (
    (b"libjvm.", "Java's own TLS is not read"),
    (b"libssl3.", "NSS is not read"),
)
_NO_LIBRARY = "no library that can be read: its TLS is linked statically without symbols, or is Go's, rustls or another"
_GONE = "it ended too early"


class _Known(NamedTuple):
    """Hold what is known of a file: why it cannot be read, or nothing; and whether it has a known library."""

    problem: str
    is_library: bool


class TlsLibraries:
    """Attach programs until `close`, by a function that takes name, file and offset (Attacher). `set_registers` tells
    the kernel where a library has what was read, by the offset of the probe in its page. Processes are those of which
    a call is seen, and those that run when the recording begins and have one of the `names`, which may be shell
    patterns."""

    def __init__(
        self,
        attach: Callable[[str, int, int], int],
        set_registers: Callable[[int, Registers], None],
        names: Sequence[bytes],
        ignored_pids: Collection[int],
    ) -> None:
        self._attach_program, self._set_registers = attach, set_registers
        self._registers: dict[int, Registers] = {}
        self._names, self._ignored = names, frozenset(ignored_pids)
        self._files: dict[tuple[int, ...], _Known] = {}
        self._events: list[int] = []
        self._attached = 0
        self._unreadable: dict[int, tuple[str, str]] = {}  # by pid: name of the process, and why
        self._speaking: set[int] = set()

    def close(self) -> None:
        """Detach."""
        for event in self._events:
            os.close(event)
        self._events.clear()

    def look_around(self) -> None:
        """Attach to the libraries of the processes that run."""
        for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
            if pid in self._ignored:
                continue
            with contextlib.suppress(OSError):
                name = _read(f"/proc/{pid}/comm").rstrip(b"\n")
                if not self._names or any(fnmatch.fnmatchcase(name, pattern) for pattern in self._names):
                    executable = os.readlink(f"/proc/{pid}/exe".encode())
                    self._look(pid, name, executable, _read(f"/proc/{pid}/maps"))

    def look_at(self, process: Process) -> None:
        """Attach to the libraries of a process whose maps were read just now."""
        self._look(process.pid, process.name, process.executable, process.maps)

    def see_encrypted(self, pids: Iterable[int]) -> None:
        """Note processes with recorded calls that are encrypted."""
        for pid in pids:
            if len(self._speaking) < tuning.MAX_TLS_PROCESSES:
                self._speaking.add(pid)

    def unreadable(self) -> Iterator[str]:
        """Yield, for people, which processes with recorded calls have a TLS that cannot be read, and why."""
        processes: dict[tuple[str, str], list[int]] = {}
        for pid in sorted(self._speaking):
            if pid in self._unreadable:
                processes.setdefault(self._unreadable[pid], []).append(pid)
        for (name, problem), pids in processes.items():
            count = f"pid {pids[0]}" if len(pids) == 1 else f"{len(pids)} processes"
            yield f"{name} ({count}): {problem}"

    def _look(self, pid: int, name: bytes, executable: bytes, maps: bytes) -> None:
        problems, is_read = [], False
        for file in mapped_files(pid, maps):
            library = openssl.is_openssl(file.path) or gnutls.is_gnutls(file.path)
            problems += [problem for start, problem in _OTHERS if os.path.basename(file.path).startswith(start)]
            if not library and file.path != executable:
                continue
            with contextlib.suppress(OSError):  # it was unmapped since
                known = self._known(file)
                is_read |= not known.problem
                if library or known.is_library:
                    problems.append(known.problem)
        self._unreadable.pop(pid, None)
        if not is_read and len(self._unreadable) < tuning.MAX_TLS_PROCESSES:
            self._unreadable[pid] = name.decode(errors="replace"), "; ".join(problems) or _NO_LIBRARY

    def _known(self, file: MappedFile) -> _Known:
        """Return what is known of a file, after it was attached to if that is possible. Raises OSError."""
        fd = os.open(file.link, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            status = os.fstat(fd)
            key = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
            if key not in self._files:
                if len(self._files) >= tuning.MAX_KNOWN_MODULES:
                    return _Known("too many files were seen", is_library=False)
                self._files[key] = self._attach(fd, file.path)
            return self._files[key]
        finally:
            os.close(fd)

    def _attach(self, fd: int, path: bytes) -> _Known:
        """Attach to a file, if that is possible. Raises OSError if it cannot be read."""
        name = os.path.basename(path).decode(errors="replace")
        find_places = gnutls.find_places if gnutls.is_gnutls(path) else openssl.find_places
        try:
            places = find_places(fd)
        except UnknownCodeError as error:
            return _Known(f"{name} {error}", is_library=False)
        if self._attached == tuning.MAX_TLS_FILES:
            return _Known(f"{name} is one of more than {tuning.MAX_TLS_FILES} such files", is_library=True)
        place = places.read % _PAGE
        if self._registers.setdefault(place, places.registers) != places.registers:
            return _Known(f"{name} cannot be told from another library", is_library=True)
        events: list[int] = []
        try:
            self._set_registers(place, places.registers)
            for program, offset in ((places.reader, places.read), (WRITE, places.write)):
                events.append(self._attach_program(program, fd, offset))
        except OSError as error:
            for event in events:
                os.close(event)
            return _Known(f"{name} cannot be probed: {error.strerror}", is_library=True)
        self._events += events
        self._attached += 1
        return _Known("", is_library=True)


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read(MAX_MAPS)
