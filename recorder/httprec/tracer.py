"""Run the BPF program in the kernel.

`Tracer` loads and attaches it (loader.py), and gives access to its rings, its counters and, at the end, the connections
that are still open.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import mmap
import os
import re
import select
import struct
import time
from collections.abc import Container, Iterable, Iterator

from httpbpf import layout
from httpbpf.process_filter import FilterError, compile_filter

from .bpf_maps import BpfMap, cpus
from .errors import RecorderError
from .fast_calls import FastCalls, sum_rows
from .listeners import Port
from .loader import KPROBE_EVENTS, TracingOptions, load_program
from .ring import Ring
from .short_calls import ShortRings
from .tls.places import Registers

_KPROBE_PROFILES = ("/sys/kernel/tracing/kprobe_profile", "/sys/kernel/debug/tracing/kprobe_profile")
_MEMBARRIER_GLOBAL = 1
_SYS_MEMBARRIER = {"x86_64": 324, "aarch64": 283}
_U32, _U64 = struct.Struct("<I"), struct.Struct("<Q")
_LISTENER = struct.Struct("<II")  # struct listener, maps.h
_RUNS, _WALKS_STREAMS = 1, 2  # bits of `running`, maps.h
_STREAM_KEY_SIZE = 16  # struct stream_key, http2.h


class Tracer:
    """Attach the program, and detach it on leaving the context. Raises RecorderError if the kernel or BCC cannot attach
    it."""

    short_rings: ShortRings | None = None  # calls below the threshold are counted only
    _heads: Ring | None = None  # none are kept
    _blocks: Ring | None = None  # none are sent

    def __init__(self, options: TracingOptions) -> None:
        try:
            patterns = compile_filter(options.process_filters) if options.process_filters else None
        except FilterError as error:
            raise RecorderError(str(error)) from error
        _remove_kretprobe_names()
        self._cpus = cpus()
        self._sizes = sizes = options.sizes
        self._loaded = load_program(options)
        self.probes = self._loaded.probes
        if patterns:
            table = b"".join(patterns)
            self._map("process_filters", len(table)).put(_U32.pack(0), table)
        ignored = self._map("ignored_pids", 1)
        for pid in options.ignored_pids:
            ignored.put(_U32.pack(pid), b"\1")
        copies = sizes.copies
        self._fill_free_slots("free_slots", range(1, copies + 1))
        self._fill_free_slots("free_frame_slots", range(copies + 1, copies + sizes.frame_slots + 1))
        if sizes.http_bytes:
            self._fill_free_slots("head_turns", range(1, sizes.head_slots + 1))
        self._counters = self._map("counters", 8 * self._cpus)
        self.calls = self._ring("call_ring", sizes.call_ring_pages)
        self.completions = self._ring("completion_ring", sizes.completion_ring_pages)
        self.stacks = self._ring("stack_ring", sizes.stack_ring_pages)
        self.processes = self._ring("process_ring", sizes.process_ring_pages)
        if sizes.short_ring_pages:
            calls, connections = sizes.short_ring_pages, sizes.connection_ring_pages
            self.short_rings = ShortRings(self._ring("short_ring", calls), self._ring("connection_ring", connections))
        self.walks_frames = "walked_ring" in self._loaded.maps
        """Whether the kernel walks frames of interpreters."""
        self.walk_problem = self._loaded.walk_problem
        """Why the kernel walks none although this was asked for, or nothing."""
        self.http2_problem = self._loaded.http2_problem
        """Why the kernel does not tell the streams of HTTP/2 apart, or nothing."""
        self.tls_programs = self._loaded.tls
        """By name, the programs to attach to TLS libraries; none if their plaintext is not read."""
        rings = ["process_ring", "call_ring"] + ["walked_ring"] * self.walks_frames
        self._waking = select.epoll()
        for name in rings:  # when the kernel says so, not for as long as there are rows
            self._waking.register(self._loaded.maps[name], select.EPOLLIN | select.EPOLLET)
        if sizes.http_bytes:
            self._heads = self._ring("head_ring", sizes.head_ring_pages)
        self.walks_streams = "streams" in self._loaded.maps
        """Whether the kernel tells the streams of HTTP/2 apart."""
        self._streams_end = self._ring("streams_end_ring", sizes.streams_end_ring_pages) if self.walks_streams else None
        if "block_ring" in self._loaded.maps:
            self._blocks = self._ring("block_ring", sizes.block_ring_pages)
        self._walked = self._ring("walked_ring", sizes.python_ring_pages) if self.walks_frames else None

    def __enter__(self) -> Tracer:
        return self

    def __exit__(self, *exception: object) -> None:
        self._waking.close()
        for fd in (*self._loaded.attachments, *self._loaded.programs, *self._loaded.maps.values()):
            os.close(fd)
        _remove_kretprobe_names(self._loaded.events)

    def _map(self, name: str, value_size: int, key_size: int = 4) -> BpfMap:
        return BpfMap(self._loaded.maps[name], key_size, value_size)

    def _fill_free_slots(self, name: str, slots: Iterable[int]) -> None:
        for slot in slots:
            self._map(name, 4).push(_U32.pack(slot))

    def _ring(self, name: str, pages: int) -> Ring:
        return Ring(self._loaded.maps[name], pages * mmap.PAGESIZE)

    def _set_running(self, on: int) -> None:
        self._map("running", 4).put(_U32.pack(0), _U32.pack(on))

    def set_listeners(self, ports: Iterable[Port]) -> None:
        """Tell the program, before it starts, on which ports processes listen, and, by a port 0, of which
        network namespaces it knows all (listeners.py)."""
        listeners = self._map("listeners", 1, _LISTENER.size)
        for port in ports:
            listeners.put(_LISTENER.pack(*port), b"\1")

    def start(self) -> None:
        """Let the probes follow connections."""
        self._set_running(_RUNS | (_WALKS_STREAMS if self.walks_streams else 0))

    def wait(self, timeout_s: float) -> None:
        """Wait until the kernel says that some rows should be read soon, or for this many seconds."""
        self._waking.poll(timeout_s)

    def stop(self) -> None:
        """Stop the probes. After this returns, none of them changes a map or ring."""
        self._set_running(0)
        # A global membarrier waits for a grace period of RCU, under which every probe runs (kernel/sched/membarrier.c).
        number = _SYS_MEMBARRIER.get(os.uname().machine, -1)
        if ctypes.CDLL(None).syscall(number, _MEMBARRIER_GLOBAL, 0) != 0:
            time.sleep(0.5)

    def reads_maps(self) -> bool:
        """Return whether this process may still read the program's maps."""
        try:
            return self._counters.get(_U32.pack(0)) is not None
        except OSError:
            return False

    def _count(self, index: int) -> int:
        values = self._counters.get(_U32.pack(index)) or b""
        return sum(memoryview(values).cast("Q"))

    def counters(self) -> dict[str, int]:
        """Return the kernel's counters by name, summed over all CPUs, and the probes that the kernel missed."""
        counts = {name: self._count(index) for index, name in enumerate(layout.COUNTERS)}
        in_profile = sum(_profile_misses(self._loaded.events)) if self.probes == "kprobe" else 0
        certain = 0 if self._loaded.faults_are_misses else in_profile
        counts["probe_missed"] = self._missed_programs() + certain
        counts["probe_perhaps_missed"] = in_profile - certain
        return counts

    def fast_calls(self) -> FastCalls:
        """Return the calls that ended below the threshold, summed over all CPUs."""
        size = layout.FAST_CALLS.size
        values = self._map("fast_calls", size * self._cpus).get(_U32.pack(0)) or b""
        return sum_rows(values[start : start + size] for start in range(0, len(values), size))

    def _missed_programs(self) -> int:
        missed = 0
        for fd in self._loaded.programs:
            with open(f"/proc/self/fdinfo/{fd}") as file:  # 5.12 and later, commit 9ed9e9ba2337
                match = re.search(r"^recursion_misses:\s*(\d+)", file.read(), re.MULTILINE)
            missed += int(match.group(1)) if match else 0
        return missed

    def open_connections(self) -> Iterator[bytes]:
        """Yield the struct connection (rows.h) of every socket that is followed.

        While probes run, connections that change are left out. Changes of the map can make the iteration start again,
        so it is bounded.
        """
        connections = self._map("connections", layout.CONNECTION.size, _U64.size)
        for key in itertools.islice(connections.keys(), 2 * self._sizes.connections):
            found = connections.get(key)
            if found is not None and found == connections.get(key):
                yield found

    def streams_ends(self) -> Iterator[bytes]:
        """Yield the rows (streams_end_row, rows.h) that have arrived."""
        return self._streams_end.records() if self._streams_end else iter(())

    def open_streams(self, connections: Container[int] | None = None) -> Iterator[tuple[bytes, bytes]]:
        """Yield key and struct connection (rows.h) of every HTTP/2 stream that is open, of all connections or of those
        with these numbers."""
        if not self.walks_streams:
            return
        streams = self._map("streams", layout.CONNECTION.size, _STREAM_KEY_SIZE)
        for key in itertools.islice(streams.keys(), 2 * self._sizes.streams):
            if connections is not None and int.from_bytes(key[:8], "little") not in connections:
                continue
            found = streams.get(key)
            if found is not None:
                yield key, found

    def forget_stream(self, key: bytes, slots: Iterable[int]) -> None:
        """Give up an open stream, and the slots in which its stacks wait."""
        if not self._map("streams", layout.CONNECTION.size, _STREAM_KEY_SIZE).delete(key):
            return
        for slot in filter(None, slots):
            name = "free_slots" if slot <= self._sizes.copies else "free_frame_slots"
            self._map(name, 4).push(_U32.pack(slot))

    def stack_in(self, slot: int) -> bytes:
        """Return the stack row that waits in a slot (numbered from 1) with the frames or stack bytes that follow it
        (slots.h)."""
        copies, copy_size = self._sizes.copies, layout.STACK_ROW.size + self._sizes.stack_pages * mmap.PAGESIZE
        if slot <= copies:
            name, size, index = "stack_copies", copy_size, slot - 1
        else:
            name, size, index = "stack_frames", layout.STACK_FRAMES_SIZE, slot - 1 - copies
        return self._map(name, size).get(_U32.pack(index)) or b""

    def head_rows(self) -> Iterator[bytes]:
        """Yield the rows with heads that have arrived: struct head_row (rows.h) and the bytes behind it."""
        return self._heads.records() if self._heads else iter(())

    def heads_in(self, slot: int) -> Iterator[bytes]:
        """Yield the same of the heads that wait in a slot (numbered from 1). They may be those of another call."""
        size, room = layout.head_slot_size(self._sizes.http_bytes), layout.head_room(self._sizes.http_bytes)
        found = self._map("head_slots", size).get(_U32.pack(slot - 1)) or b""
        request, response = layout.HEAD_SLOT_BEGIN, layout.HEAD_SLOT_BEGIN + layout.HEAD_ROW.size + room
        if found:
            yield found[request:response]
            yield found[response:]

    def block_rows(self) -> Iterator[bytes]:
        """Yield the rows with pieces of header blocks of HTTP/2, and with what became of streams, that have arrived:
        struct block_row (rows.h) and the bytes behind it."""
        return self._blocks.records() if self._blocks else iter(())

    def walked_rows(self) -> Iterator[bytes]:
        """Yield the rows with frames of interpreters that have arrived."""
        return self._walked.records() if self._walked else iter(())

    def walked_waiting(self, slot: int) -> bytes:
        """Return the walked_row (runtime_rows.h) with its frames of the stack that waits in a slot; b"" for none
        (runtimes.h)."""
        sizes = self._sizes
        index = slot - 1 if sizes.copies else sizes.frame_slots - slot
        if not self.walks_frames or index >= sizes.walked_slots:
            return b""
        return self._map("walked_stacks", layout.WALKED_STACK_SIZE).get(_U32.pack(index)) or b""

    def set_tls_registers(self, place: int, registers: Registers) -> None:
        """Tell the kernel in which registers a TLS library has what it has read, at a probe with this offset in its
        page."""
        self._map("tls_registers", _U32.size).put(_U32.pack(place), bytes(registers))

    def set_runtime(self, key: tuple[int, int], runtime: bytes) -> None:
        """Tell the kernel the struct runtime (runtime_rows.h) of a process, by pid and start."""
        pid, start_ns = key
        self._map("runtimes", len(runtime), 16).put(_U64.pack(start_ns) + _U64.pack(pid), runtime)

    def set_runtime_of_executable(self, pid: int, runtime: bytes) -> None:
        """Tell the kernel the struct runtime of the processes that run the same executable as a process. Raises OSError
        if that has ended."""
        status = os.stat(f"/proc/{pid}/exe")
        device = os.major(status.st_dev) << 20 | os.minor(status.st_dev)  # as in s_dev: include/linux/kdev_t.h
        self._map("executables", len(runtime), 16).put(_U64.pack(status.st_ino) + _U64.pack(device), runtime)


def _remove_kretprobe_names(ours: str = "") -> None:
    """Remove from kprobe_events the kretprobes whose names end with `ours`, and those of killed recorders, which the
    kernel has detached but still lists."""
    for path in KPROBE_EVENTS:
        with contextlib.suppress(OSError):
            with open(path) as file:
                names = re.findall(r"^r\d*:(kprobes/r_tcp_\w+(_bcc_(\d+))) ", file.read(), re.MULTILINE)
            events = os.open(path, os.O_WRONLY | os.O_CLOEXEC)  # without O_TRUNC, which would remove all kprobe events
            for name in (name for name, end, pid in names if end == ours or not os.path.exists(f"/proc/{pid}")):
                with contextlib.suppress(OSError):  # another program uses it
                    os.write(events, f"-:{name}\n".encode())
            os.close(events)
            return


def _profile_misses(suffix: str) -> Iterable[int]:
    """Return how often the kernel missed each of our kprobe events, from lines `name hits misses`."""
    for path in _KPROBE_PROFILES:
        with contextlib.suppress(OSError), open(path) as file:
            return [int(line.split()[2]) for line in file if line.split()[0].endswith(suffix)]
    return []
