"""Log when a Python client's sockets sent a request and when its response began to arrive.

t0 is read just before the send of a request, t2 just after the receive that brought the first bytes of the response,
both by CLOCK_MONOTONIC, which the kernel's probes use too: what the kernel saw lies between them. A call is one line of
JSON in LOG, which many processes may append to.
"""

from __future__ import annotations

import functools
import json
import os
import socket
import threading
import time
from pathlib import Path
from typing import Any

Started = dict[str, Any]


class OwnClock:
    """Write the calls of `client` into `log`, for each socket class in which it is installed."""

    def __init__(self, client: str, log: Path) -> None:
        self._client = client
        self._log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._started: dict[int, Started] = {}  # by file descriptor

    def install(self, socket_class: type[Any] = socket.socket) -> None:
        for name in ("send", "sendall"):
            setattr(socket_class, name, self._sending(getattr(socket_class, name)))
        for name in ("recv", "recv_into"):
            setattr(socket_class, name, self._receiving(getattr(socket_class, name)))

    def _sending(self, original: Any) -> Any:
        @functools.wraps(original)
        def send(sock: Any, data: Any, *arguments: Any) -> Any:
            if bytes(data[:4]) == b"GET ":
                path = bytes(data).split()[1].decode()
                started = {"path": path, "tid": threading.get_native_id(), "t0": time.monotonic_ns()}
                self._started[sock.fileno()] = started
            return original(sock, data, *arguments)

        return send

    def _receiving(self, original: Any) -> Any:
        @functools.wraps(original)
        def receive(sock: Any, *arguments: Any) -> Any:
            received = original(sock, *arguments)
            t2 = time.monotonic_ns()
            started = self._started.pop(sock.fileno(), None) if received else None
            if started:
                self._write(sock, started, t2)
            return received

        return receive

    def _write(self, sock: Any, started: Started, t2: int) -> None:
        (local, local_port), (peer, peer_port) = sock.getsockname(), sock.getpeername()
        row = {
            "client": self._client,
            "pid": os.getpid(),
            "comm": Path(f"/proc/self/task/{started['tid']}/comm").read_text().rstrip("\n"),
            "process": Path("/proc/self/comm").read_text().rstrip("\n"),
            **{"local": local, "local_port": local_port, "peer": peer, "peer_port": peer_port},
            **started,
            "t2": t2,
            "least_ns": t2 - started["t0"],
            "most_ns": t2 - started["t0"],
        }
        os.write(self._log, json.dumps(row).encode() + b"\n")
