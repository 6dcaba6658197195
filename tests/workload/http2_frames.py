"""Write and read frames of HTTP/2 (RFC 9113), for both ends of a call in clear text.

The heads are literals without an index (RFC 7541, 6.2.2), so they need no table.
"""

from __future__ import annotations

import socket
import struct
import time
from typing import NamedTuple

from .protocols import Call

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM, END_HEADERS = 1, 4
CANCEL = 8


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

    def expect(self, data: bytes) -> None:
        assert self._stream.read(len(data)) == data

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
    frames.expect(PREFACE)
    sock.sendall(frame(SETTINGS, 0, 0) + frame(SETTINGS, 1, 0))
    return frames


def timed(began: int, first_byte: int | None = None) -> Call:
    times = {"t0": began, "t2": first_byte, "t3": time.monotonic_ns()}
    return {**times, "method": "", "status": 0, "is_slow": False}
