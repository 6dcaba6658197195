"""Measure what bursts of HTTP/2 cost in BPF programs and in the recorder, which decodes their header blocks, beside as
many calls of HTTP/1.1, and that these do not pay for HTTP/2.

    sudo PYTHONPATH=recorder:bpf:format:reporter python tests/bench/bench_http2.py

Node asks its own server in clear text, AT_ONCE requests at a time (tests/workload/bursts.js), and no call is slow. The
time of the programs is the kernel's own, of both ends; other traffic of the machine is in it too. The recorder's is its
processor time. Each figure is the median of ROUNDS, which take turns, for one request at one end.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from program_time import count_time, processor_ns, program_ns

from workload.recorder import recordings

BURSTS_JS = Path(__file__).resolve().parents[1] / "workload" / "bursts.js"
AT_ONCE, BURSTS, ROUNDS, ENDS = 200, 100, 5, 2
DRAINED_S = 0.5  # after which the recorder has read all rings
THRESHOLD_MS = "60000"
PROTOCOLS = {"HTTP/1.1": "http1", "HTTP/2": "http2"}
OPTIONS = {"": (), ", --http2-headers off": ("--http2-headers", "off")}


def measure(protocol: str, options: Sequence[str]) -> tuple[float, float]:
    """Return nanoseconds for each request at each end: of BPF programs, and of the recorder."""
    with tempfile.TemporaryDirectory() as folder:
        capture = Path(folder, "run.cap")
        with recordings({capture: ["-q", "-f", "-t", THRESHOLD_MS, *options]}) as started:
            pid = started[capture].pid
            before = [program_ns(pid), processor_ns(pid)]
            subprocess.run(["node", str(BURSTS_JS), protocol, str(AT_ONCE), str(BURSTS)], check=True)
            time.sleep(DRAINED_S)
            spent = [program_ns(pid) - before[0], processor_ns(pid) - before[1]]
    in_programs, in_recorder = (ns / (AT_ONCE * BURSTS * ENDS) for ns in spent)
    return in_programs, in_recorder


def main() -> None:
    ways = {protocol + option: (PROTOCOLS[protocol], OPTIONS[option]) for protocol in PROTOCOLS for option in OPTIONS}
    found: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
    count_time(is_on=True)
    try:
        for _ in range(ROUNDS):
            for way, (protocol, options) in ways.items():
                found[way].append(measure(protocol, options))
    finally:
        count_time(is_on=False)
    for way, each in found.items():
        for where, ns in zip(("BPF", "recorder"), zip(*each)):
            what = f"{where}, a request at one end, {AT_ONCE} at once, {way}"
            print(f">> {what}: {statistics.median(ns):.0f} ns ({min(ns):.0f} to {max(ns):.0f})")


if __name__ == "__main__":
    main()
