"""Measure what a call costs in the capture: bytes per call and MB/s by zstd level and chunk size, without and with
stacks.

    PYTHONPATH=recorder:bpf:format:reporter python tests/bench/bench_capture.py [ROWS [STACKS]]

The calls are made up: 8 processes with 8 threads each keep 512 connections busy, with durations and sizes
spread log-normally, in the order in which the calls end. The stacks are real: copies of those of 32 threads of this
process, each blocked in an http.client request that it makes from somewhere else every time. They are read from the
stack pointer upwards as the recorder's BPF program does, whether what lies above is still stack or not.

Speeds are the best of three runs on one core; compare them with each other only.
"""

from __future__ import annotations

import heapq
import http.client
import io
import json
import os
import random
import re
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from httpbpf.layout import CALL_ROW
from httpbpf.program import Sizes
from httpcapture import (
    RING_HEADER,
    Calls,
    JudgedBy,
    Outcome,
    Reader,
    Role,
    RoleSource,
    Stack,
    StackStatus,
    Writer,
)
from httprec import host
from support.capture_samples import END, META
from support.made_calls import decode_some
from support.synthetic import row_of

LAYOUT = host.meta(0, [], "fexit", Sizes()).call_layout
LEVELS = (1, 3, 6, 9)
CHUNKS = (64 << 10, 256 << 10, 1 << 20, 2 << 20)
SPAN = 1000  # rows that a drain of the ring finds
THREADS = 32
STACK_SIZES = (4 << 10, 8 << 10, 16 << 10)
STACK_CHUNKS = (1 << 10, 256 << 10, 1 << 20)  # in the first every stack has a chunk of its own
MAPPED = bytes(10) + b"\xff\xff"  # an IPv4 address as IPv6

T = TypeVar("T")


@dataclass
class Connection:
    """Describe one kept-alive connection of a made-up service."""

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
    """Return `rows` ring-buffer records of calls on keep-alive connections, ordered by when the calls end."""
    draw = random.Random(23)
    connections = [connect(draw, number) for number in range(512)]
    stacks = [[draw.getrandbits(64) | 1 for _ in range(40)] for _ in range(8)]  # ids are hashes
    ends = [(5_000_000_000 + draw.randrange(10**9), number) for number in range(len(connections))]
    heapq.heapify(ends)
    header = struct.pack("<II", CALL_ROW.size, 0)
    spans = []
    for _ in range(rows):
        start, number = heapq.heappop(ends)
        end = start + int(draw.lognormvariate(15, 1.2))
        heapq.heappush(ends, (end + int(draw.lognormvariate(16, 1)), number))
        connections[number].sequence += 1
        spans.append(header + row(draw, connections[number], start, end, draw.choice(stacks[number % 8])))
    return b"".join(spans)


def row(draw: random.Random, connection: Connection, t0: int, t2: int, stack: int) -> bytes:
    return row_of(
        CALL_ROW,
        process_start=3_000_000_000 + connection.pid,
        connection=connection.id,
        cgroup=4000 + connection.pid,
        process=connection.process,
        local_address=connection.local,
        peer_address=connection.peer,
        pid=connection.pid,
        local_port=connection.ports[0],
        peer_port=connection.ports[1],
        t0=t0,
        t1=min(t0 + draw.randrange(2_000, 90_000), t2),
        t2=t2,
        t3=t2,
        sent=int(draw.lognormvariate(6, 0.4)),
        received=int(draw.lognormvariate(8, 1.5)),
        stack=stack,
        comm=connection.comm,
        request_head=draw.choice((b"GET /api", b"GET /v2/", b"POST /ap")),
        response_head=draw.choice((b"HTTP/1.1 200 OK\r", b"HTTP/1.1 200 OK\r", b"HTTP/1.1 404 Not")),
        sequence=connection.sequence,
        tid=connection.tid,
        receive_tid=connection.tid,
        role=Role.CLIENT if connection.is_client else Role.SERVER,
        role_source=RoleSource.CONNECTION,
        outcome=Outcome.ANSWERED,
        stack_status=StackStatus.RECORDED,
        receive_stack_status=StackStatus.NOT_TAKEN,
        judged_by=JudgedBy.WHOLE,
    )


class Caller(threading.Thread):
    """Make requests in a thread, each from another depth of Python and C functions."""

    def __init__(self, number: int) -> None:
        super().__init__(daemon=True)
        self._far, self._near = socket.socketpair()
        self._draw = random.Random(number)
        self._connection = http.client.HTTPConnection("service")
        self._connection.sock = self._near

    def run(self) -> None:
        while True:
            self._call(self._draw.randrange(7))

    def _call(self, depth: int) -> object:
        if not depth:
            path = f"/api/{self._draw.getrandbits(32):x}"
            self._connection.request("GET", path, headers={"X-Request-Id": f"{self._draw.getrandbits(128):x}"})
            return self._connection.getresponse().read()
        way = self._draw.randrange(4)
        if way == 0:
            return sorted([depth], key=lambda _: str(self._call(depth - 1)))
        if way == 1:
            return re.sub("x", lambda _: str(self._call(depth - 1)), "ax")
        if way == 2:
            return json.loads('{"a": 1}', object_hook=lambda _: self._call(depth - 1))
        return self._call(depth - 1)

    def stack(self, memory: int, number: int) -> Stack:
        """Return the caller's stack in its next request, which is then answered. `memory` is /proc/self/mem, opened."""
        self._far.recv(4096)
        state: list[str] = []
        while state[1:2] != [hex(self._near.fileno())]:  # until it waits for the answer
            with open(f"/proc/self/task/{self.native_id}/syscall") as file:
                state = file.read().split()
        call, *arguments, pointer, counter = (int(word, 0) for word in state)  # proc(5)
        copy = os.pread(memory, STACK_SIZES[-1], pointer)
        self._far.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        saved = struct.unpack_from("<6Q", copy)  # not the registers' own values, but such as they hold
        registers = (*saved, 0x246, *arguments, *arguments[:2], call, counter, 0x33, 0x246, pointer, 0x2B)
        return Stack(
            id=number,
            pid=os.getpid(),
            process_start_ns=3_000_000_000,
            taken_ns=time.monotonic_ns(),
            frames=struct.pack("<Q", counter),
            registers=struct.pack("<21Q", *registers),
            memory_address=pointer,
            memory=copy,
        )


def stacks_of_callers(count: int) -> list[Stack]:
    callers = [Caller(number) for number in range(THREADS)]
    for caller in callers:
        caller.start()
    memory = os.open("/proc/self/mem", os.O_RDONLY)
    return [callers[number % THREADS].stack(memory, number + 1) for number in range(count)]


def write(load: bytes, level: int, chunk_bytes: int, stacks: Sequence[Stack] = ()) -> bytes:
    stream = io.BytesIO()
    writer = Writer(stream, replace(META, call_layout=LAYOUT), level=level, chunk_bytes=chunk_bytes)
    for stack in stacks:
        writer.stack(stack)
    span = SPAN * (RING_HEADER + CALL_ROW.size)
    view = memoryview(load)
    for start in range(0, len(load), span):
        writer.calls(view[start : start + span], header=RING_HEADER)
    writer.end(END)
    return stream.getvalue()


def count_calls(capture: bytes) -> int:
    """Return how many calls a capture has, after unpacking all their columns."""
    count = 0
    for record in Reader(io.BytesIO(capture)):
        if isinstance(record, Calls):
            count += record.rows
            decode_some(record.columns, record.columns)
    return count


def timed(work: Callable[..., T], *arguments: object) -> tuple[float, T]:
    """Return the shortest of three runs in seconds of processor time, because other programs use this machine too, and
    its result."""
    seconds = []
    for _ in range(3):
        start = time.process_time()
        result = work(*arguments)
        seconds.append(time.process_time() - start)
    return min(seconds), result


def compare_calls(rows: int) -> None:
    load = keep_alive_load(rows)
    megabytes = rows * CALL_ROW.size / 1e6
    print(f"{rows} calls, {CALL_ROW.size} bytes a row")
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


def compare_stacks(count: int) -> None:
    load, whole = keep_alive_load(count), stacks_of_callers(count)
    print(f"\n{count} calls, each with a stack of its own")
    print("stack KiB  chunk KiB  level  copied/call  bytes/call  write MB/s  calls/s  read MB/s")
    for size in STACK_SIZES:
        stacks = [replace(stack, memory=stack.memory[:size]) for stack in whole]
        copied = sum(len(stack.memory) for stack in stacks)
        for chunk_bytes in STACK_CHUNKS:
            for level in LEVELS:
                writing, capture = timed(write, load, level, chunk_bytes, stacks)
                reading, counted = timed(count_calls, capture)
                assert counted == count
                print(
                    f"{size >> 10:9}  {chunk_bytes >> 10:9}  {level:5}  {copied / count:11.0f}  "
                    f"{len(capture) / count:10.0f}  {copied / 1e6 / writing:10.0f}  {count / writing:7.0f}  "
                    f"{copied / 1e6 / reading:9.0f}"
                )


def main() -> None:
    compare_calls(int(sys.argv[1]) if len(sys.argv) > 1 else 200_000)
    compare_stacks(int(sys.argv[2]) if len(sys.argv) > 2 else 1024)


if __name__ == "__main__":
    main()
