"""Make calls of every kind that a recorder must pair, over loopback: on connections that are older than the recorder,
slow, cut, reset, timed out, posted, peeked, in vectors, polled, in parts, half-closed, and shared by threads and
processes.

    traffic = Traffic(); ...start recorders...; traffic.run(); ...stop them...; traffic.close()
"""

from __future__ import annotations

import contextlib
import os
import random
import socket
import struct
import tempfile
import threading
import time
from collections.abc import Callable

CLIENTS, CALLS = 8, 25
_LINGER_OFF = struct.pack("ii", 1, 0)  # close sends a reset


def _receive_head(peer: socket.socket) -> bytes:
    head = b""
    while b"\r\n\r\n" not in head:
        data = peer.recv(4096)
        if not data:
            return b""
        head += data
    return head


def _serve(peer: socket.socket) -> None:
    """Answer requests for /KIND/MILLISECONDS/BYTES."""
    with peer, contextlib.suppress(OSError):
        pending = b""
        while True:
            head, _, pending = (pending or _receive_head(peer)).partition(b"\r\n\r\n")
            if not head:
                return
            method, path = head.split()[:2]
            if method == b"POST":
                wanted = int(head.lower().partition(b"content-length: ")[2].split()[0])
                while len(pending) < wanted:
                    pending += peer.recv(65536)
                pending = pending[wanted:]
            _, kind, milliseconds, size = path.split(b"/")
            time.sleep(int(milliseconds) / 1000)
            if kind == b"cut":
                return
            if kind == b"reset":
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_OFF)
                return
            answer = b"HTTP/1.1 200 OK\r\nContent-Length: " + size + b"\r\n\r\n"
            if kind == b"vector":
                peer.sendmsg([answer[:5], answer[5:], b"x" * int(size)])
            elif kind == b"file":
                with tempfile.TemporaryFile() as file:
                    file.write(b"x" * int(size))
                    file.flush()
                    file.seek(0)
                    peer.sendall(answer)
                    peer.sendfile(file)
            else:
                peer.sendall(answer + b"x" * int(size))


class _Client:
    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address
        self.connect()

    def connect(self) -> None:
        self.socket = socket.create_connection(self._address, timeout=5)

    def send(self, kind: str, milliseconds: int, size: int) -> None:
        self.socket.sendall(f"GET /{kind}/{milliseconds}/{size} HTTP/1.1\r\nHost: a\r\n\r\n".encode())

    def receive(self, take: Callable[[], bytes] | None = None) -> None:
        data = (take or (lambda: self.socket.recv(4096)))()
        head, _, body = data.partition(b"\r\n\r\n")
        missing = int(head.rpartition(b": ")[2] or 0) - len(body) if data else 0
        while missing > 0:
            missing -= len(self.socket.recv(65536)) or missing

    def call(self, kind: str, milliseconds: int = 0, size: int = 10) -> None:
        self.send(kind, milliseconds, size)
        self.receive()


def _plain(client: _Client, chosen: random.Random) -> None:
    client.call("plain", chosen.choice((0, 5, 30)), chosen.choice((10, 3000, 200000)))


def _posted(client: _Client, chosen: random.Random) -> None:
    size = chosen.choice((10, 100000))
    client.socket.sendall(b"POST /post/3/10 HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % size)
    client.socket.sendall(b"y" * size)
    client.receive()


def _timed_out(client: _Client, chosen: random.Random) -> None:
    client.socket.settimeout(0.02)
    with contextlib.suppress(socket.timeout):
        client.call("plain", 60)
    client.socket.close()
    client.connect()


def _ended(kind: str) -> Callable[[_Client, random.Random], None]:
    def call(client: _Client, chosen: random.Random) -> None:
        with contextlib.suppress(OSError):
            client.call(kind, chosen.choice((0, 20)))
        client.socket.close()
        client.connect()

    return call


def _peeked(client: _Client, chosen: random.Random) -> None:
    client.send("plain", 10, 500)
    client.socket.recv(100, socket.MSG_PEEK)
    client.receive()


def _vector(client: _Client, chosen: random.Random) -> None:
    client.send("vector", 5, 2000)

    def scatter() -> bytes:
        parts = [bytearray(3), bytearray(60), bytearray(4000)]
        size = client.socket.recvmsg_into(parts)[0]
        return b"".join(parts)[:size]

    client.receive(scatter)


def _polled(client: _Client, chosen: random.Random) -> None:
    client.send("plain", 5, 100)
    client.socket.setblocking(False)
    while True:
        with contextlib.suppress(BlockingIOError):
            client.receive()
            break
        time.sleep(0.001)
    client.socket.settimeout(5)


def _pipelined(client: _Client, chosen: random.Random) -> None:
    client.send("plain", 3, 10)
    client.receive()
    client.socket.sendall(b"GET /plain/4/10 HTTP/1.1\r\n")
    time.sleep(0.002)
    client.socket.sendall(b"Host: a\r\n\r\n")
    client.receive()


def _half_closed(client: _Client, chosen: random.Random) -> None:
    client.send("plain", 5, 100)
    client.socket.shutdown(socket.SHUT_WR)
    client.receive()
    client.socket.close()
    client.connect()


def _two_threads(client: _Client, chosen: random.Random) -> None:
    receiver = threading.Thread(target=client.receive)
    receiver.start()
    time.sleep(0.005)
    client.send("plain", 10, 100)
    receiver.join()


def _two_processes(client: _Client, chosen: random.Random) -> None:
    client.send("plain", 30, 100)
    child = os.fork()
    if not child:
        client.receive()
        os._exit(0)
    os.waitpid(child, 0)


def _sent_file(client: _Client, chosen: random.Random) -> None:
    client.call("file", 3, 50000)


KINDS = (
    _plain,
    _plain,
    _posted,
    _timed_out,
    _ended("cut"),
    _ended("reset"),
    _peeked,
    _vector,
    _polled,
    _pipelined,
    _half_closed,
    _two_threads,
    _sent_file,
)


class Traffic:
    """Run a server, and clients that are connected and have made a call."""

    def __init__(self) -> None:
        self._listeners = [
            socket.create_server(("127.0.0.1", 0)),
            socket.create_server(("::1", 0), family=socket.AF_INET6),
        ]
        for listener in self._listeners:
            threading.Thread(target=self._accept, args=[listener], daemon=True).start()
        self._addresses = [listener.getsockname()[:2] for listener in self._listeners]
        self.ports = [port for _, port in self._addresses]
        self._clients = [_Client(self._addresses[number % 2]) for number in range(CLIENTS)]
        for client in self._clients:
            client.call("plain")
        self._open = _Client(self._addresses[0])

    @staticmethod
    def _accept(listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=_serve, args=[listener.accept()[0]], daemon=True).start()

    def run(self) -> None:
        """Make the calls; one of them is still open when this returns."""
        threads = [threading.Thread(target=self._calls, args=pair) for pair in enumerate(self._clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for _ in range(3):
            _two_processes(self._clients[0], random.Random(0))
        self._open.send("plain", 5000, 10)
        time.sleep(0.1)

    @staticmethod
    def _calls(number: int, client: _Client) -> None:
        chosen = random.Random(number)
        for _ in range(CALLS):
            chosen.choice(KINDS)(client, chosen)

    def close(self) -> None:
        for listener in self._listeners:
            listener.close()
