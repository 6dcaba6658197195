"""Check that the first bytes of request and response give kind, method and status."""

from __future__ import annotations

import numpy as np
import pytest

from httpreport.calls import protocol
from httpreport.calls.protocol import Encrypted, Kind

CLIENT_HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01"
SERVER_HELLO = b"\x16\x03\x03\x00\x7a\x02\x00\x00\x76\x03\x03abcde"


@pytest.mark.parametrize(
    ("request_head", "response_head", "expected"),
    [
        (b"GET /v2/", b"HTTP/1.1 200 OK\r", (Kind.HTTP, b"GET", 200)),
        (b"OPTIONS ", b"HTTP/1.0 404 Not", (Kind.HTTP, b"OPTIONS", 404)),
        (b"CONNECT ", b"HTTP/1.1 503 Ser", (Kind.HTTP, b"CONNECT", 503)),
        (b"POST /x ", b"", (Kind.HTTP, b"POST", 0)),  # no answer, or its bytes were not read
        (b'{"id": 1', b"HTTP/1.1 201 Cre", (Kind.HTTP, b"", 201)),  # the body came in a burst of its own
        (b"GET /v2/", b"HTTP/1.1 2x0 OK\r", (Kind.HTTP, b"GET", 0)),
        (b"GET key\r", b"$3\r\nbar\r\n", (Kind.TCP, b"", 0)),  # redis, typed by hand
        (b"get /v2/", b"", (Kind.TCP, b"", 0)),
        (b"GETTING ", b"", (Kind.TCP, b"", 0)),
        (b"PRI * HT", b"\0\0\x12\x04", (Kind.TCP, b"", 0)),  # HTTP/2: one burst is not one call
        (b"PROPFIND /dav HT", b"HTTP/1.1 207 Mul", (Kind.HTTP, b"PROPFIND", 207)),
        (b"M-SEARCH * HTTP/", b"HTTP/1.1 200 OK\r", (Kind.HTTP, b"M-SEARCH", 200)),
        (b"UPDATEREDIRECTR /", b"HTTP/1.1 200 OK\r", (Kind.HTTP, b"UPDATEREDIRECTR", 200)),
        (b"VERSION-CONTROL+ /", b"HTTP/1.1 200 OK\r", (Kind.HTTP, b"", 200)),  # its end is not in the head
        (b" GET / HTTP/1.1", b"HTTP/1.1 200 OK\r", (Kind.HTTP, b"", 200)),
        (b"PROP(IND /dav", b"HTTP/1.1 207 Mul", (Kind.HTTP, b"", 207)),
        (b"PROPFIND /dav HT", b"HTTP/1.1 2x7 Mul", (Kind.HTTP, b"", 0)),  # no status line
        (b"PROPFIND /dav HT", b"", (Kind.TCP, b"", 0)),  # as memcached's "get key"
        (b"PUT /x HTTP/1.1", b"HTTP/1.1 100 Con", (Kind.HTTP, b"PUT", 0)),
        (b"GET /x HTTP/1.1", b"HTTP/1.1 103 Ear", (Kind.HTTP, b"GET", 0)),
        (b"GET /ws HTTP/1.1", b"HTTP/1.1 101 Swi", (Kind.WEBSOCKET, b"GET", 101)),
        (b"GET /ws HTTP/1.0", b"HTTP/1.0 101 Swi", (Kind.HTTP, b"GET", 101)),
        (CLIENT_HELLO, SERVER_HELLO, (Kind.TLS, b"", 0)),
        (b"\x17\x03\x03\x00\x1a\0\0\0", b"", (Kind.TLS, b"", 0)),
        (b"\x16\x02\x01", b"", (Kind.TCP, b"", 0)),
        (b"", b"", (Kind.UNKNOWN, b"", 0)),
    ],
)
def test_first_bytes_give_kind_method_and_status(
    request_head: bytes, response_head: bytes, expected: tuple[Kind, bytes, int]
) -> None:
    read = protocol.read_protocol(np.array([request_head], "S16"), np.array([response_head], "S16"))

    assert (read.kind[0], read.method[0], read.status[0]) == expected


def test_no_call_at_all() -> None:
    read = protocol.read_protocol(np.array([], "S8"), np.array([], "S16"))

    assert [len(column) for column in read] == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("request_head", "response_head", "is_encrypted", "expected"),
    [
        (b"\x17\x03\x03", b"", 0, (Kind.TLS, Encrypted.YES)),
        (b"\x17\x03\x03", b"", None, (Kind.TLS, Encrypted.YES)),
        (b"", b"", 1, (Kind.TLS, Encrypted.YES)),
        (b"abc", b"abc", 1, (Kind.TLS, Encrypted.YES)),  # in the middle of a record
        (b"abc", b"abc", 0, (Kind.TCP, Encrypted.NO)),
        (b"abc", b"abc", None, (Kind.TCP, Encrypted.UNKNOWN)),
        (b"GET / HT", b"HTTP/1.1 200 OK", 1, (Kind.HTTP, Encrypted.YES)),  # read before it was encrypted
        (b"GET / HT", b"HTTP/1.1 200 OK", 0, (Kind.HTTP, Encrypted.NO)),
    ],
)
def test_the_connection_tells_whether_it_is_encrypted(
    request_head: bytes, response_head: bytes, is_encrypted: int | None, expected: tuple[Kind, Encrypted]
) -> None:
    flags = None if is_encrypted is None else np.array([is_encrypted], np.uint8)

    read = protocol.read_protocol(np.array([request_head], "S16"), np.array([response_head], "S16"), flags)

    assert (read.kind[0], read.encrypted[0]) == expected


@pytest.mark.parametrize("width", [8, 16, 24])
def test_heads_of_any_width_are_read(width: int) -> None:
    requests = np.array([b"GET /v2/", b"LOCK /a"], f"S{width}")
    responses = np.array([b"HTTP/1.1 200 OK"] * 2, "S16")

    read = protocol.read_protocol(requests, responses)
    bare, _ = protocol.without_content(requests, responses)

    assert read.method.tolist() == [b"GET", b"LOCK"]
    assert (bare.tolist(), bare.dtype) == ([b"GET ", b"LOCK "], requests.dtype)
