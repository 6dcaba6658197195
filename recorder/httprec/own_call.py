"""One call that httprec makes to itself and records, to learn what of a call arrives on this host."""

from __future__ import annotations

import os
import socket
import time
from typing import NamedTuple, Optional

from httpbpf.layout import CALL_ROW
from httpbpf.program import Sizes

from .live import read_row
from .ring import HEADER
from .stacks import stack_record
from .tracer import Options, Tracer

_SIZES = Sizes(
    connections=1024,
    threads=1024,
    stack_slots=16,
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
    frames: int  # by frame pointer
    stack_bytes: int  # copied, with registers


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
    stride = HEADER + CALL_ROW.size
    for start in range(HEADER, len(rows), stride):
        call = read_row(rows[start : start + CALL_ROW.size])
        if call["pid"] == os.getpid() and call["stack"] in stacks:
            stack = stacks[call["stack"]]
            agree = before <= call["t0"] <= call["t2"] <= after
            copied = len(stack.memory) if stack.registers else 0
            return OwnCall(call["t2"] - call["t0"], agree, len(stack.frames) // 8, copied)
    return None
