"""Check that the first bytes of request and response give kind, method and status."""

from __future__ import annotations

import numpy as np
import pytest

from httpreport.calls import protocol
from httpreport.calls.protocol import Kind

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
        (CLIENT_HELLO, SERVER_HELLO, (Kind.TLS, b"", 0)),
        (b"\x17\x03\x03\x00\x1a\0\0\0", b"", (Kind.TLS, b"", 0)),
        (b"\x16\x02\x01", b"", (Kind.TCP, b"", 0)),
        (b"", b"", (Kind.UNKNOWN, b"", 0)),
    ],
)
def test_first_bytes_give_kind_method_and_status(
    request_head: bytes, response_head: bytes, expected: tuple[Kind, bytes, int]
) -> None:
    read = protocol.read_protocol(np.array([request_head], "S8"), np.array([response_head], "S16"))

    assert (read.kind[0], read.method[0], read.status[0]) == expected


def test_no_call_at_all() -> None:
    read = protocol.read_protocol(np.array([], "S8"), np.array([], "S16"))

    assert [len(column) for column in read] == [0, 0, 0, 0]
