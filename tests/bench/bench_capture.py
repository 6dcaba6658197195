"""What a call costs in the capture: bytes a call and MB/s by zstd level and chunk size, on a synthetic load.

    PYTHONPATH=format python tests/bench/bench_capture.py [ROWS]

The load is made up: 8 processes with 8 threads each keep 512 connections busy, with durations and sizes
spread log-normally, in the order in which the calls end. Speeds are the best of three runs on one core;
compare them with each other only.
"""

from __future__ import annotations

import heapq
import io
import random
import struct
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

sys.path.insert(0, str(Path(__file__).parents[1] / "format"))

from capture_samples import CALL_LAYOUT, END, META

from httpcapture import (
    RING_HEADER,
    Calls,
    Outcome,
    Reader,
    Role,
    RoleSource,
    StackStatus,
    Writer,
)

ROW = struct.Struct("<9Q16s16s16s16s8s16s4I2H4B")
LEVELS = (1, 3, 6, 9)
CHUNKS = (64 << 10, 256 << 10, 1 << 20)
SPAN = 1000  # rows that a drain of the ring finds
MAPPED = bytes(10) + b"\xff\xff"  # an IPv4 address as IPv6

T = TypeVar("T")


@dataclass
class Connection:
    """One kept-alive connection of a made-up service."""

    id: int
    pid: int
    tid: int
    comm: bytes
    process: bytes
    is_client: bool
    local: bytes
    peer: bytes
    ports: tuple[int, int]
    sequence: int = 0


def connect(draw: random.Random, number: int) -> Connection:
    process = number % 8
    is_client = number % 4 != 0
    port = draw.randrange(32768, 61000)
    return Connection(
        id=(5_000_000_000 + draw.randrange(10**9)) << 8 | process,
        pid=1000 + 37 * process,
        tid=1000 + 37 * process + draw.randrange(8),
        comm=b"worker-%d" % process,
        process=b"service-%d" % process,
        is_client=is_client,
        local=MAPPED + bytes([10, 0, 0, 1 + process]),
        peer=MAPPED + bytes([10, 0, 1, draw.randrange(32)]),
        ports=(port, 8080) if is_client else (8080, port),
    )


def keep_alive_load(rows: int) -> bytes:
    """`rows` ring-buffer records of calls on keep-alive connections, in the order of their ends."""
    draw = random.Random(23)
    connections = [connect(draw, number) for number in range(512)]
    stacks = [[draw.getrandbits(64) | 1 for _ in range(40)] for _ in range(8)]  # ids are hashes
    ends = [(5_000_000_000 + draw.randrange(10**9), number) for number in range(len(connections))]
    heapq.heapify(ends)
    header = struct.pack("<II", ROW.size, 0)
    spans = []
    for _ in range(rows):
        start, number = heapq.heappop(ends)
        end = start + int(draw.lognormvariate(15, 1.2))
        heapq.heappush(ends, (end + int(draw.lognormvariate(16, 1)), number))
        connections[number].sequence += 1
        spans.append(header + row(draw, connections[number], start, end, draw.choice(stacks[number % 8])))
    return b"".join(spans)


def row(draw: random.Random, connection: Connection, t0: int, t2: int, stack: int) -> bytes:
    return ROW.pack(
        connection.id,
        t0,
        min(t0 + draw.randrange(2_000, 90_000), t2),
        t2,
        int(draw.lognormvariate(6, 0.4)),
        int(draw.lognormvariate(8, 1.5)),
        4000 + connection.pid,
        3_000_000_000 + connection.pid,
        stack,
        connection.comm,
        connection.process,
        connection.local,
        connection.peer,
        draw.choice((b"GET /api", b"GET /v2/", b"POST /ap")),
        draw.choice((b"HTTP/1.1 200 OK\r", b"HTTP/1.1 200 OK\r", b"HTTP/1.1 404 Not")),
        connection.sequence,
        connection.pid,
        connection.tid,
        connection.tid,
        *connection.ports,
        Role.CLIENT if connection.is_client else Role.SERVER,
        RoleSource.CONNECTION,
        Outcome.ANSWERED,
        StackStatus.RECORDED,
    )


def write(load: bytes, level: int, chunk_bytes: int) -> bytes:
    stream = io.BytesIO()
    writer = Writer(stream, META, level=level, chunk_bytes=chunk_bytes)
    span = SPAN * (RING_HEADER + CALL_LAYOUT.size)
    view = memoryview(load)
    for start in range(0, len(load), span):
        writer.calls(view[start : start + span], header=RING_HEADER)
    writer.end(END)
    return stream.getvalue()


def count_calls(capture: bytes) -> int:
    return sum(record.rows for record in Reader(io.BytesIO(capture)) if isinstance(record, Calls))


def timed(work: Callable[..., T], *arguments: object) -> tuple[float, T]:
    """The shortest of three runs in seconds, and the result: others use this machine too."""
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        result = work(*arguments)
        seconds.append(time.perf_counter() - start)
    return min(seconds), result


def main() -> None:
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 200_000
    load = keep_alive_load(rows)
    megabytes = rows * CALL_LAYOUT.size / 1e6
    print(f"{rows} calls, {CALL_LAYOUT.size} bytes a row")
    print("chunk KiB  level  bytes/call  write MB/s  calls/s  read MB/s")
    for chunk_bytes in CHUNKS:
        for level in LEVELS:
            writing, capture = timed(write, load, level, chunk_bytes)
            reading, counted = timed(count_calls, capture)
            assert counted == rows
            print(
                f"{chunk_bytes >> 10:9}  {level:5}  {len(capture) / rows:10.1f}  "
                f"{megabytes / writing:10.0f}  {rows / writing:7.0f}  {megabytes / reading:9.0f}"
            )


if __name__ == "__main__":
    main()
