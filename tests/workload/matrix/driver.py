"""Let every client ask by every protocol, over every kind of connection, under a recorder; as root.

    python3 -m workload.matrix.driver OUT PROBES AT_A_TIME CLIENT...

Each cell (cells.py) is a process, curl's new connections excepted, which are one each. AT_A_TIME cells are made at the
same time. What the clients saw by their own clocks goes to OUT/CELL.json, the capture to OUT/matrix.cap.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from workload.matrix.cells import GRPC, PATHS, Cell, cells
from workload.recorder import recording
from workload.waiting import wait_until

HERE = Path(__file__).resolve().parent
KEY = HERE.parent / "localhost.pem"
LATE_MS = 400
THRESHOLD_MS = 200
PYTHON = "/usr/bin/python3"  # whose libraries are the distribution's

Call = dict[str, Any]


@contextmanager
def servers() -> Iterator[dict[str, Any]]:
    """Yield the servers' pids, and their ports by protocol or version of TLS."""
    command = ["node", str(HERE / "server.js"), str(LATE_MS), str(KEY)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        served = json.loads(process.stdout.readline())
        with upgrading_proxy(served["ports"]["http1"]) as (pid, port):
            yield {"pids": [served["pid"], pid], "ports": {**served["ports"], "upgrade": port}}
        process.communicate(b"")


@contextmanager
def upgrading_proxy(port: int) -> Iterator[tuple[int, int]]:
    """Yield the pid and the port of a proxy that takes HTTP/2 by an upgrade, which Node's server does not. It asks the
    server at `port` by HTTP/1.1."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        own = free.getsockname()[1]
    ends = [f"--frontend=127.0.0.1,{own};no-tls", f"--backend=127.0.0.1,{port}"]
    with subprocess.Popen(["nghttpx", "--single-process", "--conf=/dev/null", "--workers=1", "-LWARN", *ends]) as proxy:
        wait_until("nghttpx to listen", lambda: proxy.poll() is not None or accepts(own))
        yield proxy.pid, own
        proxy.kill()


def accepts(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


def build(out: Path, clients: Collection[str]) -> dict[str, list[str]]:
    """Compile those of the clients that need it, and return the commands of all but curl."""
    if "go" in clients:
        subprocess.run(["go", "build", "-o", str(out / "client"), str(HERE / "client.go")], check=True)
    if "java" in clients:
        subprocess.run(["javac", "-d", str(out), str(HERE / "Client.java")], check=True)
    python = {name: [PYTHON, str(HERE / "client.py"), name] for name in ("requests", "aiohttp", "httpx", "grpcio")}
    java = ["java", "-Xshare:auto", "-XX:TieredStopAtLevel=1", "-cp", str(out), "Client"]
    return {**python, "node": ["node", str(HERE / "client.js")], "go": [str(out / "client")], "java": java}


def url(cell: Cell, ports: dict[str, int]) -> str:
    if cell.tls:
        return f"https://127.0.0.1:{ports[cell.tls]}"
    return f"http://127.0.0.1:{ports['http2' if cell.protocol in GRPC else cell.protocol]}"


class Client:
    """Run a client that is asked for one path after the other."""

    def __init__(self, command: Sequence[str], cell: Cell, base: str) -> None:
        arguments = [base, cell.protocol, cell.connections, *(["resumed"] if cell.is_resumed else [])]
        self._process = subprocess.Popen(
            [*command, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._read()  # that it is ready

    def _read(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._process.args!r} ended with status {self._process.wait()}")
        return line

    def ask(self, path: str) -> Call:
        assert self._process.stdin is not None
        self._process.stdin.write(path + "\n")
        self._process.stdin.flush()
        call: Call = json.loads(self._read())
        return {**call, "most": call["t3"] - call["t0"]}

    def end(self) -> None:
        self._process.communicate("")


def ask_by_curl(cell: Cell, base: str) -> list[Call]:
    """Return what a curl for each path, or one for all of them, saw. It tells how long each took, and not when."""
    in_the_clear = {"http1": "--http1.1", "http2": "--http2-prior-knowledge", "upgrade": "--http2"}[cell.protocol]
    http = "--http2" if cell.tls and cell.protocol == "http2" else in_the_clear
    # Without keeping connections, it takes up the TLS session of the one before, unless it is told not to.
    resumes = ["--header", "Connection: close"] if cell.is_resumed else ["--no-sessionid"]
    command = ["curl", "-sSfk", http, *resumes, "--write-out", "%{stderr}%{time_total}\n"]
    shares = [[path] for path in PATHS] if cell.connections == "new" and not cell.is_resumed else [list(PATHS)]
    calls = []
    for share in shares:
        t0 = time.monotonic_ns()
        urls = [base + path for path in share]
        curl = subprocess.Popen([*command, *urls], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
        _, said = curl.communicate()
        if curl.returncode:
            raise RuntimeError(f"{curl.args!r} ended with status {curl.returncode}: {said.decode()}")
        own = {"pid": curl.pid, "t0": t0, "t3": time.monotonic_ns()}
        times = map(float, said.split())
        calls += [{**own, "path": path, "most": round(seconds * 1e9)} for path, seconds in zip(share, times)]
    return calls


def main(out: Path, probes: str, at_a_time: int, clients: Collection[str]) -> None:
    wanted = [cell for cell in cells() if cell.client in clients]
    commands = build(out, clients)
    with ExitStack() as stack:
        served = stack.enter_context(servers())
        bases = {cell: url(cell, served["ports"]) for cell in wanted}
        older = {
            cell: Client(commands[cell.client], cell, bases[cell]) for cell in wanted if cell.connections == "older"
        }
        for client in older.values():
            client.ask("/0/fast")

        def make(cell: Cell) -> None:
            if cell.client == "curl":
                calls = ask_by_curl(cell, bases[cell])
            else:
                client = older.get(cell) or Client(commands[cell.client], cell, bases[cell])
                calls = [client.ask(path) for path in PATHS]
                client.end()
            (out / f"{cell.name}.json").write_text(json.dumps(calls))

        options = ("-t", str(THRESHOLD_MS), "-f", "-q", "--probes", probes, "--stack", "fp")
        with recording(out / "matrix.cap", *options), ThreadPoolExecutor(at_a_time) as pool:
            list(pool.map(make, wanted))
    (out / "servers.json").write_text(json.dumps(served))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4:])
