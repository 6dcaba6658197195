"""Let curl ask nginx over HTTP/2 in TLS, many calls at a time over one connection, some of which are slow or large; and
let it give a call up. Prints what both said of each call, as JSON.

    python3 -m workload.tls_nginx FOLDER TLSv1.3
"""

from __future__ import annotations

import http.server
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from workload.tls_heads import HOST, KEY, ThreadedServer, served
from workload.waiting import wait_until

SLOW_S, GIVEN_UP_S = 0.5, 0.4
STATUSES = (200, 404, 503)
MANY = [f"/{kind}/{number}" for number in range(12) for kind in ("slow", "fast", "large")]
GIVEN_UP = "/slow/given-up"
SECRET = "planted-1d83c05e77"
LARGE = 200_000  # bytes: more than a window of HTTP/2 and than a record of TLS

Said = dict[str, Any]


class Upstream(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        kind, name = self.path.partition("?")[0].split("/")[1:]
        if kind != "fast":
            time.sleep(SLOW_S)
        body = bytes(LARGE if kind == "large" else 10)
        self.send_response(STATUSES[int(name) % 3] if name.isdigit() else 200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        pass


class UpstreamServer(ThreadedServer):
    request_queue_size = 2 * len(MANY)  # nginx connects for all of them at once


@contextmanager
def nginx(folder: Path, version: str, upstream: int) -> Iterator[tuple[int, int]]:
    """Run nginx during the block, and yield its port and the pid of its worker."""
    with socket.create_server((HOST, 0)) as free:
        port = free.getsockname()[1]
    text = Path(__file__).with_name("tls_nginx.conf").read_text()
    for word, value in {"HOST": HOST, "PORT": port, "UPSTREAM": upstream, "KEY": KEY, "VERSION": version}.items():
        text = text.replace(word, str(value))
    (folder / "nginx.conf").write_text(text)
    command = ["nginx", "-p", str(folder), "-c", "nginx.conf", "-e", "nginx.error.log"]
    with subprocess.Popen(command) as process:
        try:
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
            wait_until("nginx to start its worker", lambda: bool(children.read_text()))
            worker = int(children.read_text())
            wait_until("nginx to listen", lambda: listens(port))
            yield port, worker
        finally:
            process.send_signal(signal.SIGQUIT)  # it ends its calls, and has logged them


def listens(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex((HOST, port)) == 0


def ask(port: int, paths: Sequence[str], *options: str) -> tuple[int, list[Said]]:
    """Return the pid of a curl, and what it says of each call."""
    command = ["curl", "-sk", "-Z", "--http2", "--write-out", "%{json}\n", *options]
    command += ["-H", f"authorization: Bearer {SECRET}", "-H", f"cookie: session={SECRET}"]
    for path in paths:
        command += ["-o", "/dev/null", f"https://{HOST}:{port}{path}?token={SECRET}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as curl:
        said = curl.communicate()[0]
    return curl.pid, [_said(json.loads(line)) for line in said.splitlines()]


def _said(all: Said) -> Said:
    names = {"status": "http_code", "port": "local_port", "version": "http_version", "seconds": "time_total"}
    path = "/" + all["url"].split("/", 3)[3].partition("?")[0]
    return {"path": path, **{ours: all[theirs] for ours, theirs in names.items()}}


def main(folder: Path, version: str) -> None:
    with ExitStack() as stack:
        upstream = served(UpstreamServer((HOST, 0), Upstream), stack)
        with nginx(folder, version, upstream) as (port, worker):
            pid, many = ask(port, MANY)
            impatient, given_up = ask(port, [GIVEN_UP], "--max-time", str(GIVEN_UP_S))
    log = [json.loads(line) for line in (folder / "nginx.jsonl").read_text().splitlines()]
    print(json.dumps({"clients": {pid: many, impatient: given_up}, "worker": worker, "log": log}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
