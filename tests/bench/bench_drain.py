"""Measure how many calls per second one core takes out of the kernel: httprec, and BCC's two ways with a callback per
event.

    sudo PYTHONPATH=recorder:bpf:format:reporter python tests/bench/bench_drain.py

The kernel fills a ring with the rows of a keep-alive load (bench_capture.py); then it is drained into a file in memory,
and that is measured, in processor time of one core. httprec's own recording loop does it. With BCC, a callback casts
the event, as BCC's own tools do, and stores its fields as one msgpack array: as it is, or through zstd as httprec does.
Each number is the best of ROUNDS, which take turns; `ratio` is httprec's speed by that one's.
"""

from __future__ import annotations

import ctypes
import os
import platform
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Callable, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import msgpack
import zstandard
from bench_capture import keep_alive_load

from httpbpf.layout import CALL_ROW, COUNTERS, MAX_FRAMES
from httpbpf.program import Sizes
from httpbpf.sources import kernel_tree, read_source
from httpcapture import RING_HEADER, Meta, Writer
from httpcapture.writer import LEVEL
from httprec import host
from httprec.call_printer import CallPrinter
from httprec.fast_calls import FastCalls
from httprec.parts import Bounds, Parts
from httprec.recording_loop import RecordingLoop
from httprec.ring import Ring

READY, ROWS_A_CALL, CALLS = 1 << 15, 512, 80
EVENTS = ROWS_A_CALL * CALLS
RING_PAGES = 4096
ROUNDS = 7
SYSCALLS = {"x86_64": (121, 124), "aarch64": (155, 156)}  # getpgid, getsid
BYTES = frozenset(field.name for field in CALL_ROW.fields if field.type.startswith("bytes"))
NAMES = [field.name for field in CALL_ROW.fields]


class Way(NamedTuple):
    """Describe one way to drain: `fill` puts ROWS_A_CALL events into its ring, `drain` returns how many it stored in
    the file."""

    name: str
    fill: Callable[[int], int]
    drain: Callable[[BinaryIO], int]


class NothingElse:
    """Stand in for a tracer whose only events are calls."""

    is_cut = False  # as a ring, which this is too
    walks_frames = False
    short_rings = None

    def __init__(self, calls: Ring) -> None:
        self.calls = calls
        self.stacks = self.processes = self.completions = self

    def records(self) -> Iterator[bytes]:
        return iter(())

    def rows(self, _size: int) -> memoryview:
        return memoryview(b"")

    def start(self) -> None: ...

    stop = start

    def wait(self, timeout_s: float) -> None: ...

    def head_rows(self) -> Iterator[bytes]:
        return iter(())

    block_rows = head_rows

    def counters(self) -> dict[str, int]:
        return dict.fromkeys(COUNTERS, 0)

    def fast_calls(self) -> FastCalls:
        return FastCalls()

    def open_connections(self) -> Iterator[bytes]:
        return iter(())

    def open_streams(self, connections: object = None) -> Iterator[tuple[bytes, bytes]]:
        return iter(())

    def streams_ends(self) -> Iterator[bytes]:
        return iter(())


class InFile(Parts):
    """Write a capture into an open file."""

    def __init__(self, file: BinaryIO, meta: Meta) -> None:
        self.bounds = Bounds()
        self._file, self._meta = file, meta

    def begin(self) -> Writer:
        return Writer(self._file, self._meta)

    def check(self) -> None: ...


def load_program() -> Any:
    """Load the program that fills the rings. Raises ImportError if BCC is missing, Exception if the kernel refuses."""
    import bcc  # noqa: PLC0415 - not everywhere

    getpgid, getsid = SYSCALLS[platform.machine()]
    constants = {"PID": os.getpid(), "READY": READY, "ROWS_A_CALL": ROWS_A_CALL, "RING_PAGES": RING_PAGES}
    constants |= {"MAX_FRAMES": MAX_FRAMES, "__NR_GETPGID": getpgid, "__NR_GETSID": getsid}
    text = (
        "#include <uapi/linux/ptrace.h>\n"
        + read_source("rows.h")
        + Path(__file__).with_name("fill_rings.c").read_text()
    )
    with kernel_tree() as tree:
        os.environ["BCC_KERNEL_SOURCE"] = str(tree)
        program = bcc.BPF(text=text, cflags=[f"-D{name}={value}" for name, value in constants.items()])
    row_type = ctypes.c_char * CALL_ROW.size
    ready = program.get_table("ready", leaftype=row_type)
    load = keep_alive_load(READY)
    for number in range(READY):
        start = number * (RING_HEADER + CALL_ROW.size) + RING_HEADER
        ready[ctypes.c_int(number)] = row_type.from_buffer_copy(load, start)
    return program


def by_spans(program: Any) -> Way:
    tracer: Any = NothingElse(Ring(program["ring"].map_fd, RING_PAGES * os.sysconf("SC_PAGE_SIZE")))
    meta = host.meta(0, [], "fexit", Sizes())

    def drain(file: BinaryIO) -> int:
        recording = RecordingLoop(tracer, InFile(file, meta), 0, 0, CallPrinter(None))
        rounds = iter([None, "drained"])
        return recording.run(lambda: next(rounds)).calls

    return Way("httprec", os.getpgid, drain)


def by_callback(program: Any, name: str) -> list[Way]:
    """Drain in BCC's own way, into the file uncompressed, or through zstd as httprec does."""
    pack, stored = msgpack.Packer().pack, [0]
    write: list[Callable[[bytes], object]] = []

    def store(_cpu: int, data: int, _size: int) -> None:
        event = program[name].event(data)  # so do BCC's tools
        write[0](pack([bytes(getattr(event, n)) if n in BYTES else getattr(event, n) for n in NAMES]))
        stored[0] += 1

    fill: Callable[[int], int]
    if name == "ring":
        fill, poll = os.getpgid, program.ring_buffer_poll
        program[name].open_ring_buffer(store)
    else:
        fill, poll = os.getsid, program.perf_buffer_poll
        program[name].open_perf_buffer(store, page_cnt=RING_PAGES)

    def drain(file: BinaryIO) -> int:
        write[:], stored[:] = [file.write], [0]
        poll(timeout=0)
        return stored[0]

    def drain_packed(file: BinaryIO) -> int:
        with zstandard.ZstdCompressor(level=LEVEL).stream_writer(file, closefd=False) as stream:
            write[:], stored[:] = [stream.write], [0]
            poll(timeout=0)
        return stored[0]

    title = f"BCC {name}_buffer_poll"
    return [Way(f"{title}, zstd", fill, drain_packed), Way(title, fill, drain)]


def measured(way: Way) -> tuple[float, int]:
    """Return processor time in seconds for EVENTS events, and how many bytes they take in the file."""
    for _ in range(CALLS):
        way.fill(0)
    with tempfile.TemporaryFile(dir="/dev/shm") as file:
        before = time.process_time()
        stored = way.drain(file)
        file.flush()
        seconds = time.process_time() - before
        assert stored == EVENTS, f"{way.name}: {stored} of {EVENTS}"
        return seconds, file.tell()


def main() -> None:
    try:
        program = load_program()
    except Exception as error:  # BCC raises bare Exceptions
        print(f"not measured: {error}")
        return
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    ways = [by_spans(program), *by_callback(program, "ring"), *by_callback(program, "perf")]
    best: dict[str, tuple[float, int]] = {}
    for _ in range(ROUNDS):
        for way in ways:
            best[way.name] = min(measured(way), best.get(way.name, (float("inf"), 0)))
    print(f"{EVENTS} calls of {CALL_ROW.size} bytes, one core, processor time")
    print("way                        events/s  bytes/event  ratio")
    for name, (seconds, size) in best.items():
        print(f"{name:25} {EVENTS / seconds:9.0f}  {size / EVENTS:11.1f}  {seconds / best['httprec'][0]:5.1f}")
    for name in [*best][1:]:
        print(f">> events a second on one core: {best[name][0] / best['httprec'][0]:.1f} times {name}")
    sys.stdout.flush()
    os._exit(0)  # the kernel cleans up; BCC 0.26 prints an exception when it frees a perf buffer


if __name__ == "__main__":
    main()
