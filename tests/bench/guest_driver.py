"""Run nginx under a keep-alive load without a recorder, with httprec, and with other tools; as root, in the guest or
here.

    python3 guest_driver.py OUT SECONDS pairs|programs|tracepoints|slices...

What it measured (OUT/bench.json) and the captures are for bench_guest.py. `programs` wants kprobes, `tracepoints` a
kernel that has those of sockets.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from program_time import count_time, program_ns

from httpbpf.sources import kernel_tree

JOB, OUT, SECONDS = Path(__file__).parent, Path(sys.argv[1]), sys.argv[2]
PORT, CONNECTIONS, MANY_CONNECTIONS, PAIRS, SLICES = 8081, 16, 256, 5, 11
SLICE_S = "1"
FILES = {f"/item{number}": number * number * 200 for number in range(1, 9)}  # bytes
ALL_CALLS = ("-t", "0", "--stack", "fp")
ROWS_SLOW = ("--rows", "slow")
RECORDERS = {
    "httprec, by default": (),
    "httprec, by default, kprobes": ("--probes", "kprobe"),
    "httprec --rows slow": ROWS_SLOW,
    "httprec --stack fp": ("--stack", "fp"),
    "httprec, all calls": ALL_CALLS,
    "httprec, all calls, kprobes": (*ALL_CALLS, "--probes", "kprobe"),
}
BY_TRACEPOINTS = {
    "httprec, by default": (),
    "httprec --rows slow": ROWS_SLOW,
    "httprec --stack-size 4": ("--stack-size", "4"),
    "httprec, no stacks": ("-p", "nobody"),
    "httprec --stack fp": ("--stack", "fp"),
    "httprec, all calls": ALL_CALLS,
}


class Load(NamedTuple):
    """Hold what the clients measured; times are in microseconds."""

    requests: int
    per_second: float
    median: float
    p99: float


def load(connections: int = CONNECTIONS, seconds: str = SECONDS) -> Load:
    command = [str(JOB / "keep_alive"), str(PORT), str(connections), seconds, *FILES, "/missing"]
    words = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return Load(int(words[0]), *map(float, words[1:]))


@contextlib.contextmanager
def nginx() -> Iterator[None]:
    with tempfile.TemporaryDirectory() as folder:
        for name, size in FILES.items():
            (Path(folder) / name[1:]).write_bytes(b"x" * size)
        with served(folder):
            yield


@contextlib.contextmanager
def served(folder: str) -> Iterator[None]:
    server = subprocess.Popen(["nginx", "-p", folder, "-c", JOB / "nginx.conf", "-e", f"{folder}/nginx.error.log"])
    try:
        one = [str(JOB / "keep_alive"), str(PORT), "1", "0", "/item1"]
        while subprocess.run(one, check=False, capture_output=True).returncode:
            time.sleep(0.1)
        yield
    finally:
        server.terminate()
        server.wait()


@contextlib.contextmanager
def httprec(capture: Path, *options: str) -> Iterator[int]:
    """Run httprec and yield its pid."""
    log = capture.with_suffix(".txt")
    with log.open("wb") as stream:
        command = [sys.executable, "-m", "httprec", "-q", "-f", "-o", str(capture), *options]
        process = subprocess.Popen(command, stdout=stream, stderr=stream)
    while b"Tracing..." not in log.read_bytes():
        if process.poll() is not None:
            raise SystemExit(log.read_text())
        time.sleep(0.2)
    try:
        yield process.pid
    finally:
        process.send_signal(signal.SIGINT)
        process.wait()


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss_kib(pid: int) -> int:
    match = re.search(r"^VmRSS:\s*(\d+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return int(match.group(1)) if match else 0


def with_httprec(capture: Path, options: Iterable[str], connections: int = CONNECTIONS) -> dict[str, object]:
    with httprec(capture, *options) as pid:
        programs, cpu = program_ns(pid), cpu_seconds(pid)
        seen = load(connections)
        time.sleep(0.3)  # more than a round: what is in the rings is drained
        return {
            "load": seen._asdict(),
            "program_ns": program_ns(pid) - programs,
            "cpu_s": cpu_seconds(pid) - cpu,
            "rss_kib": rss_kib(pid),
        }


def with_other_tool(flags: list[str]) -> dict[str, object]:
    from bcc import BPF  # noqa: PLC0415 - after the variable is set

    tool = BPF(text="#include <uapi/linux/ptrace.h>\n" + (JOB / "other_tools.c").read_text(), cflags=flags)
    over = threading.Event()
    reader = threading.Thread(target=read_events, args=[tool, over]) if "-DPLAIN" in flags else threading.Thread()
    reader.start()
    try:
        before = program_ns("self")  # of the tools of this process, which run one after the other
        return {"load": load()._asdict(), "program_ns": program_ns("self") - before}
    finally:
        over.set()
        reader.join()
        tool.cleanup()


def read_events(tool: Any, over: threading.Event) -> None:
    """Read a perf buffer, because one without a reader accepts nothing and costs nothing."""
    tool["events"].open_perf_buffer(lambda _cpu, data, _size: tool["events"].event(data), page_cnt=256)
    while not over.is_set():
        tool.perf_buffer_poll(timeout=100)


def pair(number: int) -> Mapping[str, object]:
    return {
        "without": {"load": load()._asdict()},
        "default": with_httprec(OUT / f"slow{number}.cap", ()),
        "all": with_httprec(OUT / f"all{number}.cap", ALL_CALLS),
    }


def programs() -> Mapping[str, object]:
    count_time(is_on=True)
    return {
        **{name: with_httprec(OUT / "other.cap", options) for name, options in RECORDERS.items()},
        "kprobes and kretprobes, an event each": with_other_tool(["-DPLAIN"]),
        "as BCC's tcptop": with_other_tool([]),
    }


def tracepoints() -> Mapping[str, object]:
    count_time(is_on=True)
    by_httprec = {name: with_httprec(OUT / "other.cap", options) for name, options in BY_TRACEPOINTS.items()}
    by_httprec[f"httprec, {MANY_CONNECTIONS} calls at a time"] = with_httprec(OUT / "other.cap", (), MANY_CONNECTIONS)
    others = {
        "empty programs": with_other_tool(["-DEMPTY"]),
        "an event for each return": with_other_tool(["-DPLAIN", "-DUSE_TRACEPOINTS"]),
        "as BCC's tcptop": with_other_tool(["-DUSE_TRACEPOINTS"]),
    }
    count_time(is_on=False)
    return {**by_httprec, **others}


def cpu_us_a_request() -> float:
    """Return the processor time of nginx and of its client per request, in microseconds."""
    workers = [int(pid) for pid in os.listdir("/proc") if pid.isdigit() and is_worker(pid)]
    before, client = sum(map(running_ns, workers)), os.times()
    seen = load(seconds=SLICE_S)
    after, end = sum(map(running_ns, workers)), os.times()
    of_client = end.children_user + end.children_system - client.children_user - client.children_system
    return ((after - before) / 1e3 + of_client * 1e6) / seen.requests


def is_worker(pid: str) -> bool:
    with contextlib.suppress(OSError):
        return b"nginx: worker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False


def running_ns(pid: int) -> int:
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0])


def slices() -> list[Mapping[str, float]]:
    found: list[Mapping[str, float]] = []
    for number in range(SLICES):
        without = cpu_us_a_request()
        with httprec(OUT / f"slice{number}.cap"):
            found.append({"without": without, "with": cpu_us_a_request()})
    return found


def main() -> None:
    seen: dict[str, object] = {"kernel": os.uname().release}
    with nginx(), kernel_tree() as tree:
        os.environ["BCC_KERNEL_SOURCE"] = str(tree)
        load()
        seen["pairs"] = [pair(number) for number in range(PAIRS)] if "pairs" in sys.argv else []
        seen["programs"] = programs() if "programs" in sys.argv else {}
        seen["tracepoints"] = tracepoints() if "tracepoints" in sys.argv else {}
        seen["slices"] = slices() if "slices" in sys.argv else []
    (OUT / "bench.json").write_text(json.dumps(seen))


if __name__ == "__main__":
    main()
