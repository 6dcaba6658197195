"""The clients: `run` has one make its calls, and its own view of them is in CALLS/NAME.jsonl, one line of JSON a call.

A line has client, pid, tid, comm, process, path, local, local_port, peer, peer_port, t0 and t2 (CLOCK_MONOTONIC), and
the duration: at least least_ns, at most most_ns. curl tells durations only (t0 and t2 are null), from when it had the
connection and from when it had sent the request: it sent it between the two. nova-api and nginx are
clients too; they ask because curl does.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from workload.plan import Plan
from workload.ports import HOST, NOVA_API, UPSTREAM
from workload.servers import HERE, PYTHON, environment

CURL_WRITES = json.dumps(
    {
        **{"path": "%{url_effective}", "local": "%{local_ip}", "peer": "%{remote_ip}"},
        **{"local_port": "%{local_port}", "peer_port": "%{remote_port}"},
        **{"found_s": "%{time_namelookup}", "connected_s": "%{time_connect}"},
        **{"sent_s": "%{time_pretransfer}", "received_s": "%{time_starttransfer}"},
    }
)
# Node neither compiles nor collects garbage (64 MiB are more than it makes) while its own clock runs.
STEADY = ("--jitless", "--no-expose-wasm", "--min-semi-space-size=64", "--max-semi-space-size=64")


def run(client: str, calls: Path, plan: Plan, connections: int) -> None:
    """Let a client make its calls. Raises CalledProcessError if it fails."""
    CLIENTS[client](calls / f"{client}.jsonl", plan, connections)


def _python(module: str) -> Callable[[Path, Plan, int], None]:
    def run_module(log: Path, plan: Plan, connections: int) -> None:
        numbers = map(str, (plan.slow, plan.fast, plan.slow_ms, connections))
        subprocess.run([PYTHON, "-m", f"workload.{module}", *numbers], check=True, env=environment(log))

    return run_module


def _node(log: Path, plan: Plan, connections: int) -> None:
    script = [
        "node",
        *STEADY,
        str(HERE / "node_client.js"),
        HOST,
        str(UPSTREAM),
        str(connections),
        ",".join(plan.paths()),
    ]
    subprocess.run(script, check=True, env=environment(log))


def _curl(log: Path, plan: Plan, connections: int) -> None:
    """Run as many curls as connections, each with its share of the requests."""
    shares = [plan.paths()[number::connections] for number in range(connections)]
    curls = [_start_curl(share) for share in shares]
    with log.open("a") as file:
        for curl in curls:
            assert curl.stdout is not None
            for line in curl.stdout:
                file.write(json.dumps(_curl_call(json.loads(line), curl.pid)) + "\n")
            if curl.wait() != 0:
                raise subprocess.CalledProcessError(curl.returncode, curl.args)


def _start_curl(paths: Sequence[str]) -> subprocess.Popen[str]:
    options = "".join(f'url = "http://{HOST}:{NOVA_API}{path}"\noutput = "/dev/null"\n' for path in paths)
    command = ["curl", "--silent", "--show-error", "--fail", "--write-out", CURL_WRITES + "\n", "--config", "-"]
    curl = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert curl.stdin is not None
    curl.stdin.write(options)
    curl.stdin.close()
    return curl


def _curl_call(written: dict[str, Any], pid: int) -> dict[str, Any]:
    times = ("found_s", "connected_s", "sent_s", "received_s")
    found, connected, sent, received = (round(float(written.pop(name)) * 1e9) for name in times)
    most = received - max(found, connected)  # 0 when it was connected before
    path = written.pop("path").partition(str(NOVA_API))[2]
    ports = {name: int(written.pop(name)) for name in ("local_port", "peer_port")}
    own = {"client": "curl", "pid": pid, "tid": pid, "comm": "curl", "process": "curl", "path": path}
    return {**own, **written, **ports, "t0": None, "t2": None, "least_ns": received - sent, "most_ns": most}


CLIENTS: dict[str, Callable[[Path, Plan, int], None]] = {
    "curl": _curl,
    "http.client": _python("http_client"),
    "requests": _python("requests_client"),
    "aiohttp": _python("aiohttp_client"),
    "node": _node,
}
