"""What /proc knows of a process is read at its first call and kept until a call of it is recorded.

A short process is gone by the time that its slow call is known to be slow, so the kernel announces every process that
begins a call; only those with a recorded call get into the capture. When a stack has an address outside of the maps
that were read, the process has loaded something (dlopen) or has become another program (exec): the maps are read again.
"""

from __future__ import annotations

import bisect
import os
import re
import stat
from collections import OrderedDict
from collections.abc import Sequence
from typing import Callable, NamedTuple

from httpcapture import MAX_MAPS, MAX_MODULES, MAX_PATH, MappedModule, Module, Process

from .elf_identity import Identity, identify

_MAX_WAITING = 1024  # processes that have no recorded call yet; some 20 kB each
_EXECUTABLE = re.compile(rb"^([0-9a-f]+)-([0-9a-f]+) ..x. [0-9a-f]+ [0-9a-f]+:[0-9a-f]+ ([0-9]+) *(.*)$", re.MULTILINE)
_CLOCK_TICKS = os.sysconf("SC_CLK_TCK")

_GONE = "ended before its maps were read"

Key = tuple[int, int]  # pid, start since boot in ns


class _GoneError(Exception):
    """The process has ended, or its pid is another process's now."""


class _Known(NamedTuple):
    record: Process
    starts: Sequence[int]  # of executable mappings, ascending
    ends: Sequence[int]

    def covers(self, address: int) -> bool:
        index = bisect.bisect_right(self.starts, address) - 1
        return index >= 0 and address < self.ends[index]


def _read(path: str, limit: int) -> bytes:
    with open(path, "rb") as file:
        return file.read(limit)


class Modules:
    """ELF files by number; each is identified once as long as its inode, size and times stay."""

    def __init__(self, emit: Callable[[Module], None]) -> None:
        self._emit = emit
        self._numbers: dict[tuple[int, ...], int] = {}

    def number(self, pid: int, mapping: str, path: bytes) -> int:
        """The number of the file behind /proc/PID/map_files/MAPPING, which deletion and mount namespaces do not hide.

        Raises OSError where it cannot be read any more.
        """
        link = f"/proc/{pid}/map_files/{mapping}"
        status = os.stat(link)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(0, "is not a regular file", link)
        key = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        if key not in self._numbers:
            self._numbers[key] = len(self._numbers) + 1
            identity = self._identify(link)
            self._emit(Module(self._numbers[key], path[:MAX_PATH], *identity))
        return self._numbers[key]

    @staticmethod
    def _identify(link: str) -> Identity:
        try:
            fd = os.open(link, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            return Identity(b"", 0, b"", f"cannot be opened: {error.strerror}")
        try:
            return identify(fd)
        except OSError as error:
            return Identity(b"", 0, b"", f"cannot be read: {error.strerror}")
        finally:
            os.close(fd)


class Processes:
    """`emit_module` and `emit_process` take the records for the capture. Times: `now_ns` on CLOCK_MONOTONIC."""

    def __init__(self, emit_module: Callable[[Module], None], emit_process: Callable[[Process], None]) -> None:
        self._modules = Modules(emit_module)
        self._emit = emit_process
        self._waiting: OrderedDict[Key, _Known] = OrderedDict()
        self._recorded: dict[Key, _Known] = {}
        self.gone = 0  # processes with a recorded call whose maps could not be read in time

    def __len__(self) -> int:
        return len(self._recorded)

    def announce(self, key: Key, now_ns: int) -> None:
        """A process has begun a call: its maps are read while it is surely there."""
        if key not in self._waiting and key not in self._recorded:
            self._waiting[key] = self._look(key, now_ns)
            if len(self._waiting) > _MAX_WAITING:
                self._waiting.popitem(last=False)

    def record(self, key: Key, now_ns: int) -> None:
        """A call of this process is recorded: so is the process."""
        if key not in self._recorded:
            known = self._waiting.pop(key, None) or self._look(key, now_ns)
            self._recorded[key] = known
            self._emit(known.record)
            self.gone += known.record.problem == _GONE

    def check_stack(self, key: Key, addresses: Sequence[int], now_ns: int) -> None:
        """Reads the maps again when a stack has been where they did not reach."""
        known = self._recorded.get(key) or self._waiting.get(key)
        if known is None or known.record.problem or all(map(known.covers, addresses)):
            return
        newer = self._look(key, now_ns)
        if newer.record.problem or newer.record.maps == known.record.maps:
            return
        if key in self._recorded:
            self._recorded[key] = newer
            self._emit(newer.record)
        else:
            self._waiting[key] = newer

    def _look(self, key: Key, now_ns: int) -> _Known:
        pid, start_ns = key
        try:
            return self._read_process(pid, start_ns, now_ns)
        except (_GoneError, OSError):
            gone = Process(pid, start_ns, now_ns, b"", b"", 0, b"", (), _GONE)
            return _Known(gone, (), ())

    def _read_process(self, pid: int, start_ns: int, now_ns: int) -> _Known:
        maps = _read(f"/proc/{pid}/maps", MAX_MAPS + 1)
        problem = ""
        if len(maps) > MAX_MAPS:
            maps = maps[: maps.rindex(b"\n", 0, MAX_MAPS) + 1]
            problem = f"maps were cut off at {MAX_MAPS} bytes"
        starts: list[int] = []
        ends: list[int] = []
        modules: list[MappedModule] = []
        for low, high, inode, path in _EXECUTABLE.findall(maps):
            starts.append(int(low, 16))
            ends.append(int(high, 16))
            if inode != b"0" and len(modules) < MAX_MODULES:
                modules += self._mapped_module(pid, starts[-1], ends[-1], path)
        name, ticks = _name_and_start(_read(f"/proc/{pid}/stat", 4096))
        if ticks != start_ns * _CLOCK_TICKS // 1_000_000_000:
            raise _GoneError
        if not maps:
            return _Known(Process(pid, start_ns, now_ns, name, b"", 0, b"", (), "has no user space"), (), ())
        executable = os.readlink(f"/proc/{pid}/exe".encode())[:MAX_PATH]
        namespace_pid = _namespace_pid(_read(f"/proc/{pid}/status", 65536))
        record = Process(pid, start_ns, now_ns, name, executable, namespace_pid, maps, tuple(modules), problem)
        return _Known(record, starts, ends)

    def _mapped_module(self, pid: int, low: int, high: int, path: bytes) -> list[MappedModule]:
        try:
            return [MappedModule(low, self._modules.number(pid, f"{low:x}-{high:x}", path))]
        except OSError:
            return []  # unmapped since, or a device: the reporter says that no module was recorded


def _name_and_start(stat_line: bytes) -> tuple[bytes, int]:
    """comm and start time in clock ticks (proc(5), fields 2 and 22); comm may hold anything, `)` too."""
    name, _, rest = stat_line.partition(b"(")[2].rpartition(b")")
    return name, int(rest.split()[19])


def _namespace_pid(status: bytes) -> int:
    match = re.search(rb"^NSpid:.*?([0-9]+)$", status, re.MULTILINE)
    return int(match.group(1)) if match else 0
