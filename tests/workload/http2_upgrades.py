"""Upgrade connections from HTTP/1.1 to HTTP/2 in clear text (RFC 7540, 3.2), in scenarios as those of http2.py.

The request that asks for it is stream 1, and is answered by HTTP/2.
"""

from __future__ import annotations

import socket
import time

from .http2_frames import (
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PREFACE,
    RESPONSE,
    SETTINGS,
    Frames,
    answer,
    ask,
    frame,
    timed,
)
from .protocols import GET, SLOW, Call, Side, against, serve, slow
from .protocols import ask as ask_by_http1

UPGRADES: dict[str, tuple[Side, Side]] = {}
LEFT: dict[str, tuple[Side, Side]] = {}
ASKS_FOR_HTTP2 = b"\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: \r\n\r\n"
UPGRADE = GET.replace(b"\r\n\r\n", ASKS_FOR_HTTP2)
SWITCHES = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"


def switch(sock: socket.socket, at_once: bytes = b"") -> Frames:
    """Switch to HTTP/2, and say something before the client has."""
    frames = Frames(sock)
    frames.expect(UPGRADE)
    sock.sendall(SWITCHES + frame(SETTINGS, 0, 0) + at_once)
    frames.expect(PREFACE)
    return frames


def upgrade(sock: socket.socket) -> tuple[Frames, int]:
    """Return the connection's frames, and when they were asked for."""
    frames, began = Frames(sock), time.monotonic_ns()
    sock.sendall(UPGRADE)
    frames.expect(SWITCHES)
    sock.sendall(PREFACE + frame(SETTINGS, 0, 0))
    return frames, began


def end_call(frames: Frames, began: int, stream: int, first_byte: int | None = None) -> Call:
    frames.until(DATA, stream, END_STREAM)
    return {**timed(began, first_byte), "method": "GET", "status": 200, "stream": stream}


def answers_after_a_while(sock: socket.socket) -> None:
    frames = switch(sock)
    time.sleep(SLOW)
    sock.sendall(answer(1))
    for stream, pause in ((3, 0), (5, SLOW)):
        frames.until(HEADERS, stream)
        time.sleep(pause)
        sock.sendall(answer(stream))
    frames.next()


@against(answers_after_a_while, UPGRADES)
def upgraded(sock: socket.socket) -> list[Call]:
    frames, began = upgrade(sock)
    calls = [slow(end_call(frames, began, 1))]
    for stream in (3, 5):
        began = time.monotonic_ns()
        sock.sendall(ask(stream))
        calls.append(end_call(frames, began, stream))
    return [*calls[:2], slow(calls[2])]


def begins_to_answer_at_once(sock: socket.socket) -> None:
    frames = switch(sock, frame(HEADERS, END_HEADERS, 1, RESPONSE) + frame(DATA, 0, 1, b"a"))
    time.sleep(SLOW)
    sock.sendall(frame(DATA, END_STREAM, 1, b"ll ok"))
    frames.next()


@against(begins_to_answer_at_once, UPGRADES)
def upgraded_body(sock: socket.socket) -> list[Call]:
    """Receive the first byte of the answer with the head that switches, and the rest late."""
    frames, began = upgrade(sock)
    first_byte = frames.until(HEADERS, 1)
    return [slow(end_call(frames, began, 1, first_byte))]


def answers_at_once(sock: socket.socket) -> None:
    frames = switch(sock, answer(1))
    frames.until(HEADERS, 3)
    time.sleep(SLOW)
    sock.sendall(answer(3))
    frames.next()


@against(answers_at_once, UPGRADES)
def upgraded_fast(sock: socket.socket) -> list[Call]:
    """Receive the whole answer with the head that switches, rest, and make a call."""
    frames, began = upgrade(sock)
    call = end_call(frames, began, 1)
    time.sleep(SLOW)
    began = time.monotonic_ns()
    sock.sendall(ask(3))
    return [call, slow(end_call(frames, began, 3))]


@against(lambda sock: serve(sock, SLOW, 0), UPGRADES)
def not_upgraded(sock: socket.socket) -> list[Call]:
    return [slow(ask_by_http1(sock, UPGRADE)), ask_by_http1(sock)]


def leaves(sock: socket.socket) -> None:
    switch(sock).until(SETTINGS, 0)
    time.sleep(SLOW)
    sock.close()


@against(leaves, LEFT)
def upgraded_left(sock: socket.socket) -> list[Call]:
    """Be left alone with the request that asked for HTTP/2."""
    frames, began = upgrade(sock)
    while frames.next():
        pass
    return [{**timed(began), "outcome": ("eof", "closed"), "error": 0}]
