"""Write a capture of any size with made-up calls of a busy host. numpy makes the calls, so that 100 million take
minutes.

8 processes with 8 threads each keep 512 connections busy. Every call ends, some milliseconds after it began, in the
order in which the recorder sees them; durations and sizes are spread log-normally. A call has one of so many distinct
stacks, each of 24 of 4,096 addresses in one mapping, the first stacks far more often than the last ones. A tenth of
the responses go on and have a completion.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from httpcapture import BatchColumns, Field, Layout, Outcome, Process, Role, RoleSource, Stack, StackStatus, Writer
from httpreport.calls.column_decoding import decode
from support.capture_samples import CALL_LAYOUT, COMPLETION_LAYOUT, END, META

PROCESSES, CONNECTIONS, FRAMES = 8, 512, 24
COPY, OWN_WORDS, REGISTERS = 12 << 10, 16, 21  # bytes; words of 8 bytes
PROCESS_START_NS = 3_000_000_000
TEXT_START, TEXT_SIZE = 0x7F00_0000_1000, 1 << 20
MAPS = b"%x-%x r-xp 00001000 fe:01 77 /usr/bin/service\n" % (TEXT_START, TEXT_START + TEXT_SIZE)
SPAN = 1 << 16  # calls made at a time
MAPPED = bytes(10) + b"\xff\xff"  # an IPv4 address as IPv6

Rows = npt.NDArray[np.void]


def _dtype(layout: Layout) -> np.dtype[np.void]:
    names, types = [field.name for field in layout.fields], [_type(field) for field in layout.fields]
    offsets = [field.offset for field in layout.fields]
    return np.dtype({"names": names, "formats": types, "offsets": offsets, "itemsize": layout.size})


def _type(field: Field) -> str:
    return f"S{field.type[5:]}" if field.type.startswith("bytes") else f"<u{int(field.type[1:]) // 8}"


CALL_ROW, COMPLETION_ROW = _dtype(CALL_LAYOUT), _dtype(COMPLETION_LAYOUT)


def decode_some(columns: BatchColumns, names: Iterable[str]) -> None:
    """Unpack and decode these columns of calls; a column that several fields share is decoded once."""
    coded = {column.fields: column for column in map(columns.coded, names)}
    for fields, column in coded.items():
        decode(column, CALL_ROW[fields[0]])


def write_calls(
    stream: BinaryIO, calls: int, stacks: int, *, copy_every: int = 0, host: str = "web-1", seed: int = 23
) -> None:
    """Write a whole capture with this many calls and distinct stacks. With `copy_every` N, every Nth call has a stack
    copy instead, all of which differ."""
    draw = np.random.default_rng(seed)
    writer = Writer(stream, replace(META, host=host, threshold_ns=0, process_filters=()))
    for number in range(PROCESSES):
        writer.process(
            Process(_pid(number), PROCESS_START_NS, 1, b"service-%d" % number, b"/usr/bin/service", 1, MAPS, ())
        )
    ids = draw.integers(1, 1 << 63, stacks, np.uint64)  # as long as the hashes that the kernel makes of frames
    for number, id in enumerate(ids.tolist()):
        writer.stack(_stack(draw, number, id))
    for rows, completions in _spans(draw, calls, ids):
        for stack in _copies(draw, rows[::copy_every]) if copy_every else ():
            writer.stack(stack)
        writer.calls(rows.tobytes())
        writer.completions(completions.tobytes())
    writer.end(replace(END, emitted=calls, recorded=calls, in_flight=0, lost={}))


def _pid(process: int) -> int:
    return 1000 + 37 * process


def _stack(draw: np.random.Generator, number: int, id: int) -> Stack:
    addresses = TEXT_START + draw.integers(0, 4096, FRAMES) * (TEXT_SIZE >> 12)
    return Stack(id, _pid(number % PROCESSES), PROCESS_START_NS, 2, struct.pack(f"<{FRAMES}Q", *addresses.tolist()))


def _copies(draw: np.random.Generator, rows: Rows) -> Iterator[Stack]:
    """Give each call a stack of its own: registers, and COPY bytes, four fifths of them zeros and some unique. The
    stack has one of FRAMES frames and nothing more to unwind."""
    rows["stack"] = draw.integers(1, 1 << 63, len(rows), np.uint64)
    common = draw.integers(0, 1 << 63, COPY // 8) * (draw.random(COPY // 8) < 0.2)
    for row in rows[["stack", "pid", "t0"]].tolist():
        memory, (id, pid, taken_ns) = common.copy(), row
        memory[:: COPY // 8 // OWN_WORDS] = draw.integers(0, 1 << 63, OWN_WORDS)
        registers = struct.pack("<Q", TEXT_START + id % FRAMES) * REGISTERS
        yield Stack(id, pid, PROCESS_START_NS, taken_ns, b"", registers, 0x7FFC_0000_0000, memory.tobytes())


def _spans(draw: np.random.Generator, calls: int, ids: npt.NDArray[np.uint64]) -> Iterator[tuple[Rows, Rows]]:
    connections = _connections(draw)
    sequences = np.zeros(CONNECTIONS, np.uint32)
    now = META.started_monotonic_ns
    for first in range(0, calls, SPAN):
        count = min(SPAN, calls - first)
        number = draw.integers(0, CONNECTIONS, count)
        rows = connections[number]
        rows["t2"] = now + np.cumsum(draw.exponential(10_000, count)).astype(np.uint64)  # 100,000 calls a second
        now = int(rows["t2"][-1])
        duration = np.minimum(draw.lognormal(15, 1.2, count), 4e9).astype(np.uint64)
        rows["t0"] = rows["t2"] - duration
        rows["t3"] = rows["t2"]
        rows["t1"] = rows["t0"] + np.minimum(draw.integers(2_000, 90_000, count), duration)
        rows["sent"] = draw.lognormal(6, 0.4, count).astype(np.uint64)
        rows["received"] = draw.lognormal(8, 1.5, count).astype(np.uint64)
        nth = (len(ids) / PROCESSES * draw.power(0.3, count)).astype(np.uint64)
        rows["stack"] = ids[np.minimum(nth * PROCESSES + rows["stack"], len(ids) - 1)]
        rows["request_head"] = np.array([b"GET /api", b"GET /v2/", b"POST /ap"])[draw.integers(0, 3, count)]
        rows["response_head"] = np.array([b"HTTP/1.1 200 OK\r", b"HTTP/1.1 404 Not"])[draw.integers(0, 9, count) // 8]
        rows["sequence"] = sequences[number] + _earlier_of_the_same(number)
        sequences += np.bincount(number, minlength=CONNECTIONS).astype(np.uint32)
        yield rows, _completions(rows[::10])


def _connections(draw: np.random.Generator) -> Rows:
    """Return a row for each connection with the fields that stay the same."""
    number = np.arange(CONNECTIONS)
    process, client = number % PROCESSES, number % 4 != 0
    rows = np.zeros(CONNECTIONS, CALL_ROW)
    rows["connection"] = draw.integers(1 << 40, 1 << 44, CONNECTIONS)
    rows["cgroup"] = 4000 + process
    rows["process_start"] = PROCESS_START_NS
    rows["comm"] = [b"worker-%d" % draw.integers(8) for _ in number]
    rows["process"] = [b"service-%d" % each for each in process]
    rows["local_address"] = [MAPPED + bytes([10, 0, 0, 1 + each]) for each in process]
    rows["peer_address"] = [MAPPED + bytes([10, 0, 1, draw.integers(32)]) for _ in number]
    rows["pid"] = _pid(0) + 37 * process
    rows["tid"] = rows["receive_tid"] = rows["pid"] + draw.integers(0, 8, CONNECTIONS)
    ports = draw.integers(32768, 61000, CONNECTIONS)
    rows["local_port"], rows["peer_port"] = np.where(client, ports, 8080), np.where(client, 8080, ports)
    rows["role"] = np.where(client, Role.CLIENT, Role.SERVER)
    rows["role_source"] = RoleSource.CONNECTION
    rows["outcome"] = Outcome.ANSWERED
    rows["stack"] = process  # until a call has its own
    rows["stack_status"] = StackStatus.RECORDED
    rows["receive_stack_status"] = StackStatus.NOT_TAKEN
    return rows


def _earlier_of_the_same(numbers: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """Return, for each element, how many earlier elements are equal to it."""
    order = np.argsort(numbers, kind="stable")
    starts = np.searchsorted(numbers[order], numbers[order])
    earlier = np.empty(len(numbers), np.intp)
    earlier[order] = np.arange(len(numbers)) - starts
    return earlier


def _completions(calls: Rows) -> Rows:
    rows = np.zeros(len(calls), COMPLETION_ROW)
    for name in ("connection", "sequence", "sent"):
        rows[name] = calls[name]
    rows["t3"], rows["received"] = calls["t2"] + 50_000, calls["received"] + 4096
    return rows
