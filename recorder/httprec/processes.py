"""Read what /proc says about a process at its first call, and keep it until one of its calls is recorded.

A short process has ended by the time its slow call is known to be slow, so the kernel announces every process that
begins a call. Only processes with a recorded call get into the capture. If a stack is newer than the maps of its
process, they are read again: the process may have loaded a library (dlopen) or become another program (exec) since.
If they are unchanged, the capture says until when, because a reporter must know which maps belong to the moment of a
stack. Large maps are read less often, so that a process costs at most a hundredth of a core however often its maps
change; code that was mapped only between two readings is not in the capture.

The most recently used processes are remembered. A forgotten one is read again if it still runs.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import replace
from typing import Callable, NamedTuple

from httpcapture import (
    KERNEL_PATHS,
    MAX_MAPS,
    MAX_MODULES,
    MAX_PATH,
    MEMORY_FILES,
    NO_JIT_MAP_SEEN,
    VDSO,
    BeyondLimitError,
    JitMap,
    MappedModule,
    Process,
    Writer,
)

from . import tuning
from .containers import ContainerNames
from .jit_maps import JitMaps
from .modules import Modules

_EXECUTABLE = re.compile(rb"^([0-9a-f]+)-([0-9a-f]+) ..x. [0-9a-f]+ [0-9a-f]+:[0-9a-f]+ ([0-9]+) *(.*)$", re.MULTILINE)
_CLOCK_TICKS = os.sysconf("SC_CLK_TCK")

_PF_KTHREAD = 0x00200000  # include/linux/sched.h
_ENDED_EARLY = "ended before its maps were read"

Key = tuple[int, int]  # pid, start since boot in ns
_Code = list[tuple[bytes, bytes, bytes, bytes]]  # executable mappings: start, end, inode, path


class _GoneError(Exception):
    """Report that the process has ended, or that its pid now belongs to another process."""


class _KnownProcess(NamedTuple):
    record: Process
    code: _Code
    checked_ns: int  # when the mappings were last seen to be complete
    part: int = 0  # number of the last part that has this record
    unchanged_ns: int = 0  # when the mappings had last been read again and were unchanged
    written_ns: int = 0  # what the last part says about that

    @property
    def next_check_ns(self) -> int:
        """Return when the maps may be read again: the longer they are, the later."""
        return self.checked_ns + tuning.MAPS_CHECK_NS_PER_BYTE * len(self.record.maps)

    @property
    def makes_code(self) -> bool:
        """Return whether the process has code that no file holds."""
        in_memory = (
            path.startswith(MEMORY_FILES) or (inode == b"0" and path not in KERNEL_PATHS)
            for _, _, inode, path in self.code
        )
        return bool(self.record.namespace_pid) and any(in_memory)


def _read(path: str, limit: int) -> bytes:
    with open(path, "rb") as file:
        return file.read(limit)


class Processes:
    """Remember processes, and write those with a recorded call. `now_ns` is a time on CLOCK_MONOTONIC. `on_maps` is
    called with each process whose maps were read just now."""

    def __init__(
        self, writer: Writer, modules: Modules, on_maps: Callable[[Process], None] = lambda process: None
    ) -> None:
        self._writer, self._modules = writer, modules
        self._on_maps = on_maps
        self._part = 1
        self._known: OrderedDict[Key, _KnownProcess] = OrderedDict()  # the most recently used last
        self._size = 0  # bytes of their maps
        self._unchecked: set[Key] = set()  # known processes with a stack that is newer than their maps
        self.recorded = 0  # processes with a recorded call
        self.gone = 0  # recorded processes whose maps could not be read in time
        self.left_out = 0  # maps for which a capture had no room
        self._jit_maps = JitMaps(writer)
        self._container_names = ContainerNames()

    def begin_part(self, writer: Writer) -> None:
        """Begin another capture, which needs the processes of its own calls."""
        self._writer = writer
        self._part += 1
        self._jit_maps.begin_part(writer)
        self._modules.begin_part(writer)

    def announce(self, key: Key, now_ns: int) -> None:
        """Read the maps of a process that has just begun a call, while it still runs."""
        if key not in self._known:
            self._remember(key, self._read_or_gone(key, now_ns))

    def record(self, key: Key, now_ns: int) -> None:
        """Write a process, one of whose calls is recorded, unless the capture has it."""
        known = self._known.get(key) or self._read_or_gone(key, now_ns)
        if known.part == self._part:
            self._known.move_to_end(key)
            return
        if not known.part:
            self.recorded += 1
            self.gone += known.record.problem == _ENDED_EARLY
        self._write(key, known)
        self._jit_maps.copy(key, now_ns)

    def check_stack(self, key: Key, taken_ns: int) -> None:
        """Let `check_maps` read the maps of a recorded process again if a stack of it is newer than they are."""
        known = self._known[key]
        if not known.record.problem and taken_ns > known.checked_ns:
            self._unchecked.add(key)

    def check_maps(self, now_ns: int, *, last: bool = False) -> None:
        """Read maps again that need it, except those that were read just now, unless this is the `last` time of the
        part. Then write also for all processes until when their maps were unchanged."""
        for key in list(self._unchecked):
            known = self._known.get(key)
            if known and not last and now_ns < known.next_check_ns:
                continue
            self._unchecked.remove(key)
            if known:
                self._check(key, known, now_ns)

        if last:
            for key, known in self._known.items():
                self._known[key] = self._write_unchanged(key, known)

    def _check(self, key: Key, known: _KnownProcess, now_ns: int) -> None:
        known = known._replace(checked_ns=now_ns)
        code = _code(key)
        if code == known.code:
            known = known._replace(unchanged_ns=time.monotonic_ns())
        if code != known.code or known.unchanged_ns - known.written_ns >= tuning.UNCHANGED_NS:
            known = self._write_unchanged(key, known)
        self._remember(key, known)
        if code is not None and code != known.code:
            newer = self._read_or_gone(key, now_ns)
            if not newer.record.problem:
                self._write(key, newer)

    def _write_unchanged(self, key: Key, known: _KnownProcess) -> _KnownProcess:
        """Write until when the maps of a process were unchanged, unless the part says so or has not the maps."""
        if known.part != self._part or known.unchanged_ns <= known.written_ns:
            return known
        ns = known.unchanged_ns
        with contextlib.suppress(BeyondLimitError):
            self._writer.process(Process(*key, ns, b"", b"", 0, b"", (), read_ns=ns, unchanged=True))
        return known._replace(written_ns=ns)

    def write_jit_maps(self, now_ns: int) -> None:
        """Write the rest of the names that just-in-time compilers gave to their code; for a process that ended before
        they could be read, write that."""
        for key, known in self._known.items():
            if known.part == self._part and not self._copy_jit_map(key, now_ns):
                with contextlib.suppress(BeyondLimitError):
                    self._writer.jit_map(JitMap(*key, now_ns, 0, b"", NO_JIT_MAP_SEEN))

    def _copy_jit_map(self, key: Key, now_ns: int) -> bool:
        """Copy what the JIT map of a process has more than before. Return whether it could be looked for."""
        known = self._known[key]
        if not known.makes_code:
            return True
        runs = True
        try:
            thread, _ = _thread_and_maps(key[0])
            _name(*key)
            self._jit_maps.open(key, thread, known.record.namespace_pid, known.code)
        except (_GoneError, OSError):
            runs = False
        if known.part == self._part:
            self._jit_maps.copy(key, now_ns)
        return runs or self._jit_maps.has(key)

    def _write(self, key: Key, known: _KnownProcess) -> None:
        known = known._replace(record=self._with_container(known.record))
        self._modules.record(mapped.module for mapped in known.record.modules)
        try:
            self._writer.process(known.record)
        except BeyondLimitError:
            self.left_out += 1
        self._remember(key, known._replace(part=self._part, written_ns=known.record.read_ns))

    def _with_container(self, process: Process) -> Process:
        """Return the process with the name of its container, if that is known by now."""
        if process.container_name or not process.cgroups:
            return process
        return replace(process, container_name=self._container_names.name(process.cgroups, time.monotonic_ns()))

    def _remember(self, key: Key, known: _KnownProcess) -> None:
        """Mark the process as used now, and forget the least recently used ones if there are too many."""
        if key in self._known:
            self._size -= len(self._known.pop(key).record.maps)
        self._known[key] = known
        self._size += len(known.record.maps)
        while self._remembers_too_much():
            self._size -= len(self._known.popitem(last=False)[1].record.maps)

    def _remembers_too_much(self) -> bool:
        """Return whether there are too many processes or, of more than one, too many bytes of maps."""
        count = len(self._known)
        return count > tuning.MAX_KNOWN_PROCESSES or (count > 1 and self._size > tuning.MAX_KNOWN_MAPS_BYTES)

    def _read_or_gone(self, key: Key, now_ns: int) -> _KnownProcess:
        pid, start_ns = key
        try:
            known = self._read_process(pid, start_ns, now_ns)
            self._on_maps(known.record)
            return known
        except (_GoneError, OSError):
            gone = Process(pid, start_ns, now_ns, b"", b"", 0, b"", (), _ENDED_EARLY)
            return _KnownProcess(gone, [], now_ns)

    def _read_process(self, pid: int, start_ns: int, now_ns: int) -> _KnownProcess:
        _name(pid, start_ns)  # a tenth of the cost if the process has ended, as most have in a storm of short ones
        thread, maps = _thread_and_maps(pid)
        problem = ""
        if len(maps) > MAX_MAPS:
            maps = maps[: maps.rindex(b"\n", 0, MAX_MAPS) + 1]
            problem = f"maps were cut off at {MAX_MAPS} bytes"
        code = _EXECUTABLE.findall(maps)
        modules: list[MappedModule] = []
        for low, high, inode, path in code:
            if (inode != b"0" or path == VDSO) and len(modules) < MAX_MODULES:
                modules += self._mapped_module(thread, int(low, 16), int(high, 16), path)
        executable, namespace_pid = b"", 0
        if maps:
            executable = os.readlink(f"/proc/{thread}/exe".encode())[:MAX_PATH]
            namespace_pid = _namespace_pid(_read(f"/proc/{thread}/status", 65536))
        else:
            problem = "has no user space"
        cgroups = _read(f"/proc/{thread}/cgroup", MAX_PATH)
        cgroups = cgroups[: cgroups.rfind(b"\n") + 1]  # whole lines
        name = _name(pid, start_ns)  # last: if it is still the same process, all of this was read from it
        read_ns = time.monotonic_ns()
        record = Process(
            pid,
            start_ns,
            now_ns,
            name,
            executable,
            namespace_pid,
            maps,
            tuple(modules),
            problem,
            read_ns,
            cgroups=cgroups,
        )
        known = _KnownProcess(self._with_container(record), code, now_ns)
        if known.makes_code:
            self._jit_maps.open((pid, start_ns), thread, namespace_pid, code)
        return known

    def _mapped_module(self, pid: int, low: int, high: int, path: bytes) -> list[MappedModule]:
        try:
            if path == VDSO:
                return [MappedModule(low, self._modules.vdso_number(pid, low, high))]
            return [MappedModule(low, self._modules.number(pid, f"{low:x}-{high:x}", path))]
        except OSError:
            return []  # unmapped since, or a device; the reporter reports that no module was recorded


def _thread_and_maps(pid: int) -> tuple[int, bytes]:
    """Return a thread that has not ended, and its maps. Raises _GoneError if there is none, or OSError.

    The thread group leader will not always do: it may end before other threads (pthread_exit in main), and has no
    memory then. /proc/TID has the same files as /proc/PID, for that thread (fs/proc/base.c, proc_pid_lookup).
    """
    for thread in _threads(pid):
        with contextlib.suppress(OSError):  # it has ended since
            maps = _read(f"/proc/{thread}/maps", MAX_MAPS + 1)
            _, state, flags, _ = _name_state_flags_start(_read(f"/proc/{thread}/stat", 4096))
            # A thread that ends gives its memory back a moment before it becomes a zombie.
            if state not in b"ZX" and (maps or flags & _PF_KTHREAD):
                return thread, maps
    raise _GoneError


def _code(key: Key) -> _Code | None:
    """Return the executable mappings of a process, None if it has ended."""
    pid, start_ns = key
    try:
        code = _EXECUTABLE.findall(_thread_and_maps(pid)[1])
        _name(pid, start_ns)  # last: if it is still the same process, they are its mappings
    except (_GoneError, OSError):
        return None
    return code


def _name(pid: int, start_ns: int) -> bytes:
    """Return the comm of a process. Raises _GoneError if its pid now belongs to another process, or OSError."""
    name, _, _, ticks = _name_state_flags_start(_read(f"/proc/{pid}/stat", 4096))
    if ticks != start_ns * _CLOCK_TICKS // 1_000_000_000:
        raise _GoneError
    return name


def thread_name(pid: int, tid: int, start_ns: int) -> bytes:
    """Return the comm of a thread of a process, or b"" if it has ended."""
    try:
        _name(pid, start_ns)
        return _read(f"/proc/{pid}/task/{tid}/comm", 4096)[:-1]
    except (_GoneError, OSError):
        return b""


def _threads(pid: int) -> Iterator[int]:
    """Yield the threads of a process, the thread group leader first."""
    yield pid
    yield from map(int, os.listdir(f"/proc/{pid}/task"))


def _name_state_flags_start(stat_line: bytes) -> tuple[bytes, bytes, int, int]:
    """Return comm, state, flags and start time in ticks (proc(5), fields 2, 3, 9 and 22). A comm can contain `)`."""
    name, _, rest = stat_line.partition(b"(")[2].rpartition(b")")
    fields = rest.split()
    return name, fields[0], int(fields[6]), int(fields[19])


def _namespace_pid(status: bytes) -> int:
    match = re.search(rb"^NStgid:.*?([0-9]+)$", status, re.MULTILINE)
    return int(match.group(1)) if match else 0
