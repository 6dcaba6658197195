"""Make calls over HTTP/2 in clear text, frame by frame, in two processes for each scenario.

    python3 -m workload.http2 OUT                makes those of HTTP2 and of ENDS, at the same time
    python3 -m workload.http2 OUT NAME           makes one. One of JOINED is as those of OLDER

Scenarios are as in protocols.py. What a client of ENDS returns are calls that got no whole answer, with the outcomes
that they must have at both ends. The heads are literals without an index (RFC 7541, 6.2.2), so they need no table.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from .protocols import SLOW, Call, Side, against, child, go_on, slow

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM, END_HEADERS = 1, 4
CANCEL = 8
HTTP2: dict[str, tuple[Side, Side]] = {}
ENDS: dict[str, tuple[Side, Side]] = {}
JOINED: dict[str, tuple[Side, Side]] = {}


class Frame(NamedTuple):
    kind: int
    flags: int
    stream: int
    payload: bytes


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def field(name: bytes, value: bytes) -> bytes:
    return b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value


REQUEST = field(b":method", b"GET") + field(b":scheme", b"http") + field(b":path", b"/a") + field(b":authority", b"h")
RESPONSE = field(b":status", b"200")


def ask(*streams: int) -> bytes:
    return b"".join(frame(HEADERS, END_HEADERS | END_STREAM, stream, REQUEST) for stream in streams)


def answer(stream: int) -> bytes:
    return frame(HEADERS, END_HEADERS, stream, RESPONSE) + frame(DATA, END_STREAM, stream, b"all ok")


class Frames:
    """Read frames from a socket."""

    def __init__(self, sock: socket.socket) -> None:
        self._stream = sock.makefile("rb")

    def expect_preface(self) -> None:
        assert self._stream.read(len(PREFACE)) == PREFACE

    def next(self) -> Frame | None:
        """Return the next frame, or None at the end of the connection."""
        try:
            head = self._stream.read(9)
        except ConnectionResetError:  # the other end has closed it before it had read all
            return None
        if len(head) < 9:
            return None
        kind, flags, stream = struct.unpack(">BBI", head[3:])
        return Frame(kind, flags, stream, self._stream.read(int.from_bytes(head[:3], "big")))

    def until(self, kind: int, stream: int, flags: int = 0) -> int:
        """Read until such a frame has come, and return when."""
        while True:
            found = self.next()
            assert found, "the connection ended"
            if (found.kind, found.stream) == (kind, stream) and found.flags & flags == flags:
                return time.monotonic_ns()


def begin(sock: socket.socket) -> Frames:
    sock.sendall(PREFACE + frame(SETTINGS, 0, 0))
    return Frames(sock)


def accept(sock: socket.socket) -> Frames:
    frames = Frames(sock)
    frames.expect_preface()
    sock.sendall(frame(SETTINGS, 0, 0) + frame(SETTINGS, 1, 0))
    return frames


def timed(began: int, first_byte: int | None = None) -> Call:
    times = {"t0": began, "t2": first_byte, "t3": time.monotonic_ns()}
    return {**times, "method": "", "status": 0, "is_slow": False}


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
