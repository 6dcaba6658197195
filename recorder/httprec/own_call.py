"""One call that httprec makes to itself and records, to learn what of a call arrives on this host."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from typing import Any, NamedTuple, Optional

from httpbpf.layout import CALL_ROW
from httpbpf.program import Sizes
from httpcapture import RING_HEADER

from .live import CALLS
from .loader import Options
from .stacks import stack_record
from .tracer import Tracer

_SIZES = Sizes(
    connections=1024,
    threads=1024,
    stack_slots=1,  # for the client, so that the server's stack is walked by frame pointers
    call_ring_pages=1,
    completion_ring_pages=1,
    stack_ring_pages=64,
    process_ring_pages=1,
)
_REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
_RESPONSE = b"HTTP/1.1 204 No Content\r\n\r\n"


class OwnCall(NamedTuple):
    """What arrived of it."""

    took_ns: int
    clocks_agree: bool  # the kernel's times lie within those of our own CLOCK_MONOTONIC
    frames: int  # by frame pointer, of the server's side
    stack_bytes: int  # copied, with registers, of the client's side


def _call_ourselves() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    with listener, socket.create_connection(listener.getsockname()) as client, listener.accept()[0] as server:
        client.sendall(_REQUEST)
        server.recv(len(_REQUEST))
        server.sendall(_RESPONSE)
        client.recv(len(_RESPONSE))


def record_own_call(probes: str) -> Optional[OwnCall]:
    """Attaches the program for the time of the call; None if it saw none. Raises RecorderError where it cannot attach.

    A process of another name is not seen.
    """
    with open("/proc/self/comm", "rb") as file:
        comm = file.read().rstrip(b"\n")
    with Tracer(Options(0, [comm], [], probes, _SIZES)) as tracer:
        tracer.start()
        before = time.monotonic_ns()
        _call_ourselves()
        after = time.monotonic_ns()
        tracer.stop()
        rows = bytes(tracer.calls.rows(CALL_ROW.size))
        stacks = {stack.id: stack for stack in map(stack_record, tracer.stacks.records())}
    mine = [call for call in _rows(rows) if call["pid"] == os.getpid()]
    if not mine:
        return None
    taken = [stacks[call["stack"]] for call in mine if call["stack"] in stacks]
    return OwnCall(
        took_ns=mine[0]["t2"] - mine[0]["t0"],
        clocks_agree=all(before <= call["t0"] <= call["t2"] <= after for call in mine),
        frames=max((len(stack.frames) // 8 for stack in taken), default=0),
        stack_bytes=max((len(stack.memory) for stack in taken if stack.registers), default=0),
    )


def _rows(span: bytes) -> Iterator[dict[str, Any]]:
    """Yield the fields of each call row of a span of the ring, headers included."""
    stride = RING_HEADER + CALL_ROW.size
    for start in range(RING_HEADER, len(span), stride):
        yield CALLS.read(span[start : start + CALL_ROW.size])
