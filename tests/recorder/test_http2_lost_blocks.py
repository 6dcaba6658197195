"""Record streams whose header blocks refer to blocks that the recorder has not seen: what it does not know, it says."""

from __future__ import annotations

import io
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from httpcapture import Calls, Reader
from httpreport.capture.loader import KeepNothing, load
from support.head_records import heads_of
from support.recorders import needs_a_recorder
from workload.http2_frames import DATA, END_HEADERS, END_STREAM, HEADERS, PREFACE, SETTINGS, frame
from workload.recorder import recording

oracle: Any = pytest.importorskip("hpack")

SLOW_S = 0.06
OPTIONS = ("-t", "50", "-q", "--probes", "tracepoint", "--modules", "none", "--stack", "fp")
SMALL_RING = """
from httprec import main, options
options.DEFAULTS = options.DEFAULTS._replace(block_ring_pages=1)
main.main()
"""


class Connection:
    """Hold both ends of a connection, which keep tables of header fields."""

    def __init__(self, listening: socket.socket) -> None:
        self._client = socket.create_connection(listening.getsockname())
        self._server = listening.accept()[0]
        self._asking, self._answering = oracle.Encoder(), oracle.Encoder()
        self._client.sendall(PREFACE + frame(SETTINGS, 0, 0))
        self._server.recv(1000)
        self._stream = -1

    def close(self) -> None:
        self._client.close()
        self._server.close()

    def call(self, *paths: str, pause: float = 0) -> list[int]:
        """Make calls at once and return their streams. The server answers each with a status of its own."""
        streams, asked, answered = [], b"", b""
        for path in paths:
            self._stream += 2
            streams.append(self._stream)
            request = [(":method", "POST"), (":path", path), (":authority", "a"), ("authorization", f"planted {path}")]
            head = self._asking.encode(request, huffman=False)
            asked += frame(HEADERS, END_HEADERS | END_STREAM, self._stream, head)
            head = self._answering.encode([(":status", "204"), ("server", path[1:])])
            answered += frame(HEADERS, END_HEADERS, self._stream, head) + frame(DATA, END_STREAM, self._stream)
        self._send(self._client, self._server, asked)
        time.sleep(pause)
        self._send(self._server, self._client, answered)
        return streams

    def _send(self, sender: socket.socket, receiver: socket.socket, data: bytes) -> None:
        sender.sendall(data)
        left = len(data)
        while left:
            left -= len(receiver.recv(left))


@contextmanager
def connection() -> Iterator[Connection]:
    needs_a_recorder()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        opened = Connection(listening)
        yield opened
        opened.close()


def heads(capture: Path) -> tuple[dict[int, set[tuple[bytes, bytes]]], int]:
    """Return the heads of this process's calls by stream, at both ends, and how many pieces of blocks were lost."""
    data = capture.read_bytes()
    loaded = load(Reader(io.BytesIO(data)), KeepNothing())
    found: dict[int, set[tuple[bytes, bytes]]] = {}
    for batch in Reader(io.BytesIO(data)):
        if isinstance(batch, Calls):
            names = ("connection", "sequence", "stream", "pid")
            forms = ("<u8", "<u4", "<u4", "<u4")
            columns = (np.frombuffer(batch.columns[name], form).tolist() for name, form in zip(names, forms))
            for number, sequence, stream, pid in zip(*columns):
                if stream and pid == os.getpid():
                    found.setdefault(stream, set()).add(heads_of(loaded.heads, number, sequence))
    assert b"planted" not in data
    return found, loaded.lost.get("header_block_lost", 0)


def test_what_refers_to_blocks_before_the_recording_is_not_known(tmp_path: Path) -> None:
    capture = tmp_path / "run.cap"
    with connection() as opened:
        opened.call("/old")
        with recording(capture, *OPTIONS):
            opened.call("/fast")  # with which the walk gets in step
            (old,) = opened.call("/old", pause=SLOW_S)
            (new,) = opened.call("/new", pause=SLOW_S)
            (again,) = opened.call("/new", pause=SLOW_S)
    found, lost = heads(capture)
    assert found[old] == {(b"POST ? HTTP/2\n...", b"HTTP/2 204\n...")}
    assert found[new] <= {(b"POST /new HTTP/2\n...", b"HTTP/2 204\nserver: new")}
    assert found[again] == {(b"POST /new HTTP/2\n...", b"HTTP/2 204\nserver: new")}
    assert not lost


@pytest.mark.parametrize("option", [("--http2-headers", "off"), ("--http-bytes", "0")])
def test_heads_are_left_out_on_request(option: tuple[str, str], tmp_path: Path) -> None:
    capture = tmp_path / "run.cap"
    with recording(capture, *OPTIONS, *option), connection() as opened:
        (stream,) = opened.call("/new", pause=SLOW_S)
    assert heads(capture) == ({stream: {(b"", b"")}}, 0)


def test_after_lost_blocks_nothing_wrong_is_known(tmp_path: Path) -> None:
    capture = tmp_path / "run.cap"
    small_ring = [sys.executable, "-c", SMALL_RING]
    asked: dict[int, str] = {}
    with connection() as opened, recording(capture, *OPTIONS, command=small_ring):
        for number in range(5):
            paths = [f"/a/{number}/{'b' * (place % 7 + 1)}/{place}" for place in range(60)]
            asked.update(zip(opened.call(*paths, pause=SLOW_S), paths))
        for number in range(10):  # alone, with room in the ring
            asked.update(zip(opened.call(f"/alone/{number}", pause=3 * SLOW_S), [f"/alone/{number}"]))
    found, lost = heads(capture)
    assert lost
    known = [(stream, request) for stream, both in found.items() for request, _ in both if request]
    assert known
    for stream, request in known:
        first = request.split(b"\n")[0].decode()
        assert first in (f"POST {asked[stream]} HTTP/2", "POST ? HTTP/2")
    answers = {(stream, line) for stream, both in found.items() for _, text in both for line in text.split(b"\n")}
    servers = {(stream, line) for stream, line in answers if line.startswith(b"server")}
    assert servers <= {(stream, b"server: " + path[1:].encode()) for stream, path in asked.items()}
