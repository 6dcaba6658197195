"""Make calls over HTTP/2 in clear text, frame by frame, in two processes for each scenario.

    python3 -m workload.http2 OUT                makes those of HTTP2 and of ENDS, at the same time
    python3 -m workload.http2 OUT NAME           makes one. One of JOINED is as those of OLDER

Scenarios are as in protocols.py. What a client of ENDS returns are calls that got no whole answer, with the outcomes
that they must have at both ends.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from .http2_frames import (
    CANCEL,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PING,
    PREFACE,
    RESPONSE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    Frames,
    accept,
    answer,
    ask,
    begin,
    frame,
    timed,
)
from .http2_upgrades import LEFT, UPGRADES
from .protocols import SLOW, Call, Side, against, child, go_on, slow

HTTP2: dict[str, tuple[Side, Side]] = {**UPGRADES}
ENDS: dict[str, tuple[Side, Side]] = {**LEFT}
JOINED: dict[str, tuple[Side, Side]] = {}


def says_much_before_it_answers(sock: socket.socket) -> None:
    frames = accept(sock)
    for pause in (0, SLOW, 0, SLOW):
        stream = -1
        while stream < 0:
            found = frames.next()
            assert found
            stream = found.stream if found.kind == HEADERS else -1
        sock.sendall(frame(WINDOW_UPDATE, 0, 0, b"\0\0\1\0") + frame(PING, 0, 0, bytes(8)))
        time.sleep(pause)
        sock.sendall(answer(stream))
    frames.next()


def one_after_the_other(sock: socket.socket) -> Iterator[Call]:
    """Yield four calls, each when it has been answered."""
    frames = begin(sock)
    for stream in (1, 3, 5, 7):
        began = time.monotonic_ns()
        sock.sendall(ask(stream))
        frames.until(DATA, stream, END_STREAM)
        yield timed(began)


@against(says_much_before_it_answers, HTTP2)
def http2_each_alone(sock: socket.socket) -> list[Call]:
    """Make one call at a time, as a gRPC client does (the server acknowledges each request's bytes at once)."""
    calls = list(one_after_the_other(sock))
    return [calls[0], slow(calls[1]), calls[2], slow(calls[3])]


def answers_each(sock: socket.socket) -> None:
    frames = accept(sock)
    for stream, pause in ((1, 0), (3, 0), (5, SLOW), (7, SLOW)):
        frames.until(HEADERS, stream)
        time.sleep(pause)
        sock.sendall(answer(stream))
    frames.next()


@against(answers_each, JOINED)
def http2_joined(sock: socket.socket) -> list[Call]:
    """Make calls on a connection that is older than the recording. The server waits for the first of them already, and
    probes of functions do not see a receive that began before them."""
    calls = []
    for call in one_after_the_other(sock):
        calls.append(call)
        if len(calls) == 1:
            go_on()
    return [calls[1], slow(calls[2]), slow(calls[3])]


def answers_in_another_order(sock: socket.socket) -> None:
    frames = accept(sock)
    frames.until(HEADERS, 5)
    sock.sendall(answer(3))
    time.sleep(SLOW)
    rest = answer(5) + answer(1)
    for start in range(0, len(rest), 7):  # headers of frames are split
        sock.sendall(rest[start : start + 7])
    frames.next()


@against(answers_in_another_order, HTTP2)
def http2_several(sock: socket.socket) -> list[Call]:
    """Make three calls in one send, of which the second one is fast."""
    frames, began = begin(sock), time.monotonic_ns()
    sock.sendall(ask(1, 3, 5))
    frames.until(DATA, 1, END_STREAM)
    call = timed(began)
    return [slow({**call, "stream": 1}), {**call, "stream": 3}, slow({**call, "stream": 5})]


MANY = range(1, 400, 2)


def is_slow(stream: int) -> bool:
    return stream % 20 == 1


def answers_most_at_once(sock: socket.socket) -> None:
    frames = accept(sock)
    frames.until(HEADERS, MANY[-1])
    sock.sendall(b"".join(answer(stream) for stream in MANY if not is_slow(stream)))
    time.sleep(SLOW)
    sock.sendall(b"".join(answer(stream) for stream in MANY if is_slow(stream)))
    frames.next()


@against(answers_most_at_once, HTTP2)
def http2_many(sock: socket.socket) -> list[Call]:
    """Make 200 calls in one send, of which every tenth is slow; their answers come in two transfers."""
    frames, began = begin(sock), time.monotonic_ns()
    sock.sendall(ask(*MANY))
    for stream in MANY:
        if is_slow(stream):
            frames.until(DATA, stream, END_STREAM)
    call = timed(began)
    calls = [{**call, "stream": stream} for stream in MANY]
    return [slow(each) if is_slow(each["stream"]) else each for each in calls]


def receives_into_pieces(sock: socket.socket) -> None:
    data = bytearray()
    while not data.endswith(ask(5)):
        pieces = [bytearray(size) for size in (5, 11, 4000)]
        size = sock.recvmsg_into(pieces)[0]
        data += b"".join(pieces)[:size]
        if len(data) == len(PREFACE):
            sock.sendall(frame(SETTINGS, 0, 0))
    sock.sendmsg([answer(1)[:3], answer(1)[3:], answer(3)])
    time.sleep(SLOW)
    last = answer(5)
    sock.sendmsg([last[start : start + 5] for start in range(0, len(last), 5)])
    sock.recv(1)


@against(receives_into_pieces, HTTP2)
def http2_pieces(sock: socket.socket) -> list[Call]:
    """Make three calls whose frames are spread over segments of sends and receives."""
    sock.sendall(PREFACE)
    frames, began = Frames(sock), time.monotonic_ns()
    request = ask(1, 3, 5)
    sock.sendmsg([request[start : start + 20] for start in range(0, len(request), 20)])
    frames.until(DATA, 5, END_STREAM)
    call = timed(began)
    return [{**call, "stream": 1}, {**call, "stream": 3}, slow({**call, "stream": 5})]


def sends_much(sock: socket.socket) -> None:
    frames = accept(sock)
    frames.until(HEADERS, 1)
    sock.sendall(frame(HEADERS, END_HEADERS, 1, RESPONSE) + frame(DATA, 0, 1, bytes(5000)))
    frames.until(HEADERS, 3)
    sock.sendall(answer(1) + answer(3))
    frames.until(HEADERS, 5)
    time.sleep(SLOW)
    sock.sendall(answer(5))
    frames.next()


@against(sends_much, HTTP2)
def http2_mended(sock: socket.socket) -> list[Call]:
    """Receive the rest of a frame by splice(2), which no probe sees, so that the next one seems to be in its middle."""
    sock.sendall(PREFACE + frame(SETTINGS, 0, 0) + ask(1))
    to_read, to_write = os.pipe()
    left = len(frame(SETTINGS, 0, 0) * 2 + frame(HEADERS, 0, 1, RESPONSE) + frame(DATA, 0, 1, bytes(5000)))
    left -= len(sock.recv(100))
    while left:
        size = os.splice(sock.fileno(), to_write, left)
        os.read(to_read, size)
        left -= size
    sock.sendall(ask(3))
    frames = Frames(sock)
    frames.until(DATA, 3, END_STREAM)
    began = time.monotonic_ns()
    sock.sendall(ask(5))
    frames.until(DATA, 5, END_STREAM)
    return [slow(timed(began))]


def sends_the_rest_late(sock: socket.socket) -> None:
    frames = accept(sock)
    frames.until(HEADERS, 1)
    sock.sendall(frame(HEADERS, END_HEADERS, 1, RESPONSE) + frame(DATA, 0, 1, b"a"))
    time.sleep(SLOW)
    sock.sendall(frame(DATA, END_STREAM, 1, b"ll ok"))
    frames.next()


@against(sends_the_rest_late, HTTP2)
def http2_slow_body(sock: socket.socket) -> list[Call]:
    frames, began = begin(sock), time.monotonic_ns()
    sock.sendall(ask(1))
    first_byte = frames.until(HEADERS, 1)
    frames.until(DATA, 1, END_STREAM)
    return [slow(timed(began, first_byte))]


def never_answers(sock: socket.socket) -> None:
    frames = accept(sock)
    while frames.next():
        pass


@against(never_answers, ENDS)
def http2_cancelled(sock: socket.socket) -> list[Call]:
    """Give a call up; another one, which is fast to be given up, is not slow."""
    begin(sock)
    began = time.monotonic_ns()
    sock.sendall(ask(1))
    time.sleep(SLOW)
    sock.sendall(frame(RST_STREAM, 0, 1, struct.pack(">I", CANCEL)))
    call = timed(began)
    sock.sendall(ask(3) + frame(RST_STREAM, 0, 3, struct.pack(">I", CANCEL)))
    return [{**call, "outcome": ("reset", "reset"), "error": CANCEL}]


def goes_away(sock: socket.socket) -> None:
    frames = accept(sock)
    frames.until(HEADERS, 3)
    time.sleep(SLOW)
    sock.sendall(frame(GOAWAY, 0, 0, struct.pack(">II", 1, 0)) + answer(1))
    frames.next()


@against(goes_away, ENDS)
def http2_goaway(sock: socket.socket) -> list[Call]:
    """Make two calls, of which the server takes only the first one on."""
    frames, began = begin(sock), time.monotonic_ns()
    sock.sendall(ask(1, 3))
    frames.until(DATA, 1, END_STREAM)
    return [{**timed(began), "outcome": (name, name), "error": 0} for name in ("answered", "closed")]


def leaves(sock: socket.socket) -> None:
    accept(sock).until(HEADERS, 1)
    time.sleep(SLOW)
    sock.close()


@against(leaves, ENDS)
def http2_left(sock: socket.socket) -> list[Call]:
    frames, began = begin(sock), time.monotonic_ns()
    sock.sendall(ask(1))
    while frames.next():
        pass
    return [{**timed(began), "outcome": ("eof", "closed"), "error": 0}]


def start(name: str, out: Path, secured: Callable[[socket.socket, bool], Any] = lambda sock, _: sock) -> Sequence[int]:
    """Start both sides of a scenario and return their PIDs. `secured` is given a socket and whether it is the server's,
    and returns the one to use."""
    client, server = {**HTTP2, **ENDS, **JOINED}[name]
    listener = socket.create_server(("127.0.0.1", 0))
    address = listener.getsockname()

    def serve() -> Any:
        sock = listener.accept()[0]
        if name not in JOINED:
            listener.close()
        return server(secured(sock, True))

    def connect() -> Any:
        return client(secured(socket.create_connection(address), False))

    pids = (child(f"{name}S", serve, out), child(name, connect, out))
    if name not in JOINED:
        listener.close()
    return pids


def main() -> None:
    children = [pid for name in sys.argv[2:] or (*HTTP2, *ENDS) for pid in start(name, Path(sys.argv[1]))]
    failed = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
    sys.exit(any(failed))


if __name__ == "__main__":
    main()
