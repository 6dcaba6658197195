"""Give recorders more than they can take, more processes than they can look at, and a small disk; as root, in the
guest.

Three recorders see the same load: two whose rings hold next to nothing, and one that writes in parts. Then a recorder
with the usual options sees processes that make one call each and end (storm.c), and whose pids come again and again.
What the driver saw itself (/tmp/out/seen.json) goes to the host with the captures.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any

from vm.ends_driver import OUT, USER, attached, start
from workload.waiting import wait_until

PROGRAM = Path(__file__).resolve().parent.parent / "storm"
CONNECTIONS = 4
CALLS = 20_000  # on all connections
STORM = (4500, 16)  # processes, at a time: more than a recorder knows the maps of
MOST_PIDS = 500  # those from 300 on are given again and again (RESERVED_PIDS, kernel/pid.c)
REQUEST = b"GET / HTTP/1.1\r\nHost: guest\r\n\r\n"
RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
RING_BUFFER = 27  # BPF_MAP_TYPE_RINGBUF
CONTAINED = f"""
import socket, sys
open("/proc/self/comm", "w").write("container")
with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as connection:
    connection.sendall({REQUEST!r})
    connection.recv(65536)
    sys.stdin.read()
"""
TINY = ["-t", "0", "-q", "--modules", "none", "--call-ring", "4", "--stack-ring", "32"]


def child(what: Callable[[], None]) -> int:
    pid = os.fork()
    if not pid:
        try:
            what()
        finally:
            os._exit(0)
    return pid


def answer_for_ever(listener: socket.socket) -> None:
    while True:
        connection = listener.accept()[0]
        while connection.recv(65536):
            connection.sendall(RESPONSE)
        connection.close()


def call(port: int, times: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        for _ in range(times):
            connection.sendall(REQUEST)
            connection.recv(65536)


def kept_by_the_kernel(pid: int) -> int:
    """Return bytes of all maps of a recorder (bpf_map_show_fdinfo)."""
    maps = {}  # by id, since a map has several descriptors
    for path in Path(f"/proc/{pid}/fdinfo").iterdir():
        try:
            text = path.read_text()
        except FileNotFoundError:  # closed since: a module, a part; a recorder keeps its maps
            continue
        fields = dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)
        if "map_type" in fields:
            is_ring = int(fields["map_type"]) == RING_BUFFER  # its pages are counted from 6.4 on only
            maps[fields["map_id"]] = int(fields["max_entries" if is_ring else "memlock"])
    return sum(maps.values())


def cost(recorder: Popen[bytes]) -> dict[str, int]:
    """Return the memory of a recorder that is tracing."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{recorder.pid}/status").read_text().splitlines())
    peak, now = (int(status[name].split()[0]) << 10 for name in ("VmHWM", "VmRSS"))
    return {"peak": peak, "resident": now, "kernel": kept_by_the_kernel(recorder.pid)}


def end(recorder: Popen[bytes], number: signal.Signals) -> int:
    recorder.send_signal(number)
    return recorder.wait()


def start_in_parts() -> Popen[bytes]:
    """Start a recorder as by sudo, in a folder of the user's: every part is created, and given to the user, while it
    records."""
    folder = OUT / "home"
    folder.mkdir(mode=0o755)
    os.chown(folder, USER, USER)
    how = {"env": {**os.environ, "SUDO_UID": str(USER), "SUDO_GID": str(USER)}}
    rotate = ["--rotate-time", "3", "--rotate-keep", "1000"]
    return start("parts", "-o", str(folder / "parts.cap"), "-t", "0", "-q", "--stack", "fp", *rotate, **how)


def overload(port: int) -> dict[str, Any]:
    recorders = {
        "fexit": start("fexit", "-o", str(OUT / "fexit.cap"), "--probes", "fexit", "--stack", "fp", *TINY),
        "kprobe": start("kprobe", "-o", str(OUT / "kprobe.cap"), "--probes", "kprobe", *TINY),
        "parts": start_in_parts(),
    }
    before = time.monotonic()
    clients = [child(lambda: call(port, CALLS // CONNECTIONS)) for _ in range(CONNECTIONS)]
    for pid in clients:
        os.waitpid(pid, 0)
    seconds = time.monotonic() - before
    costs = {name: cost(recorder) for name, recorder in recorders.items()}
    codes = {name: end(recorder, signal.SIGTERM) for name, recorder in recorders.items()}
    owners = sorted({(path.stat().st_uid, path.stat().st_gid) for path in (OUT / "home").iterdir()})
    calls = CALLS // CONNECTIONS * CONNECTIONS
    return {"calls": calls, "seconds": seconds, "costs": costs, "exit_codes": codes, "owners": owners}


def call_from_a_container(port: int, log: Path) -> int:
    """Make one call from a cgroup, pid and mount namespace of its own, wait until it is recorded, and return the
    cgroup's id."""
    group = Path("/sys/fs/cgroup/container")
    group.mkdir()
    join = f'echo $$ >{group}/cgroup.procs; exec unshare --pid --fork --mount "$@"'
    process = Popen(["sh", "-c", join, "sh", sys.executable, "-c", CONTAINED, str(port)], stdin=PIPE)
    wait_until("a call from a container", lambda: b"Comm: container," in log.read_bytes() or process.poll() is not None)
    if process.poll() is not None:
        raise SystemExit("the container ended by itself")
    process.communicate()
    return group.stat().st_ino


@contextmanager
def few_pids() -> Iterator[None]:
    limit = Path("/proc/sys/kernel/pid_max")
    usual = limit.read_text()
    limit.write_text(str(MOST_PIDS))
    try:
        yield
    finally:
        limit.write_text(usual)


def storm(port: int) -> dict[str, Any]:
    """Start short processes as fast as possible; those that stay live until the recorder has ended."""
    recorder = start("storm", "-o", str(OUT / "storm.cap"), "-t", "0")
    cgroup = call_from_a_container(port, OUT / "storm.txt")
    before = cost(recorder)
    with few_pids(), open(OUT / "storm.processes", "wb") as made:
        processes = Popen([PROGRAM, *map(str, STORM)], stdin=PIPE, stdout=made, stderr=PIPE, text=True)
        assert processes.stderr is not None
        said = processes.stderr.readline()
    seen = {"cgroup": cgroup, "said": said.strip(), "before": before, "after": cost(recorder)}
    seen |= {"exit_code": end(recorder, signal.SIGHUP), "attached_afterwards": attached()}
    processes.communicate()
    return seen


def main() -> None:
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    port = listener.getsockname()[1]
    servers = [child(lambda: answer_for_ever(listener)) for _ in range(CONNECTIONS)]
    seen = {"servers": servers, "overload": overload(port), "storm": storm(port)}
    for pid in servers:
        os.kill(pid, signal.SIGKILL)
    (OUT / "seen.json").write_text(json.dumps(seen))


if __name__ == "__main__":
    main()
