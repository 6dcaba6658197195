"""Check that no secret of an HTTP message reaches a capture, apart from copies of stacks.

Four recorders see the same calls. One of them does not reduce what it writes of heads: in its file the same search must
find every secret, or the search would prove nothing.
"""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from httpcapture import HeadText, Stack
from support.planted_secrets import REQUEST_BYTES, Planted, decompressed, found, outside_of_stacks, planted, records_of
from workload.recorder import recording, recordings

WAIT_S = 0.05
COMMON = ("-t", "20", "-q", "--probes", "tracepoint", "--modules", "none")
MOST = ("--http-bytes", str(REQUEST_BYTES))
RUNS = {
    "default": (*COMMON, "--stack", "fp"),
    "names": (*COMMON, *MOST, "--stack", "fp", "--http-query", "names", "--http-header", "x-tenant"),
    "copies": (*COMMON, *MOST),
}
UNREDACTED = """
from httprec import kept_heads, main
kept_heads.redact_request = kept_heads.redact_response = lambda data, rules: data
main.main()
"""


class Seen(NamedTuple):
    """Hold what was planted, and the captures by name."""

    planted: Planted
    captures: dict[str, bytes]


def answer(listening: socket.socket, responses: Iterator[bytes]) -> None:
    for response in responses:
        connection, _ = listening.accept()
        with connection:
            connection.recv(1 << 16)
            time.sleep(WAIT_S)
            connection.sendall(response)


def call(exchanges: list[tuple[bytes, bytes]]) -> None:
    """Make each call on a connection of its own."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = threading.Thread(target=answer, args=(listening, iter([response for _, response in exchanges])))
        server.start()
        for request, _ in exchanges:
            with socket.create_connection(listening.getsockname()) as client:
                client.sendall(request)
                while client.recv(1 << 16):
                    pass
        server.join()


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    folder, messages = tmp_path_factory.mktemp("planted"), planted()
    paths = {name: folder / f"{name}.cap" for name in (*RUNS, "unredacted")}
    unredacted = (*COMMON, *MOST, "--stack", "fp")
    with (
        recording(paths["unredacted"], *unredacted, command=[sys.executable, "-c", UNREDACTED]),
        recordings({paths[name]: options for name, options in RUNS.items()}),
    ):
        call(messages.exchanges)
    return Seen(messages, {name: path.read_bytes() for name, path in paths.items()})


def test_the_search_finds_every_secret_where_redaction_is_switched_off(seen: Seen) -> None:
    assert found(seen.planted.secrets, decompressed(seen.captures["unredacted"])) == seen.planted.secrets


@pytest.mark.parametrize("name", ["default", "names"])
def test_no_secret_is_in_the_decompressed_file(seen: Seen, name: str) -> None:
    assert found(seen.planted.secrets, decompressed(seen.captures[name])) == []


def test_no_secret_is_outside_of_the_copies_of_stacks(seen: Seen) -> None:
    capture = seen.captures["copies"]

    assert any(isinstance(record, Stack) and record.memory for record in records_of(capture))
    assert found(seen.planted.secrets, outside_of_stacks(capture)) == []


@pytest.mark.parametrize("name", RUNS)
def test_the_heads_of_all_calls_are_there_without_them(seen: Seen, name: str) -> None:
    texts = [record.text for record in records_of(seen.captures[name]) if isinstance(record, HeadText)]
    requests, responses = ([text for text in texts if text.startswith(b"HTTP/") is told] for told in (False, True))

    assert any(text.startswith(b"POST /login HTTP/1.1\nhost: a.example\ncontent-length: ") for text in requests)
    assert b"HTTP/1.1 302\nlocation: https://a.example\ncontent-length: 0" in responses
    assert b"GET /list HTTP/1.1\nhost: a.example\n..." in requests
