"""Compare what calls are said to have asked for with the log of the server that answered them, for each HTTP client.

`make test` has the clients IN_EVERY_TEST, `make test-clients` all.
"""

from __future__ import annotations

import http.server
import json
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from click.testing import CliRunner

from httpreport.cli.main import main
from support.commands import TESTS
from workload import gnutls
from workload.matrix.cells import Cell
from workload.matrix.driver import Client, build
from workload.recorder import recording
from workload.tls_heads import SECURITY, context

IN_EVERY_TEST = ("curl", "node", "fetch", "go")
CLIENTS = (*IN_EVERY_TEST, "wget", "requests", "aiohttp", "httpx", "java")
SLOW_S, THRESHOLD_MS = 0.15, 75
OPTIONS = ("-t", str(THRESHOLD_MS), "-q", "--probes", "tracepoint", "--modules", "none", "--http-bytes", "1024")
PATHS = (
    *("/users/17/slow", "/fast", "/users/18/posts/slow?page=2&token=secret", "/a-b_c.d~e/slow", "/users/17/slow"),
    *("/fast?slow=no", "/a-long/path" * 20 + "/slow", "/created/slow", "/"),
)
STATUSES = {"created": 201, "posts": 202}


class Logged(NamedTuple):
    """Hold a line of the server's log."""

    method: str
    path: str
    host: str
    status: int
    request_id: str


class Server(http.server.ThreadingHTTPServer):
    """Answer, and log the slow requests."""

    def __init__(self, tls: str) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        made = context(tls, server=True)
        if made:
            self.socket = made.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self.log: list[Logged] = []
        self.answered = 0


class Handler(http.server.BaseHTTPRequestHandler):
    """Answer late if the path ends in `slow`, with a status and an ID that depend on the request."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"] or 0))
        path, _, _ = self.path.partition("?")
        status = next((number for word, number in STATUSES.items() if word in path.split("/")), 200)
        self.server.answered += 1
        request_id = f"request-{self.server.answered}"
        if path.endswith("/slow"):
            self.server.log.append(Logged(self.command, path, self.headers["Host"], status, request_id))
            time.sleep(SLOW_S)
        self.send_response(status)
        self.send_header("X-Request-ID", request_id)
        self.send_header("Content-Length", "3")
        self.end_headers()
        self.wfile.write(b"ok\n")

    do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815 (as the base class wants them)

    def log_message(self, *_arguments: Any) -> None:
        pass


@contextmanager
def server(tls: str = "plain") -> Iterator[Server]:
    with Server(tls) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        yield listening
        listening.shutdown()
        thread.join()


def by_command(client: str, base: str) -> None:
    """Ask with a program that asks once, by every method that it knows."""
    methods = ("GET", "POST", "PUT", "DELETE")
    for number, path in enumerate(PATHS):
        method = methods[number % len(methods)]
        command = {
            "curl": ["curl", "-sSk", "-X", method, *(["-d", "token=secret"] if method == "POST" else [])],
            "wget": ["wget", "-qO-", f"--method={method}", *(["--body-data=a"] if method == "POST" else [])],
        }[client]
        command += ["--no-check-certificate"] if client == "wget" else []
        subprocess.run([*command, base + path], check=True, stdout=subprocess.DEVNULL)


def ask(client: str, commands: Mapping[str, Sequence[str]], base: str) -> None:
    if client in ("curl", "wget"):
        by_command(client, base)
        return
    for connections in ("new", "kept"):
        asking = Client(commands[client], Cell(client, "http1", "plain", connections), base)
        for path in PATHS:
            asking.ask(path)
        asking.end()


class Seen(NamedTuple):
    """Hold what the server logged, and the recorded calls with it."""

    log: list[Logged]
    calls: list[dict[str, Any]]


def seen(capture: Path, servers: Mapping[str, Server]) -> dict[str, Seen]:
    """Return what the servers logged, and the calls that were recorded with each."""
    result = CliRunner().invoke(main, [str(capture), "--json"])
    assert result.exit_code == 0, result.output
    calls = sorted(json.loads(result.stdout)["calls"], key=lambda call: int(call["t0_ns"]))
    return {
        name: Seen(one.log, [call for call in calls if call["destination"]["port"] == one.server_port])
        for name, one in servers.items()
    }


def told(calls: Sequence[dict[str, Any]], role: str) -> list[Logged]:
    """Return what the slow calls of one end are said to have asked for."""
    slow = [call for call in calls if call["role"] == role and call["duration_ns"] >= SLOW_S * 1e9]
    assert {call["http"]["query"] for call in slow} == {None, "?..."}
    return [
        Logged(call["method"], http["path"], http["authority"], call["status"], http["request_id"])
        for call, http in ((call, call["http"]) for call in slow)
    ]


class Recordings:
    """Record a client when it is asked for."""

    def __init__(self, folders: pytest.TempPathFactory) -> None:
        self._folders = folders
        self._seen: dict[str, Seen] = {}

    def of(self, client: str) -> Seen:
        together = IN_EVERY_TEST if client in IN_EVERY_TEST else tuple(set(CLIENTS) - set(IN_EVERY_TEST))
        if client not in self._seen:
            self._seen |= self._record(together)
        return self._seen[client]

    def _record(self, clients: tuple[str, ...]) -> dict[str, Seen]:
        out = self._folders.mktemp("logs")
        commands = {**build(out, clients), "fetch": ["node", str(TESTS / "workload" / "fetch_client.js")]}
        servers: dict[str, Server] = {}
        with recording(out / "run.cap", *OPTIONS):
            for client in clients:
                with server() as servers[client]:
                    ask(client, commands, f"http://127.0.0.1:{servers[client].server_port}")
        return seen(out / "run.cap", servers)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Recordings:
    return Recordings(tmp_path_factory)


CLIENTS_WITH_MARKS = [
    pytest.param(client, marks=() if client in IN_EVERY_TEST else pytest.mark.every_client) for client in CLIENTS
]


@pytest.mark.parametrize("role", ["client", "server"])
@pytest.mark.parametrize("client", CLIENTS_WITH_MARKS)
def test_every_slow_call_is_as_its_server_logged_it(recordings: Recordings, client: str, role: str) -> None:
    log, calls = recordings.of(client)

    assert len(log) >= sum(path.partition("?")[0].endswith("/slow") for path in PATHS)
    assert told(calls, role) == log


@pytest.mark.parametrize("tls", SECURITY[1:])
@pytest.mark.parametrize("client", ["curl", pytest.param("wget", marks=pytest.mark.every_client)])
def test_so_is_every_slow_call_in_tls(client: str, tls: str, tmp_path: Path) -> None:
    """Debian's curl uses OpenSSL, and its wget GnuTLS."""
    gnutls.loaded()  # by this process it is found at the beginning
    with recording(tmp_path / "run.cap", *OPTIONS, "--tls"), server(tls) as listening:
        by_command(client, f"https://127.0.0.1:{listening.server_port}")

    log, calls = seen(tmp_path / "run.cap", {client: listening})[client]

    assert told(calls, "client") == log
    assert len(log) == len(told(calls, "server")) == sum(path.partition("?")[0].endswith("/slow") for path in PATHS)
