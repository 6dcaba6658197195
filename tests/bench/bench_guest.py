"""Measure what a recording costs the host: nginx under a keep-alive load without a recorder, with httprec, and with
other tools, in the guest and, where the kernel takes probes, here.

    sudo PYTHONPATH=recorder:bpf:format:reporter python tests/bench/bench_guest.py

The guest's one processor takes a nanosecond for each instruction, so all times here are instructions. They do not
depend on what else this machine does; memory is copied eight bytes an instruction. The clients run in the guest, and
are recorded too. By default httprec records what takes 100 ms, here nothing: the cost is that of looking. The time of a
BPF program is the kernel's own (kernel.bpf_stats_enabled); what calling it costs, a trap for a kprobe and less for
fexit, is not in it, but in the requests a second. A pair is a send and a receive: each request has two, the client's
and nginx's.
"""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from httpcapture import Calls, open_capture
from httpcapture.chunks import RecordKind
from httpcapture.frames import FrameReader
from vm import recorded

HERE = Path(__file__).resolve().parent
GUEST_S = 3600
SUITE = "bookworm"  # another compiler makes other instructions
SECONDS_HERE = 5
HERE_TOO = ("pairs", "tracepoints", "slices")
PLAIN, TCPTOP = "kprobes and kretprobes, an event each", "as BCC's tcptop"
SENT_ALONG = ("guest_driver.py", "program_time.py", "other_tools.c", "nginx.conf")


def in_guest(job: Path, out: Path) -> Mapping[str, Any]:
    command = ["python3", "guest_driver.py", "/tmp/out", "1", "pairs", "programs"]
    recorded.run(command, job.iterdir(), out, timeout_s=GUEST_S, suite=SUITE, counting=True)
    return measured(out)


def here(job: Path, out: Path) -> Mapping[str, Any] | None:
    """Measure on the running kernel; return None if it takes no probes."""
    if subprocess.run([sys.executable, "-m", "httprec", "--check"], check=False, stdout=subprocess.DEVNULL).returncode:
        return None
    subprocess.run([sys.executable, job / "guest_driver.py", out, str(SECONDS_HERE), *HERE_TOO], check=True)
    return measured(out)


def measured(out: Path) -> Mapping[str, Any]:
    seen: Mapping[str, Any] = json.loads((out / "bench.json").read_text())
    return seen


def make_job(folder: Path) -> None:
    subprocess.run(
        ["gcc", "-O2", "-static", "-pthread", "-o", folder / "keep_alive", HERE / "keep_alive.c"], check=True
    )
    for name in SENT_ALONG:
        shutil.copy(HERE / name, folder)


def bytes_a_call(capture: Path) -> tuple[int, float]:
    """Return how many calls a capture has, and how many bytes its chunks of calls and completions have per call."""
    with open_capture(capture) as reader:
        calls = sum(record.rows for record in reader if isinstance(record, Calls))
    taken = 0
    with capture.open("rb") as stream:
        frames = FrameReader(stream)
        for content in frames:
            # The head is a msgpack array of two elements; the first is the kind, in one byte.
            if content[1] in (RecordKind.CALLS, RecordKind.COMPLETIONS):
                taken += frames.position - frames.start
    return calls, taken / calls


def print_pairs(where: str, seen: Mapping[str, Any], out: Path) -> None:
    pairs = seen["pairs"]
    sizes = [bytes_a_call(out / f"all{number}.cap") for number in range(len(pairs))]
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
    for name, what in (("default", "by default, no call is slow"), ("all", "all calls are recorded")):
        of = {column: of_without(pairs, name, column) for column in ("per_second", "p99")}
        print(f">> nginx {where}, {what}: requests a second {of['per_second']} of without, p99 {of['p99']}")
    print(f">> memory of httprec {where}: {max(pair['all']['rss_kib'] for pair in pairs) >> 10} MiB")
    print(f">> bytes a call of a keep-alive load {where}: {max(sizes)[1]:.1f}, of {max(sizes)[0]} calls")


def of_without(pairs: Sequence[Mapping[str, Any]], name: str, column: str) -> str:
    ratios = sorted(pair[name]["load"][column] / pair["without"]["load"][column] for pair in pairs)
    return f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"


def print_programs(programs: Mapping[str, Any]) -> None:
    print("BPF program time for each pair of a send and a receive")
    each = {name: run["program_ns"] / run["load"]["requests"] / 2 for name, run in programs.items()}
    for name, nanoseconds in each.items():
        print(f"{name:50} {nanoseconds:8.0f} instructions  ratio {nanoseconds / each[PLAIN]:5.2f}")
    for name in ("httprec, by default", "httprec, all calls", TCPTOP):
        print(f">> BPF program time a pair, {name}: {each[name] / each[PLAIN]:.2f} of {PLAIN}")


def print_tracepoints(programs: Mapping[str, Any]) -> None:
    print("BPF program time for each pair of a send and a receive, by tracepoints")
    for name, run in programs.items():
        print(f">> {name:36} {run['program_ns'] / run['load']['requests'] / 2:8.0f} ns a pair")


def print_slices(slices: Sequence[Mapping[str, float]]) -> None:
    ratios = sorted(each["without"] / each["with"] for each in slices)
    without, with_httprec = (statistics.median(each[name] for each in slices) for name in ("without", "with"))
    print(
        f">> processor time of nginx and its client a request, here: {without:.1f} us without, {with_httprec:.1f} us "
        f"with httprec; median ratio {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
    )


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        job, *outs = (Path(folder, name) for name in ("job", "guest", "here"))
        for path in (job, *outs):
            path.mkdir()
        make_job(job)
        seen = in_guest(job, outs[0])
        print(f"Linux {seen['kernel']} in the guest; 16 kept-alive connections to nginx; times are instructions")
        print_pairs("in the guest", seen, outs[0])
        print_programs(seen["programs"])
        found = here(job, outs[1])
        if found:
            print(f"Linux {found['kernel']}, here")
            print_pairs("here", found, outs[1])
            print_tracepoints(found["tracepoints"])
            print_slices(found["slices"])
        else:
            print("here: not measured, the running kernel takes no probes")


if __name__ == "__main__":
    main()
