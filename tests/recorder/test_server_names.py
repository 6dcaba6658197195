"""Check whom and what TLS connections are said to ask, in recordings of OpenSSL's clients and servers."""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from click.testing import CliRunner

from httprec import tuning
from httprec.server_names import ServerNames, hello_text
from httpreport.cli.main import main
from support.planted_secrets import decompressed, found
from workload.recorder import recording

CERTIFICATE = Path(__file__).parents[1] / "workload" / "localhost.pem"
TLS12, TLS13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
LONG = [f"protocol-{number:02}-{'x' * 20}" for number in range(40)]  # of which the recorder keeps the first
WAIT_S = 0.1


class Call(NamedTuple):
    """Say how to call: the name, the greatest version, what is offered and preferred, and in which pieces the first
    message is sent."""

    name: str | None
    version: ssl.TLSVersion
    offered: tuple[str, ...] = ()
    preferred: tuple[str, ...] = ()
    piece: int = 1 << 14


CALLS = [
    Call("one.example", TLS13, ("h2", "http/1.1"), ("h2",)),
    Call("two.example", TLS12, ("h2", "http/1.1"), ("http/1.1",)),
    Call("three.example", TLS13),
    Call(None, TLS12, ("h2",), ("h2",)),
    Call("five.example", TLS13, ("h2", *LONG), ("h2",)),  # 1,800 bytes, as with post-quantum keys
    Call("six.example", TLS13, ("http/1.1", *LONG), (), 400),
]
SAID: list[dict[str, Any]] = [
    {"server_name": "one.example", "offered": ["h2", "http/1.1"], "version": "1.3", "protocol": None},
    {"server_name": "two.example", "offered": ["h2", "http/1.1"], "version": "1.2", "protocol": "http/1.1"},
    {"server_name": "three.example", "offered": [], "version": "1.3", "protocol": None},
    {"server_name": None, "offered": ["h2"], "version": "1.2", "protocol": "h2"},
    {"server_name": "five.example", "offered": ["h2", *LONG[:7]], "version": "1.3", "protocol": None},
    {"server_name": "six.example", "offered": ["http/1.1", *LONG[:7]], "version": "1.3", "protocol": None},
]
MAY_BE_HTTP2 = [True, False, False, False, True, False]


def serve(listening: socket.socket) -> None:
    for call in CALLS:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(CERTIFICATE)
        context.maximum_version = call.version
        if call.preferred:
            context.set_alpn_protocols(list(call.preferred))
        accepted, _ = listening.accept()
        with context.wrap_socket(accepted, server_side=True) as connection:
            for _ in range(2):
                connection.recv(1 << 14)
                time.sleep(WAIT_S)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            connection.recv(1 << 14)  # until the client closes


def make(call: Call, address: tuple[str, int]) -> None:
    """Make two calls on one connection."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if call.offered:
        context.set_alpn_protocols(list(call.offered))
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = context.wrap_bio(incoming, outgoing, server_hostname=call.name)
    with socket.create_connection(address) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def until_done(step: Any) -> Any:
            while True:
                try:
                    return step()
                except ssl.SSLWantReadError:
                    flush(call.piece)
                    incoming.write(connection.recv(1 << 14))
                finally:
                    flush(1 << 14)

        def flush(size: int) -> None:
            waiting = outgoing.read()
            for start in range(0, len(waiting), size):
                connection.sendall(waiting[start : start + size])

        until_done(session.do_handshake)
        for _ in range(2):
            session.write(b"GET / HTTP/1.1\r\nHost: hidden\r\n\r\n")
            until_done(lambda: session.read(1 << 14))


@contextmanager
def server() -> Iterator[tuple[str, int]]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve, args=(listening,))
        thread.start()
        yield listening.getsockname()
        thread.join()


class Recorded(NamedTuple):
    """Hold a capture, and the port of the server. Other programs of this machine may have made calls too."""

    capture: Path
    port: int


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    capture = tmp_path_factory.mktemp("names") / "run.cap"
    with recording(capture, "-t", "50", "-q", "--probes", "tracepoint", "--modules", "none"), server() as address:
        for call in CALLS:
            make(call, address)
    return Recorded(capture, address[1])


def json_calls(recorded: Recorded, *arguments: str) -> list[dict[str, Any]]:
    result = CliRunner().invoke(main, [str(recorded.capture), "--json", *arguments])
    assert result.exit_code == 0, result.output
    calls = [call for call in json.loads(result.stdout)["calls"] if call["destination"]["port"] == recorded.port]
    return sorted(calls, key=lambda call: int(call["t0_ns"]))


@pytest.mark.parametrize("role", ["client", "server"])
def test_both_calls_of_each_connection_say_whom_they_ask(recorded: Recorded, role: str) -> None:
    calls = json_calls(recorded, "--role", role)

    told = [{name: value for name, value in call["http"]["tls"].items() if name != "may_be_http2"} for call in calls]
    assert told == [said for said in SAID for _ in range(2)]
    assert [call["http"]["tls"]["may_be_http2"] for call in calls] == [may for may in MAY_BE_HTTP2 for _ in range(2)]
    assert [call["http"]["authority"] for call in calls] == [said["server_name"] for said in SAID for _ in range(2)]
    assert {(call["kind"], call["http"]["path"], call["http"]["cut"]) for call in calls} == {("tls", None, True)}


def test_a_filter_by_authority_finds_them(recorded: Recorded) -> None:
    calls = json_calls(recorded, "--authority", "five.example")

    assert [call["http"]["tls"]["server_name"] for call in calls] == ["five.example"] * 4


def test_text_says_it(recorded: Recorded, tmp_path: Path) -> None:
    result = CliRunner().invoke(main, [str(recorded.capture), "-o", str(tmp_path)])
    assert result.exit_code == 0, result.output
    lines = (tmp_path / "stack_traces.txt").read_text().splitlines()

    assert lines.count("Authority: one.example, TLS: 1.3, may be HTTP/2") == 4
    assert lines.count("Authority: two.example, TLS: 1.2, http/1.1") == 4
    assert lines.count("Authority: three.example, TLS: 1.3") == 4
    assert lines.count("TLS: 1.2, h2") == 4


def test_redaction_replaces_names_equal_by_equal(recorded: Recorded, tmp_path: Path) -> None:
    redacted = tmp_path / "redacted.cap"
    result = CliRunner().invoke(main, [str(recorded.capture), "--redact", str(redacted)])
    assert result.exit_code == 0, result.output
    calls = json_calls(Recorded(redacted, recorded.port), "--role", "client")

    names = [call["http"]["authority"] for call in calls]
    assert names[::2] == names[1::2] and len(set(names)) == len(CALLS) and names[6] is None
    assert all(name.startswith("host-") for name in names if name is not None)
    assert calls[2]["http"]["tls"]["protocol"] == "http/1.1"
    assert calls[0]["http"]["tls"]["offered"] == ["h2", "http/1.1"]
    assert calls[8]["http"]["tls"]["offered"] == []  # what somebody made up may name somebody
    assert found([b"example", b"protocol-"], decompressed(redacted.read_bytes())) == []
    assert found([b"five.example"], decompressed(recorded.capture.read_bytes())) == [b"five.example"]


HELLO = (
    bytes.fromhex("1603010045" + "01000041" + "0303" + "00" * 32 + "00" + "00021301" + "0100" + "0016")
    + bytes.fromhex("00000012001000000d")
    + b"three.example"
)


def test_pieces_are_joined_and_a_gap_ends_them() -> None:
    assert hello_text(HELLO, b"") == b"? ? ?\ntls-server-name: three.example\n..."
    names = ServerNames()
    names.add(1, 0, HELLO[:50], from_server=False)
    assert names.text(1) == b""
    names.add(1, 50, HELLO[50:], from_server=False)
    names.add(2, 0, HELLO[:50], from_server=False)
    names.add(2, 51, HELLO[51:], from_server=False)
    assert names.text(1) == hello_text(HELLO, b"")
    assert names.text(2) == names.text(3) == b""


def test_the_connections_that_were_used_last_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "MAX_HELLOS_BYTES", 2000)
    names = ServerNames()
    for connection in range(4):
        names.add(connection, 0, HELLO, from_server=False)
        assert names.text(0)
    assert [bool(names.text(connection)) for connection in range(4)] == [True, False, True, True]
