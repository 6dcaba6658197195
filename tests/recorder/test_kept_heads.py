"""Check which heads of requests and responses a recording has, with real calls and with rows that a test makes."""

from __future__ import annotations

import http.client
import http.server
import io
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from httpbpf.layout import HEAD_ROW
from httpcapture import Calls, End, Heads, HeadText, Reader, Stack, Writer
from httpcapture.chunks import MAX_HEADS
from httprec.http_heads import DEFAULT_RULES
from httprec.kept_heads import KeptHeads
from httpreport.capture.loader import KeepNothing, load
from support.capture_samples import META
from support.head_records import bytes_of, heads_of
from support.synthetic import row_of
from workload.recorder import recording

LAST = End(1, "why", True, 0, 0, 0)


def row(connection: int, sequence: int, data: bytes, *, is_response: bool = False) -> bytes:
    values = {"connection": connection, "sequence": sequence, "size": len(data), "is_response": int(is_response)}
    return row_of(HEAD_ROW, **values) + data


def request(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nCookie: secret\r\n\r\n".encode()


class File:
    """Write a capture into memory."""

    def __init__(self) -> None:
        self._stream = io.BytesIO()
        self.writer = Writer(self._stream, META)

    def read(self) -> tuple[list[HeadText], list[tuple[int, int, int, int]]]:
        """Return the texts, and the rows that say which calls have them."""
        self.writer.end(LAST)
        records = list(Reader(io.BytesIO(self._stream.getvalue())))
        rows: list[tuple[int, int, int, int]] = []
        for record in records:
            if isinstance(record, Heads):
                count = len(record.sequences) // 4
                columns = (record.connections, record.sequences, record.requests, record.responses)
                rows += zip(*(struct.unpack(f"<{count}{form}", column) for form, column in zip("QIII", columns)))
        return [record for record in records if isinstance(record, HeadText)], rows


def test_a_head_that_many_calls_have_is_written_once() -> None:
    file = File()
    kept = KeptHeads(file.writer, DEFAULT_RULES)
    answer = b"HTTP/1.1 200 OK\r\nSet-Cookie: secret\r\n\r\n"
    kept.write([row(1, 1, request("/a")), row(1, 1, answer, is_response=True), row(2, 7, request("/b"))])
    kept.write([row(1, 2, request("/a")), row(3, 1, b"\x16\x03\x01secret")])

    texts, rows = file.read()

    assert texts == [HeadText(1, b"GET /a HTTP/1.1"), HeadText(2, b"HTTP/1.1 200"), HeadText(3, b"GET /b HTTP/1.1")]
    assert rows == [(1, 1, 1, 0), (1, 1, 0, 2), (2, 7, 3, 0), (1, 2, 1, 0)]


def test_each_part_has_the_heads_of_its_calls() -> None:
    """Those of the last round of a part may be of calls that come in the next one."""
    first, second = File(), File()
    kept = KeptHeads(first.writer, DEFAULT_RULES)
    kept.write([row(1, 1, request("/a"))])
    kept.begin_round()
    kept.write([row(1, 2, request("/b"))])
    kept.write([row(1, 3, request("/c"))])
    kept.begin_part(second.writer)
    kept.begin_round()
    kept.write([row(1, 4, request("/a"))])

    assert [text.text for text in first.read()[0]] == [b"GET /%c HTTP/1.1" % letter for letter in b"abc"]
    texts, rows = second.read()
    assert [(text.number, text.text[:6]) for text in texts] == [(1, b"GET /b"), (2, b"GET /c"), (3, b"GET /a")]
    assert rows == [(1, 2, 1, 0), (1, 3, 2, 0), (1, 4, 3, 0)]


def test_of_a_slot_only_the_heads_of_the_call_count() -> None:
    file = File()
    kept = KeptHeads(file.writer, DEFAULT_RULES)
    rows = [row(5, 2, request("/mine")), row(5, 1, b"HTTP/1.1 200 OK\r\n\r\n", is_response=True)]
    kept.write_of_call(rows, {"connection": 5, "sequence": 2})
    kept.write_of_call(rows, {"connection": 6, "sequence": 2})
    assert file.read() == ([HeadText(1, b"GET /mine HTTP/1.1")], [(5, 2, 1, 0)])


def test_more_heads_than_a_record_holds_take_several() -> None:
    file = File()
    kept = KeptHeads(file.writer, DEFAULT_RULES)
    kept.write(row(1, number, request("/a")) for number in range(MAX_HEADS + 3))
    texts, rows = file.read()
    assert (len(texts), len(rows), kept.left_out) == (1, MAX_HEADS + 3, 0)


class Handler(http.server.BaseHTTPRequestHandler):
    """Answer each request after the threshold, but a quick one."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"] or 0))
        time.sleep(0 if self.path.startswith("/quick") else 0.1)
        self.send_response(200, "planted-reason")
        self.send_header("Set-Cookie", "planted-set-cookie")
        self.send_header("X-Request-Id", "request-of-server")
        self.send_header("Content-Length", "15")
        self.end_headers()
        self.wfile.write(b"planted-answer\n")

    do_GET = do_POST  # noqa: N815 (as the base class wants it)

    def log_message(self, *_arguments: Any) -> None:
        pass


@contextmanager
def server() -> Iterator[int]:
    """Serve in a thread and yield the port."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        yield listening.server_port
        listening.shutdown()
        thread.join()


FORMS = ("<u8", "<u4", "<u2", "<u2", "u1")
Recorded = tuple[dict[int, set[tuple[bytes, bytes]]], list[Any]]
PLANTED = {
    "Authorization": "Bearer planted-authorization",
    "Cookie": "planted-cookie",
    "X-Api-Key": "planted-key",
    "X-Request-ID": "request-of-client",
    "Referer": "http://example.org/planted-referer",
    "X-Long": "planted-long" * 60,
}


def calls(port: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    targets = [
        "/quick/planted-quick",
        "/users/list?planted=planted-query",
        "/reset/planted0A1b2C3d4E5f6/x",
        "/a;planted",
    ]
    for target in targets:
        connection.request("GET", target, headers=PLANTED)
        connection.getresponse().read()
    connection.request("POST", "/upload", body=b"planted-body" * 9, headers={"Content-Type": "text/plain; a=planted"})
    connection.getresponse().read()
    connection.close()
    with socket.create_connection(("127.0.0.1", port)) as by_bytes:
        for byte in b"GET /piecemeal HTTP/1.1\r\nHost: a\r\nCookie: planted-piece\r\n\r\n":
            by_bytes.send(bytes([byte]))
        by_bytes.recv(1000)
    with socket.create_connection(("127.0.0.1", port)) as by_vector:
        by_vector.sendmsg([b"GET ", b"/vec", b"tor", b" HTTP/1.1\r\nHost: b\r\n\r\n"])
        by_vector.recv(1000)


def recorded(capture: Path, *options: str) -> tuple[dict[int, set[tuple[bytes, bytes]]], list[Any]]:
    """Return the heads of calls by role, and all records."""
    with (
        server() as port,
        recording(capture, "-t", "50", "-q", "--probes", "tracepoint", "--modules", "none", *options),
    ):
        calls(port)
    records = list(Reader(io.BytesIO(capture.read_bytes())))
    heads = load(Reader(io.BytesIO(capture.read_bytes())), KeepNothing()).heads
    found: dict[int, set[tuple[bytes, bytes]]] = {1: set(), 2: set()}
    for batch in records:
        if isinstance(batch, Calls):
            names = ("connection", "sequence", "local_port", "peer_port", "role")
            columns = [np.frombuffer(batch.columns[name], form).tolist() for name, form in zip(names, FORMS)]
            for connection, sequence, local, peer, role in zip(*columns):
                if port in (local, peer):
                    found[role].add(heads_of(heads, connection, sequence))
    return found, records


ANSWER = b"\nx-request-id: request-of-server\ncontent-length: 15"


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    return recorded(tmp_path_factory.mktemp("heads") / "run.cap")


def test_both_ends_have_the_heads_of_every_slow_call(
    seen: tuple[dict[int, set[tuple[bytes, bytes]]], list[Any]],
) -> None:
    found, _ = seen
    for role in (1, 2):
        lines = {text.split(b"\n")[0] for text, _ in found[role]}
        assert lines == {
            b"GET /users/list?... HTTP/1.1",
            b"GET /reset/{...}/x HTTP/1.1",
            b"GET /a;... HTTP/1.1",
            b"POST /upload HTTP/1.1",
            b"GET /piecemeal HTTP/1.1",
            b"GET /vector HTTP/1.1",
        }
        assert all(response.startswith(b"HTTP/1.1 200\nserver: ") for _, response in found[role])
        assert all(response.endswith(ANSWER) for _, response in found[role])
        (upload,) = (text for text, _ in found[role] if text.startswith(b"POST "))
        assert upload.endswith(b"\ncontent-length: 108\ncontent-type: text/plain")
        users = next(text for text, _ in found[role] if b"/users" in text)
        assert users.endswith(b"\nx-request-id: request-of-client\n...")


def test_nothing_of_what_was_planted_is_in_the_file(
    seen: tuple[dict[int, set[tuple[bytes, bytes]]], list[Any]],
) -> None:
    _, records = seen
    assert any(isinstance(record, Stack) for record in records)
    data = bytes_of(records)
    assert b"request-of-client" in data and b"planted" not in data


def test_what_was_planted_is_found_where_it_is_asked_for(tmp_path: Path) -> None:
    asked = ("--http-query", "full", "--http-path", "full", "--http-header", "X-Long", "--http-bytes", "1024")
    _, records = recorded(tmp_path / "run.cap", *asked)
    data = bytes_of(records)
    assert b"planted-query" in data and b"/reset/planted0A1b2C3d4E5f6/x" in data and b"/a;planted" in data


def test_without_bytes_no_heads_are_kept(tmp_path: Path) -> None:
    found, records = recorded(tmp_path / "run.cap", "--http-bytes", "0")
    assert found == {1: {(b"", b"")}, 2: {(b"", b"")}}
    assert not any(isinstance(record, (Heads, HeadText)) for record in records)
    assert b"planted" not in bytes_of(records)
