"""How fast all calls of a busy host are read, filtered and folded, and what else could have been done with as many.

    PYTHONPATH=format:reporter python tests/bench/bench_report.py [CALLS [FILE]]

CALLS (1,000,000) calls with 1,000 distinct stacks are made up (`made_calls.py`) and written to FILE, or a temporary
one, as the recorder would with -t 0. Every way works in a process of its own, on one core, whose CPU time and highest
memory count: other programs use this machine too. `decode` is the capture's reader alone: zstd, msgpack and columns,
without a look at a call; nothing on top of it can be faster. The others keep 0.2 %, 2 % or all of the calls, sum them
by stack, name the stacks and fold them; `text` also writes stack_traces.txt of the 2 %.

Peers, with the same calls and stacks, at most PEER_CALLS of them because they take so much longer:

- msgpack rows: an array a call with the same fields, unpacked in Python one by one, filtered and summed in a
  dictionary; zstd-compressed as the capture is.
- perf script: the text that `perf script` prints of as many events with the same stacks, collapsed in Python as
  stackcollapse-perf.pl does it: a frame a line, joined and counted by stack. (No perf.data is made up, so what
  `perf script` itself takes is not in it, and perf has no durations: it is less work than a report.)
"""

from __future__ import annotations

import os
import re
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from typing import Any

import msgpack
import numpy as np
import zstandard
from made_calls import CALL_ROW, write_calls

from httpcapture import Calls, Stack, open_capture
from httpreport import outputs
from httpreport.decode import decode as by_numpy
from httpreport.digest import digest_of
from httpreport.fold import folded
from httpreport.recording import load
from httpreport.report import Report, make_report
from httpreport.selection import Selection
from httpreport.text import text
from httpreport.trace import Unnamed

STACKS = 1000
PEER_CALLS = 1_000_000
RUNS, ENOUGH_S = 3, 4.0  # the best of so many runs, fewer of what takes long
LIMITS_MS = {"keep 0.2 %": 100, "keep 2 %": 40, "keep all": 0}  # by the distribution of made_calls.py

FIELDS = CALL_ROW.names or ()
T0, T2, COMM, PROCESS, STACK, PID = map(FIELDS.index, ("t0", "t2", "comm", "process", "stack", "pid"))

Work = Callable[[], int]  # returns how many calls it did


def decode(capture: str) -> int:
    with open_capture(capture, by_numpy) as reader:
        return sum(record.rows for record in reader if isinstance(record, Calls))


def reported(capture: str, milliseconds: float) -> Report:
    with open_capture(capture, by_numpy) as reader:
        selection = Selection.of(reader.meta, milliseconds, ())
        return make_report(load(reader, selection), selection, lambda module, carried: Unnamed.NOT_FOUND)


def fold(capture: str, milliseconds: float) -> int:
    report = reported(capture, milliseconds)
    assert sum(1 for _ in folded(digest_of(report, capture).samples)) <= STACKS * 8
    return report.recording.recorded


def write_text(capture: str) -> int:
    report = reported(capture, LIMITS_MS["keep 2 %"])
    with tempfile.TemporaryDirectory() as folder:
        outputs.write(folder, "stack_traces.txt", text(report, capture))
    return report.recording.recorded


def some_calls(capture: str) -> Iterator[tuple[Any, ...]]:
    """The first PEER_CALLS calls, each as its fields in the order of FIELDS."""
    with open_capture(capture, by_numpy) as reader:
        batches = (record for record in reader if isinstance(record, Calls))
        yield from islice((call for batch in batches for call in rows(batch)), PEER_CALLS)


def rows(batch: Calls) -> Iterator[tuple[Any, ...]]:
    return zip(*(np.frombuffer(batch.columns[name], CALL_ROW[name]).tolist() for name in FIELDS))


def write_rows(capture: str, path: str) -> None:
    with open(path, "wb") as file, zstandard.ZstdCompressor(level=3).stream_writer(file) as compressed:
        for call in some_calls(capture):
            compressed.write(msgpack.packb(call))


def read_rows(path: str) -> int:
    weights: Counter[tuple[bytes, int]] = Counter()
    calls = 0
    with open(path, "rb") as file, zstandard.ZstdDecompressor().stream_reader(file) as content:
        for row in msgpack.Unpacker(content):
            t0, t2, process, stack = row[T0], row[T2], row[PROCESS], row[STACK]
            calls += 1
            if t2 - t0 >= LIMITS_MS["keep 2 %"] * 1_000_000:
                weights[process, stack] += (t2 - t0) // 1000
    return calls


def write_script(capture: str, path: str) -> None:
    """As `perf script` prints an event with its stack, of an executable without symbols."""
    with open_capture(capture, by_numpy) as reader:
        frames = {record.id: script_frames(record) for record in reader if isinstance(record, Stack)}
    with open(path, "w") as file:
        for row in some_calls(capture):
            file.write(f"{row[COMM].decode()} {row[PID]:>6} [000] {row[T2] / 1e9:.6f}: http: \n{frames[row[STACK]]}\n")


def script_frames(stack: Stack) -> str:
    addresses = np.frombuffer(stack.frames, "<u8").tolist()
    return "".join(f"\t{address:16x} f{address:x}+0x10 (/usr/bin/service)\n" for address in addresses)


def collapse(path: str) -> int:
    """What stackcollapse-perf.pl does by its defaults: its regular expressions for an event and for a frame."""
    event = re.compile(r"^(\S.+?)\s+(\d+)/*(\d+)*\s+")
    frame = re.compile(r"^\s*(\w+)\s*(.+) \((\S*)\)")
    folded: Counter[str] = Counter()
    stack: list[str] = []
    comm = ""
    events = 0
    with open(path) as file:
        for line in file:
            if line == "\n":
                folded[";".join((comm, *reversed(stack)))] += 1
                events, stack = events + 1, []
            elif found := frame.match(line):
                stack.append(found[2].partition("+0x")[0])
            elif found := event.match(line):
                comm = found[1].replace(" ", "_")
    return events


def measured(work: Work) -> tuple[int, float, float]:
    """In a child: calls, seconds of CPU, and highest memory in MiB beyond what an idle child has."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        before, at_rest = time.process_time(), resident()
        calls = work()
        os.write(write, f"{calls} {time.process_time() - before} {resident() - at_rest}".encode())
        os._exit(0)
    os.close(write)
    with open(read) as pipe:
        words = pipe.read().split()
    os.waitpid(child, 0)
    return int(words[0]), float(words[1]), float(words[2])


def resident() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def show(name: str, work: Work, decoding: float = 0.0) -> float:
    runs = [measured(work)]
    while len(runs) < RUNS and sum(seconds for _, seconds, _ in runs) < ENOUGH_S:
        runs.append(measured(work))
    calls, seconds, memory = min(runs, key=lambda run: run[1])
    ratio = f"{calls / seconds / decoding:8.2f}" if decoding else f"{1:8.2f}"
    print(f"{name:28} {calls:>13,}  {seconds:8.2f}  {calls / seconds / 1e6:10.2f}  {ratio}  {memory:8.0f}", flush=True)
    return calls / seconds


def main() -> None:
    calls = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with tempfile.TemporaryDirectory() as folder:
        capture = sys.argv[2] if len(sys.argv) > 2 else f"{folder}/all.cap"
        with open(capture, "wb") as file:
            write_calls(file, calls, STACKS)
        print(f"{calls:,} calls, {STACKS:,} distinct stacks, {os.path.getsize(capture) / calls:.1f} bytes a call")
        print(f"{'':28} {'calls':>13}  {'CPU s':>8}  {'M calls/s':>10}  {'of decode':>8}  {'MiB':>7}")
        decoding = show("decode", lambda: decode(capture))
        kept = {name: show(name, partial(fold, capture, limit), decoding) for name, limit in LIMITS_MS.items()}
        show("keep 2 %, text", lambda: write_text(capture), decoding)
        write_rows(capture, f"{folder}/rows")
        rows_read = show("msgpack rows, keep 2 %", lambda: read_rows(f"{folder}/rows"), decoding)
        write_script(capture, f"{folder}/script")
        collapsed = show("perf script, collapsed", lambda: collapse(f"{folder}/script"), decoding)
    ours = kept["keep 2 %"]
    print(f">> calls read, filtered and folded a second: {ours / decoding:.2f} times what can be decoded")
    print(f">> calls read, filtered and folded a second: {ours / rows_read:.1f} times msgpack rows unpacked in Python")
    print(
        f">> calls read, filtered and folded a second: {ours / collapsed:.0f} times a perf script collapsed in Python"
    )


if __name__ == "__main__":
    main()
