"""What a recording costs the host, in the guest: nginx under a keep-alive load, with httprec, without, and with others.

    PYTHONPATH=recorder:bpf:format:reporter python tests/bench/bench_guest.py

The guest is emulated: only ratios in one run mean something. The time of a BPF program is the kernel's own
(kernel.bpf_stats_enabled); what calling it costs, a trap for a kprobe and less for fexit, is not in it, but in the
requests a second. A pair is a send and a receive: each request has two, the client's and nginx's.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from httpcapture import Calls, open_capture
from httpcapture.chunks import Kind
from httpcapture.frames import FrameReader
from vm import recorded

HERE = Path(__file__).resolve().parent
GUEST_S = 600
PLAIN = "kprobes and kretprobes, an event each"
SENT_ALONG = ("guest_driver.py", "other_tools.c", "nginx.conf")


def run_in_guest(out: Path) -> Mapping[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        binary = Path(folder) / "keep_alive"
        subprocess.run(["gcc", "-O2", "-static", "-pthread", "-o", binary, HERE / "keep_alive.c"], check=True)
        sources = [binary, *(HERE / name for name in SENT_ALONG)]
        recorded.run(["python3", "guest_driver.py"], sources, out, timeout_s=GUEST_S)
    seen: Mapping[str, Any] = json.loads((out / "bench.json").read_text())
    return seen


def bytes_a_call(capture: Path) -> tuple[int, float]:
    """The calls of a capture, and what the chunks of calls and completions take for each."""
    with open_capture(capture) as reader:
        calls = sum(record.rows for record in reader if isinstance(record, Calls))
    taken = 0
    with capture.open("rb") as stream:
        frames = FrameReader(stream)
        for content in frames:
            if content[1] in (Kind.CALLS, Kind.COMPLETIONS):  # the head is an array of two, the kind a small number
                taken += frames.position - frames.start
    return calls, taken / calls


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        seen = run_in_guest(Path(folder))
        sizes = [bytes_a_call(Path(folder) / f"all{number}.cap") for number in range(len(seen["pairs"]))]
    print(f"Linux {seen['kernel']}, emulated; 16 kept-alive connections to nginx, of which httprec records all calls")
    print("requests/s  with it  ratio   p99 us  with it  ratio  processor  memory    calls  bytes/call")
    ratios: dict[str, list[float]] = {"per_second": [], "p99": []}
    for pair, (calls, size) in zip(seen["pairs"], sizes):
        without, run = pair["without"], pair["with"]
        line = ""
        for name, found in ratios.items():
            found.append(run["load"][name] / without[name])
            line += f"{without[name]:10.0f} {run['load'][name]:8.0f} {found[-1]:6.2f}"
        print(f"{line} {run['cpu_s']:8.2f} s {run['rss_kib'] >> 10:4} MiB {calls:8} {size:11.1f}")
    print("BPF program time for each pair of a send and a receive")
    each = {name: run["program_ns"] / run["load"]["requests"] / 2 for name, run in seen["programs"].items()}
    unit = each[PLAIN]
    for name, nanoseconds in each.items():
        print(f"{name:50} {nanoseconds:8.0f} ns  ratio {nanoseconds / unit:5.2f}")
    print(
        f">> requests a second while all calls are recorded: {statistics.median(ratios['per_second']):.2f} of without"
    )
    print(f">> 99th percentile of their time: {statistics.median(ratios['p99']):.2f} of without")
    print(f">> memory of httprec: {max(pair['with']['rss_kib'] for pair in seen['pairs']) >> 10} MiB")
    (most, least), (fewest, largest) = max(sizes), min(sizes)
    print(f">> bytes a call of a keep-alive load: {least:.1f} of {most} calls in a run, {largest:.1f} of {fewest}")
    print(f">> BPF program time a pair: {each['httprec, all calls'] / unit:.2f} of kprobes with an event each")


if __name__ == "__main__":
    main()
