"""Make calls of every protocol that the kernel tells apart, each scenario in two processes with names of their own.

    python3 -m workload.protocols OUT            makes those of SCENARIOS, at the same time
    python3 -m workload.protocols OUT NAME       makes one. One of OLDER prints a line when the recording may begin, and
                                                 goes on when it reads one

A scenario is a client and a server function over one connected socket each. The client's process is called like the
scenario, the server's the same with an `S` behind. What the client saw by its own clock (CLOCK_MONOTONIC) goes to
OUT/SCENARIO.json: each call, from when to when, and when the first byte had come if that was much earlier.
"""

from __future__ import annotations

import ctypes
import json
import os
import socket
import ssl
import struct
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

SLOW = 0.4  # seconds
PR_SET_NAME = 15
KEY = Path(__file__).with_name("localhost.pem")
GET = b"GET /item HTTP/1.1\r\nHost: localhost\r\n\r\n"
HEAD, BODY = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n", b"all ok"
OK = HEAD + BODY

Side = Callable[[socket.socket], Any]
Call = dict[str, Any]
SCENARIOS: dict[str, tuple[Side, Side]] = {}
OLDER: dict[str, tuple[Side, Side]] = {}


def against(server: Side, among: dict[str, tuple[Side, Side]] = SCENARIOS) -> Callable[[Side], Side]:
    """Register a client function as a scenario, with the server that it talks to."""

    def register(client: Side) -> Side:
        among[client.__name__] = (client, server)
        return client

    return register


def receive(sock: Any, end: bytes = b"ok", data: bytes = b"") -> bytes:
    """Receive until the data end so, or the connection does."""
    while not data.endswith(end):
        part = sock.recv(65536)
        if not part:
            break
        data += part
    return data


def timed(action: Callable[[], int | None], method: str = "GET", status: int = 200) -> Call:
    """Return a call that lies within `action`, which returns when the first byte had come, if it could tell."""
    began = time.monotonic_ns()
    first_byte = action()
    times = {"t0": began, "t2": first_byte, "t3": time.monotonic_ns()}
    return {**times, "method": method, "status": status, "is_slow": False}


def slow(call: Call) -> Call:
    """Mark a call for which the server takes SLOW. Others may be slow too on a busy machine, by their own clock."""
    return {**call, "is_slow": True}


def ask(sock: Any, request: bytes = GET) -> Call:
    def action() -> None:
        sock.sendall(request)
        receive(sock)

    return timed(action, request.split()[0].decode())


def serve(sock: Any, *pauses: float, response: bytes = OK) -> None:
    """Answer a request after each pause."""
    for pause in pauses:
        if not receive(sock, b"\r\n\r\n"):
            return
        time.sleep(pause)
        sock.sendall(response)


def until_closed(sock: Any) -> None:
    receive(sock, b"never")


# HTTP/1


def sends_the_body_late(sock: Any) -> None:
    receive(sock, b"\r\n\r\n")
    sock.sendall(HEAD)
    time.sleep(SLOW)
    sock.sendall(BODY)
    until_closed(sock)


def ask_for_late_body(sock: Any) -> Call:
    """Make a call whose first byte is fast."""

    def action() -> int:
        sock.sendall(GET)
        head = sock.recv(len(HEAD))
        first_byte = time.monotonic_ns()
        receive(sock, data=head)
        return first_byte

    return slow(timed(action))


@against(sends_the_body_late)
def slow_body(sock: socket.socket) -> list[Call]:
    return [ask_for_late_body(sock)]


def continues(sock: socket.socket) -> None:
    receive(sock, b"\r\n\r\n")
    sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
    receive(sock, b"body")
    time.sleep(SLOW)
    sock.sendall(OK)
    until_closed(sock)


@against(continues)
def interim(sock: socket.socket) -> list[Call]:
    """Send a body when the server has said 100 Continue, which is no answer."""

    def action() -> None:
        sock.sendall(b"POST /item HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
        receive(sock, b"\r\n\r\n")
        sock.sendall(b"body")
        receive(sock)

    return [slow(timed(action, "POST"))]


def continues_and_answers(sock: socket.socket) -> None:
    receive(sock, b"body")
    time.sleep(SLOW)
    sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n" + OK)
    until_closed(sock)


@against(continues_and_answers)
def interim_joined(sock: socket.socket) -> list[Call]:
    return [slow(ask(sock, b"POST /item HTTP/1.1\r\nContent-Length: 4\r\n\r\nbody"))]


def answers_before_the_body(sock: socket.socket) -> None:
    receive(sock, b"\r\n\r\n")
    sock.sendall(OK.replace(b"200", b"401"))
    receive(sock, b"BODY")
    serve(sock, 0)


@against(answers_before_the_body)
def early_answer(sock: socket.socket) -> list[Call]:
    """Be answered before the body is sent; the pause before the next request is no call."""
    early = ask(sock, b"POST /item HTTP/1.1\r\nContent-Length: 40000\r\n\r\n")
    sock.sendall(b"x" * 39996 + b"BODY")
    time.sleep(SLOW)
    return [{**early, "status": 401}, ask(sock)]


def reads_bytes(sock: socket.socket) -> None:
    for pause in (SLOW, 0):
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += sock.recv(1)
        time.sleep(pause)
        for byte in OK:
            sock.sendall(bytes([byte]))


@against(reads_bytes)
def bytewise(sock: socket.socket) -> list[Call]:
    """Read and write byte by byte."""

    def action() -> None:
        for byte in GET:
            sock.sendall(bytes([byte]))
        data = b""
        while not data.endswith(b"ok"):
            data += sock.recv(1)

    return [slow(timed(action)), timed(action)]


def one_ahead(sock: socket.socket) -> None:
    for pause in (0, SLOW, 0):
        data = sock.recv(1)
        receive(sock, b"\r\n\r\n", data)
        time.sleep(pause)
        sock.sendall(OK)


@against(one_ahead)
def go_server(sock: socket.socket) -> list[Call]:
    """Talk to a server that reads one byte before the rest, as Go's does."""
    return [ask(sock), slow(ask(sock)), ask(sock)]


@against(lambda sock: serve(sock, SLOW, 0))
def writev(sock: socket.socket) -> list[Call]:
    def action() -> None:
        os.writev(sock.fileno(), [b"", b"GE", b"T", GET[3:]])
        receive(sock)

    return [slow(timed(action)), timed(action)]


@against(lambda sock: serve(sock, SLOW, 0, SLOW))
def purge(sock: socket.socket) -> list[Call]:
    """Use methods that few know."""
    brew = GET.replace(b"GET", b"BREW")
    return [slow(ask(sock, GET.replace(b"GET", b"PURGE"))), ask(sock, brew), slow(ask(sock, brew))]


@against(lambda sock: serve(sock, SLOW, 0, SLOW))
def empty_line(sock: socket.socket) -> list[Call]:
    """Send an empty line before a request, and one behind a body, long before the next request."""

    def action() -> None:
        sock.sendall(b"\r\n" + GET)
        receive(sock)

    first = slow(timed(action))
    sock.sendall(b"\r\n")
    time.sleep(SLOW)
    return [first, ask(sock), slow(ask(sock))]


def times_out(sock: socket.socket) -> None:
    serve(sock, 0)
    time.sleep(SLOW)
    sock.sendall(OK.replace(b"200 OK", b"408 Request Timeout"))


@against(times_out)
def idle_408(sock: socket.socket) -> list[Call]:
    """Be told that the connection was idle for too long, which answers nothing."""
    call = ask(sock)
    until_closed(sock)
    return [call]


def upgrades(sock: socket.socket) -> None:
    receive(sock, b"\r\n\r\n")
    sock.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n")
    for _ in range(2):
        sock.recv(100)
        time.sleep(SLOW)
        sock.sendall(b"\x81\x02ok")


@against(upgrades)
def websocket(sock: socket.socket) -> list[Call]:
    """Exchange messages, whose times are nobody's calls."""

    def action() -> None:
        sock.sendall(GET.replace(b"\r\n\r\n", b"\r\nUpgrade: websocket\r\n\r\n"))
        receive(sock, b"\r\n\r\n")

    upgrade = timed(action, "GET", 101)
    for _ in range(2):
        sock.sendall(b"\x81\x84\0\0\0\0ping")
        receive(sock)
    return [upgrade]


@against(lambda sock: serve(sock, 0))
def resting(sock: socket.socket) -> list[Call]:
    """Let the connection rest after a call, and close it."""
    call = ask(sock)
    time.sleep(SLOW)
    return [call]


@against(lambda sock: serve(sock, 0, 0, 0))
def spliced(sock: socket.socket) -> list[Call]:
    """Receive by splice(2), which no probe sees; the pauses between the calls are no calls."""
    to_read, to_write = os.pipe()
    for _ in range(3):
        sock.sendall(GET)
        size = 0
        while size < len(OK):
            size += os.splice(sock.fileno(), to_write, len(OK))
        os.read(to_read, size)
        time.sleep(SLOW)
    return []


# TLS


def context(server: bool, version: ssl.TLSVersion) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    if server:
        made.load_cert_chain(KEY)
    else:
        made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
    made.minimum_version = made.maximum_version = version
    return made


def over_tls(sock: socket.socket, server: bool, version: ssl.TLSVersion) -> ssl.SSLSocket:
    return context(server, version).wrap_socket(sock, server_side=server)


def serve_tls(version: ssl.TLSVersion, *pauses: float) -> Side:
    def server(sock: socket.socket) -> None:
        tls = over_tls(sock, True, version)
        serve(tls, *pauses)
        until_closed(tls)

    return server


V2, V3 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


def register_tls(name: str, version: ssl.TLSVersion) -> None:
    def first(sock: socket.socket) -> list[Call]:
        return [slow(ask(over_tls(sock, False, version)))]

    def kept(sock: socket.socket) -> list[Call]:
        tls = over_tls(sock, False, version)
        calls = [ask(tls), slow(ask(tls)), ask(tls)]
        time.sleep(SLOW)
        tls.unwrap()
        return calls

    def ahead(sock: socket.socket) -> list[Call]:
        tls = over_tls(sock, False, version)
        time.sleep(SLOW)
        return [ask(tls)]

    def body(sock: socket.socket) -> list[Call]:
        return [ask_for_late_body(over_tls(sock, False, version))]

    def closing(sock: socket.socket) -> None:
        tls = over_tls(sock, True, version)
        serve(tls, 0, SLOW, 0)
        tls.unwrap()

    def late(sock: socket.socket) -> None:
        sends_the_body_late(over_tls(sock, True, version))

    SCENARIOS[f"{name}_first"] = (first, serve_tls(version, SLOW))
    SCENARIOS[f"{name}_kept"] = (kept, closing)
    SCENARIOS[f"{name}_ahead"] = (ahead, serve_tls(version, 0))
    SCENARIOS[f"{name}_body"] = (body, late)


register_tls("tls12", V2)
register_tls("tls13", V3)


# Connections that are older than the recording. Their clients begin it by `go_on`, in the middle of a call or not.


def go_on() -> None:
    """Say that all is ready, and wait until the recording has begun."""
    print(flush=True)
    sys.stdin.readline()


MESSAGE = struct.pack(">II", 4, 7)


def answers_messages(*pauses: float) -> Side:
    def server(sock: socket.socket) -> None:
        for pause in pauses:
            sock.recv(65536)
            time.sleep(pause)
            sock.sendall(MESSAGE * 4)

    return server


def message(sock: socket.socket) -> Call:
    def action() -> None:
        sock.sendall(MESSAGE)
        sock.recv(65536)

    return timed(action, "", 0)


def waits_for_a_byte(sock: socket.socket) -> None:
    """Answer the first message when the client says so by a file."""
    sock.recv(65536)
    while not Path(sys.argv[1], "go").exists():
        time.sleep(0.01)
    sock.sendall(MESSAGE * 4)
    answers_messages(0, 0, SLOW, 0)(sock)


@against(waits_for_a_byte, OLDER)
def joined_in_a_call(sock: socket.socket) -> list[Call]:
    """Make calls of a binary protocol, SLOW apart, the first of which is older than the recording."""
    sock.sendall(MESSAGE)
    go_on()
    Path(sys.argv[1], "go").touch()
    sock.recv(65536)
    calls = []
    for takes_long in (False, False, True, False):
        time.sleep(SLOW)
        calls.append(slow(message(sock)) if takes_long else message(sock))
    return calls


@against(answers_messages(0, 0, SLOW, 0), OLDER)
def joined_at_rest(sock: socket.socket) -> list[Call]:
    message(sock)
    go_on()
    calls = []
    for takes_long in (False, True, False):
        time.sleep(SLOW)
        calls.append(slow(message(sock)) if takes_long else message(sock))
    return calls


def main() -> None:
    out = Path(sys.argv[1])
    children = [pid for name in sys.argv[2:] or SCENARIOS for pid in start(name, out)]
    failed = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
    sys.exit(any(failed))


def start(name: str, out: Path) -> Sequence[int]:
    """Start both sides of a scenario and return their PIDs. A port whose connections are to be older stays open."""
    client, server = {**SCENARIOS, **OLDER}[name]
    listener = socket.create_server(("127.0.0.1", 0))
    address = listener.getsockname()
    pids = (
        child(f"{name}S", lambda: server(listener.accept()[0]), out),
        child(name, lambda: client(socket.create_connection(address)), out),
    )
    if name in SCENARIOS:
        listener.close()
    return pids


def child(name: str, side: Callable[[], Any], out: Path) -> int:
    """Run a side in a process of its own, and write what it returns."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        ctypes.CDLL(None).prctl(PR_SET_NAME, name[:15].encode(), 0, 0, 0)
        calls = side()
        (out / f"{name}.json").write_text(json.dumps({"pid": os.getpid(), "calls": calls or []}))
        status = 0
    finally:
        os._exit(status)


if __name__ == "__main__":
    main()
