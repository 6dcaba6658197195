"""Define a tracer without a kernel: rings and maps that a test fills, for the recorder's own loop."""

from __future__ import annotations

import mmap
import os
import struct
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Optional

from httpbpf import layout
from httpbpf.layout import CALL_ROW, COMPLETION_ROW, CONNECTION, CONNECTION_ROW, SHORT_ROW, STACK_ROW
from httpcapture import RING_HEADER, StackStatus
from httprec.fast_calls import FastCalls, count_durations
from httprec.listeners import Port
from httprec.ring import Ring
from httprec.short_calls import ShortRings
from httprec.tracer import Tracer

PAGE = mmap.PAGESIZE
BUSY, DISCARDED = 1 << 31, 1 << 30
CODES = {"u8": "B", "u16": "H", "u32": "I", "u64": "Q"}
PHASES = layout.ENUMS["phase"]
RINGS = ("call", "completion", "stack", "process", "short", "connection")
PID, START = 4242, 77_000_000_000  # of a process that is not there


class KernelRing:
    """Produce records in a ring, as kernel/bpf/ringbuf.c does: they wrap around at the end of the data.

    A memfd cannot map the same pages twice in a row, so every byte is written at both positions where it can be read.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.fd = os.memfd_create("ring")
        os.ftruncate(self.fd, 2 * PAGE + 2 * size)

    def close(self) -> None:
        os.close(self.fd)

    @property
    def consumed(self) -> int:
        position: int = struct.unpack("<Q", os.pread(self.fd, 8, 0))[0]
        return position

    @property
    def produced(self) -> int:
        position: int = struct.unpack("<Q", os.pread(self.fd, 8, PAGE))[0]
        return position

    def start_at(self, position: int) -> None:
        """Make the ring look as if this many bytes had gone through it."""
        os.pwrite(self.fd, struct.pack("<Q", position), 0)
        os.pwrite(self.fd, struct.pack("<Q", position), PAGE)

    def _write(self, position: int, data: bytes) -> None:
        place = position % self.size
        first = data[: self.size - place]
        for start, piece in ((place, first), (0, data[len(first) :])):
            for copy in (start, start + self.size):
                os.pwrite(self.fd, piece, 2 * PAGE + copy)

    def reserve(self, payload: bytes) -> Optional[int]:
        """Return the record's position, or None if it does not fit. The record stays busy until `commit`."""
        padded = RING_HEADER + len(payload) + -len(payload) % 8
        position = self.produced
        if position + padded - self.consumed > self.size:
            return None
        self._write(position, struct.pack("<II", len(payload) | BUSY, 0) + payload)
        os.pwrite(self.fd, struct.pack("<Q", position + padded), PAGE)
        return position

    def commit(self, position: int, length: int, *, discard: bool = False) -> None:
        self._write(position, struct.pack("<I", length | (DISCARDED if discard else 0)))

    def output(self, payload: bytes, *, discard: bool = False) -> bool:
        position = self.reserve(payload)
        if position is not None:
            self.commit(position, len(payload), discard=discard)
        return position is not None


def row_of(row: layout.Row, **values: int | bytes) -> bytes:
    """Return a row; fields without a value are 0."""
    data = bytearray(row.size)
    for field in row.fields:
        code = CODES.get(field.type) or field.type.replace("bytes", "") + "s"
        struct.pack_into("<" + code, data, field.offset, values.pop(field.name, b"" if code[-1] == "s" else 0))
    assert not values
    return bytes(data)


class SyntheticTracer(Tracer):
    """Do, on command, what the BPF program does with a call that has ended. Its rings wake the recorder immediately."""

    def __init__(self, ring_size: int = 1 << 20) -> None:
        self.probes = "fexit"
        self.rings = {name: KernelRing(ring_size) for name in RINGS}
        self.calls, self.completions, self.stacks, self.processes = (
            Ring(self.rings[name].fd, ring_size) for name in RINGS[:4]
        )
        self.short_rings = ShortRings(*(Ring(self.rings[name].fd, ring_size) for name in RINGS[4:]))
        self.walks_frames, self.walks_streams = False, False
        self.walk_problem = self.http2_problem = ""
        self.counts: Counter[str] = Counter()
        self.seen: set[int] = set()
        self.open: list[bytes] = []
        self.fast = FastCalls()

    def close(self) -> None:
        for ring in self.rings.values():
            ring.close()

    def set_listeners(self, ports: Iterable[Port]) -> None:
        pass

    def start(self) -> None:
        pass

    def wait(self, timeout_s: float) -> None:
        pass

    def stop(self) -> None:
        pass

    def counters(self) -> dict[str, int]:
        return {name: self.counts[name] for name in (*layout.COUNTERS, "probe_missed")}

    def fast_calls(self) -> FastCalls:
        return self.fast

    def open_connections(self) -> Iterator[bytes]:
        return iter(self.open)

    def open_streams(self, connections: object = None) -> Iterator[tuple[bytes, bytes]]:
        return iter(())

    def streams_ends(self) -> Iterator[bytes]:
        return iter(())

    def _send(self, ring: str, row: bytes) -> bool:
        sent = self.rings[ring].output(row)
        self.counts[f"{ring}_ring_full"] += not sent
        return sent

    def send_stack(self, number: int, memory: bytes = b"", *, pid: int = PID, start: int = START) -> None:
        """Send a stack: a copy of this memory if given, else the frames; equal frames are sent once only."""
        if number in self.seen:
            return
        values = {"id": number, "process_start": start, "pid": pid, "frames_size": 8}
        if memory:
            values.update(frames_size=0, memory_address=0x7FFF0000, memory_size=len(memory), registers_size=168)
            row = row_of(STACK_ROW, **values) + memory
        else:
            row = row_of(STACK_ROW, **values) + struct.pack("<Q", 0x1000 + number)
        if self._send("stack", row) and not memory:
            self.seen.add(number)

    def send_call(
        self, number: int, stack: int = 0, *, pid: int = PID, start: int = START, t2: int = 0, **values: int | bytes
    ) -> None:
        """Send a call; `values` are other fields of its row. Its response is one transfer unless they say otherwise."""
        self.counts["calls"] += 1
        usual = {"connection": number, "sequence": 1, "pid": pid, "process_start": start, "stack": stack, "t2": t2}
        self._send("call", row_of(CALL_ROW, **{**usual, "t3": t2, **values}))

    def send_short_call(self, number: int, sequence: int = 1, *, told: bool = True, **values: int) -> None:
        """Send a call below the threshold that took `values["t3"]` ns, and, unless it was `told` before, what those of
        its connection have in common."""
        whose = {"connection": number, "pid": PID}
        if not told:
            self._send("connection", row_of(CONNECTION_ROW, **whose, process_start=START, process=b"nova-api"))
        self._send("short", row_of(SHORT_ROW, **whose, sequence=sequence, **values))
        self.fast = self.fast.plus(count_durations([values.get("t3", 0)]))

    def send_completion(self, number: int, t3: int) -> None:
        self.counts["completions"] += 1
        self._send("completion", row_of(COMPLETION_ROW, connection=number, sequence=1, t3=t3))

    def hold_response(self, number: int, t2: int, t3: int, **values: int) -> None:
        """Add a connection whose call is still being answered, and is recorded unless `values` say otherwise."""
        usual = {"phase": PHASES.index("RESPONSE"), "t2": t2, "t3": t3, "told_t3": t2, "recorded": 1}
        self._hold(number, {**usual, **values})

    def hold_request(self, number: int, t0: int, **values: int) -> None:
        """Add a connection whose call has no response yet."""
        self._hold(number, {"phase": PHASES.index("REQUEST"), "t0": t0, **values})

    def _hold(self, number: int, values: dict[str, int]) -> None:
        usual = {"connection": number, "sequence": 1, "pid": PID, "process_start": START, "wanted": 1}
        no_stack = dict.fromkeys(("stack_status", "receive_stack_status"), StackStatus.NOT_TAKEN)
        self.open.append(row_of(CONNECTION, **{**usual, **no_stack, **values}))
