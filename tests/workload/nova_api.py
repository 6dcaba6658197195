"""Serve nova-api in a gunicorn worker with eventlet; it passes each request on to nginx."""

from __future__ import annotations

import http.client
import os
from collections.abc import Callable, Iterable
from pathlib import Path

import eventlet.patcher

from workload.own_clock import OwnClock
from workload.ports import HOST, NGINX

# eventlet's sockets are a layer above those of the unpatched module, where the system calls are made.
OwnClock("nova-api", Path(os.environ["CALLS"])).install(eventlet.patcher.original("socket").socket)


def get_servers(path: str) -> bytes:
    connection = http.client.HTTPConnection(HOST, NGINX)
    try:
        connection.request("GET", path)
        return connection.getresponse().read()
    finally:
        connection.close()


def application(environ: dict[str, str], start_response: Callable[..., object]) -> Iterable[bytes]:
    body = get_servers(environ["PATH_INFO"])
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
