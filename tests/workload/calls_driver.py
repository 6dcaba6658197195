"""Let all clients make their calls while httprec records, and collect what they saw. Runs as root.

    python3 -m workload.calls_driver OUT PROBES

OUT/calls.cap is recorded with -t 100 while every client makes PLAN, then OUT/all.cap (-t 0) and OUT/filtered.cap
(-t 300 -p nova-api) at the same time. OUT/NAME.jsonl: the clients' own calls during calls.cap. OUT/facts.json: CPUs,
how many threads were blocked in a receive all the time, and the upstream's pid.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from workload import clients
from workload.plan import Plan
from workload.ports import HOST, UPSTREAM
from workload.recorder import recording, recordings
from workload.servers import servers
from workload.waiting import wait_until

PLAN = Plan(slow=23, fast=200, slow_ms=300)
WARM_UP = Plan(slow=1, fast=9, slow_ms=10)
FILTERED = Plan(slow=23, fast=46, slow_ms=350)
CONNECTIONS = 3
READERS = 24  # more than a kretprobe has instances by default: 10, or two a CPU (kernel/kprobes.c)
RECVFROM = "45"  # its number on x86-64


def main() -> None:
    out, probes = Path(sys.argv[1]), ("--probes", sys.argv[2])
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder)
        with servers(run, run) as pids:
            clients.run("curl", run, WARM_UP, CONNECTIONS)
            for name in ("nginx", "nova-api"):
                run_at_once(pid_of_client(run, name))
            facts = record_calls(out, run, probes)
            for log in run.glob("*.jsonl"):
                shutil.copy(log, out)
            record_filtered(out, run, probes)
    (out / "facts.json").write_text(json.dumps({**facts, "upstream_pid": pids["upstream"]}))


def record_calls(out: Path, run: Path, probes: Sequence[str]) -> dict[str, int | None]:
    for log in run.glob("*.jsonl"):
        os.truncate(log, 0)  # the servers go on appending
    with blocked_readers() as readers, recording(out / "calls.cap", "-t", "100", "-q", *probes):
        for client in clients.CLIENTS:
            started = time.monotonic()
            run_at_once(0)
            clients.run(client, run, PLAN, CONNECTIONS)
            run_at_once(0, os.SCHED_OTHER)
            print(f"{client}: {time.monotonic() - started:.1f} s", flush=True)
    return {"cpus": os.cpu_count(), "blocked_readers": readers}


def record_filtered(out: Path, run: Path, probes: Sequence[str]) -> None:
    everything = ("-t", "0", "-q", *probes)
    filtered = ("-t", "300", "-p", "nova-api", "-q", *probes)
    with recordings({out / "all.cap": everything, out / "filtered.cap": filtered}):
        clients.run("curl", run, FILTERED, CONNECTIONS)


def pid_of_client(run: Path, name: str) -> int:
    """Return the pid of the one process that makes a client's calls."""
    pid: int = json.loads((run / f"{name}.jsonl").read_text().splitlines()[0])["pid"]
    return pid


def run_at_once(pid: int, policy: int = os.SCHED_RR) -> None:
    """Give a process, and what it starts, priority, so that it reads its clock before others run."""
    os.sched_setscheduler(pid, policy, os.sched_param(int(policy == os.SCHED_RR)))


@contextmanager
def blocked_readers() -> Iterator[int]:
    """Keep connections whose threads block in recv, and yield how many do."""
    sockets = [socket.create_connection((HOST, UPSTREAM)) for _ in range(READERS)]
    threads = [threading.Thread(target=sock.recv, args=(1,), daemon=True) for sock in sockets]
    for thread in threads:
        thread.start()
    wait_until(f"{READERS} threads to be in a receive", lambda: blocked() >= READERS)
    yield blocked()
    for sock, thread in zip(sockets, threads):
        sock.shutdown(socket.SHUT_RDWR)
        thread.join()


def blocked() -> int:
    """Return how many threads of this process are in recvfrom."""
    tasks = Path("/proc/self/task").iterdir()
    return sum((task / "syscall").read_text().split()[0] == RECVFROM for task in tasks)


if __name__ == "__main__":
    main()
