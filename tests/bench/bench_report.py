"""Measure how fast all calls of a busy host are read, filtered and folded, beside other tools with as many calls.

    PYTHONPATH=format:reporter python tests/bench/bench_report.py [CALLS [FILE]]

CALLS (10,000,000) calls with 1,000 distinct stacks are made up (`made_calls.py`) and written to FILE, or a temporary
one, as the recorder would with -t 0. Every way works in a process of its own, on one core, whose CPU time and highest
memory count, with Python's and numpy's own 50 MiB: other programs use this machine too. A report keeps the calls of at
least so many milliseconds, sums them by stack, names the stacks and folds them. "Unpacked" is what cannot be left out:
of nearly every batch some call is kept with -t 100, so all its columns are unpacked, by zstd for the most part. Half
and a quarter of the bytes are the same capture, cut off. With stack copies there are at most COPY_CALLS calls: a
recorder that copies the stack of every call of a busy host loses most of the copies, and gets one call in COPY_EVERY.

Peers, with as many calls or events and as many stacks, at most PEER_CALLS because they take so much longer:

- msgpack rows: an array a call with the same fields, unpacked in Python one by one, filtered and summed in a
  dictionary; zstd-compressed as the capture is.
- perf script with its own stackcollapse.py, the Python script that perf brings along after stackcollapse-perf.pl. The
  events are page faults (many_stacks.c), since those any user may record. They have no durations: it is less work.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import msgpack
import numpy as np
import zstandard

from httpcapture import Calls, open_capture
from httpreport.calls.filters import Selection
from httpreport.capture.loader import load
from httpreport.cli.atomic_files import Target
from httpreport.languages.stack_trace import Unnamed
from httpreport.outputs import stack_traces
from httpreport.outputs.output import OneCapture, Reported
from httpreport.report.aggregate import aggregate_of
from httpreport.report.folding import folded
from httpreport.report.report import Report, make_report
from support.made_calls import CALL_ROW, FRAMES, PROCESSES, decode_some, write_calls

STACKS = 1000
COPY_CALLS, COPY_EVERY, OF_COPIES = 1_000_000, 8, PROCESSES * FRAMES
PEER_CALLS = 1_000_000
RUNS, ENOUGH_S = 3, 4.0  # the best of so many runs, fewer of what takes long

FIELDS = CALL_ROW.names or ()
T0, T3, PROCESS, STACK = map(FIELDS.index, ("t0", "t3", "process", "stack"))

Work = Callable[[], int]  # returns how many calls it did


def make(capture: str, calls: int, copy_every: int = 0) -> int:
    with open(capture, "wb") as file:
        write_calls(file, calls, STACKS, copy_every=copy_every)
    return calls


def beginning(capture: str, parts: int) -> str:
    """Write the first 1/`parts` of a capture to a file and return it; cut off, it is still valid."""
    path = f"{capture}.{parts}"
    with open(capture, "rb") as whole, open(path, "wb") as part:
        part.write(whole.read(os.path.getsize(capture) // parts))
    return path


def unpack(capture: str, names: Sequence[str]) -> int:
    """Unpack these columns."""
    calls = 0
    with open_capture(capture) as reader:
        for record in reader:
            if isinstance(record, Calls):
                calls += record.rows
                decode_some(record.columns, names)
    return calls


def reported(capture: str, milliseconds: float) -> Report:
    with open_capture(capture) as reader:
        selection = Selection.of(reader.meta, milliseconds, ())
        return make_report(load(reader, selection), selection, lambda module, carried: Unnamed.NOT_FOUND)


def fold(capture: str, milliseconds: float, stacks: int = STACKS) -> int:
    report = reported(capture, milliseconds)
    assert 0 < sum(1 for _ in folded(aggregate_of(report, capture).samples)) <= stacks
    return report.recording.recorded


def write_text(capture: str, milliseconds: float) -> int:
    report = reported(capture, milliseconds)
    with tempfile.TemporaryDirectory() as folder:
        made = Reported(aggregate_of(report, capture), OneCapture(stack_traces.listed, report, capture))
        Target(os.path.join(folder, "stack_traces.txt"), "-o").write(stack_traces.report(made))
    return report.recording.recorded


def some_calls(capture: str) -> Iterator[tuple[Any, ...]]:
    """Yield the first PEER_CALLS calls, each as its fields in the order of FIELDS."""
    with open_capture(capture) as reader:
        batches = (record for record in reader if isinstance(record, Calls))
        yield from islice((call for batch in batches for call in rows(batch)), PEER_CALLS)


def rows(batch: Calls) -> Iterator[tuple[Any, ...]]:
    return zip(*(np.frombuffer(batch.columns[name], CALL_ROW[name]).tolist() for name in FIELDS))


def write_rows(capture: str, path: str) -> int:
    calls = 0
    with open(path, "wb") as file, zstandard.ZstdCompressor(level=3).stream_writer(file) as compressed:
        for call in some_calls(capture):
            calls += 1
            compressed.write(msgpack.packb(call))
    return calls


def read_rows(path: str, milliseconds: float) -> int:
    weights: Counter[tuple[bytes, int]] = Counter()
    calls = 0
    with open(path, "rb") as file, zstandard.ZstdDecompressor().stream_reader(file) as content:
        for row in msgpack.Unpacker(content):
            t0, t3, process, stack = row[T0], row[T3], row[PROCESS], row[STACK]
            calls += 1
            if t3 - t0 >= milliseconds * 1_000_000:
                weights[process, stack] += (t3 - t0) // 1000
    return calls


def record_events(path: str, events: int) -> str:
    """Let perf record the events; return the reason if it cannot."""
    with tempfile.TemporaryDirectory() as folder:
        program, source = f"{folder}/many_stacks", Path(__file__).with_name("many_stacks.c")
        subprocess.run(["gcc", "-fno-omit-frame-pointer", "-o", program, source], check=True)
        command = ["perf", "record", "-q", "-e", "page-faults:u", "-c", "1", "-g", "-m", "64M", "-o", path, "--"]
        command += [program, str(events), str(STACKS)]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
    return done.stderr if done.returncode else ""


def collapse(path: str) -> int:
    folder = subprocess.run(["perf", "--exec-path"], check=True, capture_output=True, text=True).stdout.strip()
    command = ["perf", "script", "-i", path, "-s", f"{folder}/scripts/python/stackcollapse.py"]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    assert STACKS <= len(lines) < 2 * STACKS  # the program's start is in it too
    return sum(int(line.rpartition(" ")[2]) for line in lines)


def measured(work: Work) -> tuple[int, float, float]:
    """Run in a child; return the calls, CPU time in seconds, and peak memory in MiB, of the child or of a program that
    it started."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        before = sum(os.times()[:4])
        calls = work()
        seconds = sum(os.times()[:4]) - before
        peaks = [resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        os.write(write, f"{calls} {seconds} {max(peaks) / 1024}".encode())
        os._exit(0)
    os.close(write)
    with open(read) as pipe:
        words = pipe.read().split()
    os.waitpid(child, 0)
    return int(words[0]), float(words[1]), float(words[2])


class Table:
    """Print lines as they are measured, with the speed of each relative to the first."""

    def __init__(self) -> None:
        self._first = 0.0
        print(f"{'':34} {'calls':>13} {'CPU s':>8} {'M calls/s':>10} {'ratio':>7} {'MiB':>6}")

    def show(self, name: str, work: Work) -> float:
        """Print a line and return the calls per second."""
        runs = [measured(work)]
        while len(runs) < RUNS and sum(seconds for _, seconds, _ in runs) < ENOUGH_S:
            runs.append(measured(work))
        calls, seconds, memory = min(runs, key=lambda run: run[1])
        speed = calls / seconds
        self._first = self._first or speed
        numbers = f"{calls:>13,} {seconds:8.2f} {speed / 1e6:10.3f} {speed / self._first:7.3f} {memory:6.0f}"
        print(f"{name:34} {numbers}", flush=True)
        return speed


def main() -> None:
    calls = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000_000
    with tempfile.TemporaryDirectory() as folder:
        capture = sys.argv[2] if len(sys.argv) > 2 else f"{folder}/all.cap"
        measured(partial(make, capture, calls))
        print(f"{calls:,} calls, {STACKS:,} distinct stacks, {os.path.getsize(capture) / calls:.1f} bytes a call")
        table = Table()
        ours = table.show("-t 300 keeps 0.01 %", partial(fold, capture, 300))
        few = table.show("-t 100 keeps 0.2 %", partial(fold, capture, 100))
        table.show("-t 40 keeps 2 %", partial(fold, capture, 40))
        table.show("-t 40, and stack_traces.txt", partial(write_text, capture, 40))
        table.show("-t 0 keeps all", partial(fold, capture, 0))
        table.show("unpacked: times only", partial(unpack, capture, ["t0"]))
        table.show("unpacked: all columns", partial(unpack, capture, FIELDS))
        half = table.show("-t 100, half of the bytes", partial(fold, beginning(capture, 2), 100))
        quarter = table.show("-t 100, a quarter of the bytes", partial(fold, beginning(capture, 4), 100))
        copies = f"{folder}/copies.cap"
        measured(partial(make, copies, min(calls, COPY_CALLS), COPY_EVERY))
        table.show(f"-t 300, a stack copy for 1 in {COPY_EVERY}", partial(fold, copies, 300, STACKS + OF_COPIES))
        table.show(f"-t 40, a stack copy for 1 in {COPY_EVERY}", partial(fold, copies, 40, STACKS + OF_COPIES))
        measured(partial(write_rows, capture, f"{folder}/rows"))
        by_row = table.show("msgpack rows in Python, -t 100", partial(read_rows, f"{folder}/rows", 100))
        problem = record_events(f"{folder}/perf.data", min(calls, PEER_CALLS))
        by_perf = (
            0.0 if problem else table.show("perf script, stackcollapse.py", partial(collapse, f"{folder}/perf.data"))
        )
    what = ">> calls read, filtered and folded a second on one core:"
    print(f"{what} {ours / 1e6:.1f} M; {few / 1e6:.1f} M if 0.2 % are kept")
    print(f"{what} {few / by_row:.1f} times msgpack rows in Python")
    print(f"{what} {few / by_perf:.0f} times perf script" if by_perf else f"no perf: {problem}")
    print(f">> the same for 2 and 4 times the bytes: {2 * half / few:.1f} and {4 * quarter / few:.1f} times as long")


if __name__ == "__main__":
    main()
