"""What a recording costs the host, in the guest: nginx under a keep-alive load, with httprec, without, and with others.

    PYTHONPATH=recorder:bpf:format:reporter python tests/bench/bench_guest.py

The guest's one processor takes a nanosecond for each instruction, so all times here are instructions. They do not
depend on what else this machine does; memory is copied eight bytes an instruction. The clients run in the guest, and
are recorded too. By default httprec records what takes 100 ms, here nothing: the cost is that of looking. The time of a
BPF program is the kernel's own (kernel.bpf_stats_enabled); what calling it costs, a trap for a kprobe and less for
fexit, is not in it, but in the requests a second. A pair is a send and a receive: each request has two, the client's
and nginx's.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from httpcapture import Calls, open_capture
from httpcapture.chunks import Kind
from httpcapture.frames import FrameReader
from vm import recorded

HERE = Path(__file__).resolve().parent
GUEST_S = 900
PLAIN, TCPTOP = "kprobes and kretprobes, an event each", "as BCC's tcptop"
SENT_ALONG = ("guest_driver.py", "other_tools.c", "nginx.conf")


def run_in_guest(out: Path) -> Mapping[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        binary = Path(folder) / "keep_alive"
        subprocess.run(["gcc", "-O2", "-static", "-pthread", "-o", binary, HERE / "keep_alive.c"], check=True)
        sources = [binary, *(HERE / name for name in SENT_ALONG)]
        recorded.run(["python3", "guest_driver.py"], sources, out, timeout_s=GUEST_S, counting=True)
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


def print_pairs(pairs: Sequence[Mapping[str, Any]], sizes: Sequence[tuple[int, float]]) -> None:
    print("             requests/s  ratio    p50 us  ratio    p99 us  ratio  processor   memory  bytes a call")
    for pair, (_, size) in zip(pairs, sizes):
        for name, run in pair.items():
            line = f"{name:10}"
            for column in ("per_second", "median", "p99"):
                value = run["load"][column]
                line += f"{value:13.0f} {value / pair['without']['load'][column]:6.2f}"
            if name != "without":
                line += f" {run['cpu_s']:8.2f} s {run['rss_kib'] >> 10:4} MiB"
            print(line + (f" {size:13.1f}" if name == "all" else ""))


def of_without(pairs: Sequence[Mapping[str, Any]], name: str, column: str) -> str:
    ratios = sorted(pair[name]["load"][column] / pair["without"]["load"][column] for pair in pairs)
    return f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        seen = run_in_guest(Path(folder))
        sizes = [bytes_a_call(Path(folder) / f"all{number}.cap") for number in range(len(seen["pairs"]))]
    print(f"Linux {seen['kernel']}; 16 kept-alive connections to nginx; times are instructions")
    print_pairs(seen["pairs"], sizes)
    print("BPF program time for each pair of a send and a receive")
    each = {name: run["program_ns"] / run["load"]["requests"] / 2 for name, run in seen["programs"].items()}
    for name, nanoseconds in each.items():
        print(f"{name:50} {nanoseconds:8.0f} instructions  ratio {nanoseconds / each[PLAIN]:5.2f}")
    for name, what in (("default", "by default, no call is slow"), ("all", "all calls are recorded")):
        of = {column: of_without(seen["pairs"], name, column) for column in ("per_second", "p99")}
        print(f">> nginx, {what}: requests a second {of['per_second']} of without, p99 {of['p99']}")
    print(f">> memory of httprec: {max(pair['all']['rss_kib'] for pair in seen['pairs']) >> 10} MiB")
    print(f">> bytes a call of a keep-alive load: {max(sizes)[1]:.1f}, of {max(sizes)[0]} calls")
    for name in ("httprec, by default", "httprec, all calls", TCPTOP):
        print(f">> BPF program time a pair, {name}: {each[name] / each[PLAIN]:.2f} of {PLAIN}")


if __name__ == "__main__":
    main()
