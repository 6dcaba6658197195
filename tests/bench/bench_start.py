"""Measure how long the recorder takes from its start to `Tracing...`, beside a BCC tool with one empty probe.

    sudo PYTHONPATH=recorder:bpf:format:reporter python tests/bench/bench_start.py

Processor time is that of the whole process with its compiler, to its end, for which it is asked at once. Each number
is the least of ROUNDS, which take turns.
"""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from httpbpf.sources import kernel_tree
from workload import recorder

ROUNDS = 5
TEXT = "#include <uapi/linux/ptrace.h>\\nRAW_TRACEPOINT_PROBE(sched_process_exit) { return 0; }"
EMPTY = f"import bcc; bcc.BPF(text='{TEXT}')"
WAYS = {
    "httprec": (),
    "httprec --languages none": ("--languages", "none"),
    "httprec --languages none --http-bytes 0": ("--languages", "none", "--http-bytes", "0"),
}


def processor_seconds() -> float:
    """Return how long all child processes that have ended have run."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def start(folder: Path, options: tuple[str, ...]) -> tuple[float, float]:
    """Return wall-clock and processor time in seconds. Raises RuntimeError if the recorder cannot trace."""
    used, began, log = processor_seconds(), time.monotonic(), folder / "log"
    httprec = recorder.start(log, log, "-f", "-o", str(folder / "start.cap"), "-q", *options)
    recorder.wait_until_it_traces(httprec, log, log)
    seconds = time.monotonic() - began
    httprec.send_signal(signal.SIGTERM)
    httprec.wait()
    log.unlink()
    return seconds, processor_seconds() - used


def start_empty() -> tuple[float, float]:
    used, began = processor_seconds(), time.monotonic()
    with kernel_tree() as tree:
        subprocess.run([sys.executable, "-c", EMPTY], env={**os.environ, "BCC_KERNEL_SOURCE": str(tree)}, check=True)
    return time.monotonic() - began, processor_seconds() - used


def main() -> None:
    best: dict[str, tuple[float, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(ROUNDS):
            try:
                found = {name: start(Path(folder), options) for name, options in WAYS.items()}
            except RuntimeError as error:
                print(f"not measured: {error}")
                return
            found["a BCC tool with one empty probe"] = start_empty()
            for name, times in found.items():
                before = best.get(name, times)
                best[name] = min(times[0], before[0]), min(times[1], before[1])
    print(f"{'to Tracing...':42} seconds  processor  ratio")
    for name, (seconds, processor) in best.items():
        print(f"{name:42} {seconds:7.2f}  {processor:9.2f}  {processor / best['httprec'][1]:5.2f}")
    print(f">> from start to Tracing...: {best['httprec'][0]:.1f} s, {best['httprec'][1]:.1f} s of processor time")


if __name__ == "__main__":
    main()
