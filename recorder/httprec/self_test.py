"""Record one call that httprec makes to itself, to learn what arrives of a call on this host."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from typing import Any, NamedTuple, Optional

from httpbpf.layout import CALL_ROW
from httpbpf.program import Sizes
from httpcapture import RING_HEADER

from .call_text import CALL_CODEC
from .loader import TracingOptions
from .stacks import stack_record
from .tracer import Tracer

_SIZES = Sizes(
    python_ring_pages=0,
    block_ring_pages=0,
    connections=1024,
    threads=1024,
    stack_slots=1,  # used up by the client's stack, so that the server's is walked by frame pointers
    call_ring_pages=1,
    completion_ring_pages=1,
    stack_ring_pages=64,
    process_ring_pages=1,
)
_REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
_RESPONSE = b"HTTP/1.1 204 No Content\r\n\r\n"


class SelfTest(NamedTuple):
    """Hold what arrived of the call."""

    took_ns: int
    clocks_agree: bool  # whether the kernel's times lie between our own readings of CLOCK_MONOTONIC
    frames: int  # frames of the server's side, found by frame pointers
    stack_bytes: int  # bytes of the client's stack, copied together with its registers


def _call_ourselves() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    with listener, socket.create_connection(listener.getsockname()) as client, listener.accept()[0] as server:
        client.sendall(_REQUEST)
        server.recv(len(_REQUEST))
        server.sendall(_RESPONSE)
        client.recv(len(_RESPONSE))


def run_self_test(probes: str) -> Optional[SelfTest]:
    """Attach the program, make the call, detach, and return what arrived, or None if no call did. Raises RecorderError
    if the program cannot be attached.

    The program's process filter has our own name, so that it sees no other process.
    """
    with open("/proc/self/comm", "rb") as file:
        comm = file.read().rstrip(b"\n")
    with Tracer(TracingOptions(0, [comm], [], probes, _SIZES)) as tracer:
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
    return SelfTest(
        took_ns=mine[0]["t2"] - mine[0]["t0"],
        clocks_agree=all(before <= call["t0"] <= call["t2"] <= after for call in mine),
        frames=max((len(stack.frames) // 8 for stack in taken), default=0),
        stack_bytes=max((len(stack.memory) for stack in taken if stack.registers), default=0),
    )


def _rows(span: bytes) -> Iterator[dict[str, Any]]:
    """Yield the fields of each call row of a span of the ring with its headers."""
    stride = RING_HEADER + CALL_ROW.size
    for start in range(RING_HEADER, len(span), stride):
        yield CALL_CODEC.read(span[start : start + CALL_ROW.size])
