"""Measure what the frames of Python programs cost: in the kernel at each send, in the capture, and in the report.

    PYTHONPATH=bpf:format:recorder:reporter python tests/bench/bench_python.py [PYTHON]

As root, on a kernel on which httprec records by tracepoints. Programs send 8 bytes and wait for them to come back, with
so many Python functions on the stack, or from Perl, which has none. The kernel side tells a code object from others by
what is in it, once for frames of one function that follow each other: so recursion is `same`; `different` functions are
of one file. Time in the kernel is that of all BPF programs of the recorder (kernel.bpf_stats_enabled) a pair of send
and receive, the best of some runs; `without` is with `--languages none`. Other programs that send meanwhile are in it:
measure on a quiet machine.
"""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from httpcapture import Code, Reader
from httpreport.calls.filters import Selection
from httpreport.calls.process_keys import ProcessKey
from httpreport.capture.loader import load
from httpreport.languages.python_stack import runs
from httpreport.languages.runs import FRAME
from workload.recorder import recordings

PYTHON = sys.argv[1] if len(sys.argv) > 1 else "/usr/bin/python3"
PAIRS, RUNS, DEPTHS = 10_000, 5, (1, 20, 100)
STATISTICS = Path("/proc/sys/kernel/bpf_stats_enabled")
NEVER, ALWAYS = ("-t", "60000"), ("-t", "0")
PROGRAM = """
import socket, sys
port, pairs, depth = map(int, sys.argv[2:])
peer = socket.create_connection(("127.0.0.1", port))
def recursive(more):
    if more > 2:
        return recursive(more - 1)
    for _ in range(pairs):
        peer.sendall(b"12345678")
        peer.recv(8)
last = recursive
if sys.argv[1] == "different":
    exec("".join(f"def f{number}(more): return f{number + 1}(2)\\n" for number in range(depth - 2)))
    globals()[f"f{depth - 2}"], last = recursive, f0
last(depth)
"""
IN_PERL = """
use Socket; my ($port, $pairs) = @ARGV;
socket(my $peer, PF_INET, SOCK_STREAM, 0); connect($peer, sockaddr_in($port, inet_aton("127.0.0.1"))) or die;
for (1 .. $pairs) { syswrite($peer, "12345678"); sysread($peer, my $answer, 8); }
"""


@contextlib.contextmanager
def echo() -> Iterator[int]:
    """Send everything back, and yield the port. It is Perl's, so that it has no Python frames."""
    program = """
    use Socket; $| = 1; socket(my $listening, PF_INET, SOCK_STREAM, 0);
    bind($listening, sockaddr_in(0, inet_aton("127.0.0.1"))); listen($listening, 9);
    print((sockaddr_in(getsockname($listening)))[0], "\\n");
    while (accept(my $peer, $listening)) { while (sysread($peer, my $data, 99)) { syswrite($peer, $data) } }
    """
    with subprocess.Popen(["perl", "-e", program], stdout=subprocess.PIPE) as server:
        assert server.stdout
        yield int(server.stdout.readline())
        server.kill()


def client(port: int, functions: str, depth: int, pairs: int = PAIRS) -> None:
    """Make pairs with so many Python functions on the stack; 0: in Perl."""
    python = [PYTHON, "-c", PROGRAM, functions, str(port), str(pairs), str(depth)]
    subprocess.run(python if depth else ["perl", "-e", IN_PERL, str(port), str(pairs)], check=True)


def program_ns(pid: int) -> int:
    """Return how long all BPF programs of a process have run, in ns."""
    infos = (info.read_text() for info in Path(f"/proc/{pid}/fdinfo").iterdir())
    return sum(int(found) for info in infos for found in re.findall(r"^run_time_ns:\s*(\d+)", info, re.MULTILINE))


def in_kernel(folder: Path, port: int) -> None:
    """Print ns a pair by functions and depth, with and without Python frames."""
    cells = [("none", 0), *(("same", depth) for depth in DEPTHS), *(("different", depth) for depth in DEPTHS[1:])]
    best: dict[str, dict[tuple[str, int], float]] = {"none": {}, "python": {}}
    for languages, found in best.items():
        with recordings({folder / f"{languages}.cap": ["-q", *NEVER, "--languages", languages]}) as recorders:
            (recorder,) = recorders.values()
            client(port, "same", 1, 9)  # so that the interpreter is known
            for cell in cells * RUNS:
                STATISTICS.write_text("1")  # others may have switched it off
                before = program_ns(recorder.pid)
                client(port, *cell)
                each = (program_ns(recorder.pid) - before) / PAIRS
                found[cell] = min(each, found.get(cell, each))
    print("Python functions      ns a pair without   with   difference   ratio")
    without, with_ = best.values()
    more = {cell: with_[cell] - without[cell] for cell in cells}
    for cell in cells:
        times = f"{without[cell]:24.0f} {with_[cell]:6.0f} {more[cell]:12.0f} {with_[cell] / without[cell]:7.2f}"
        print(f"{cell[1]:4} {cell[0]:9} {times}")
    print(f">> a process without Python: {more['none', 0]:.0f} ns a pair more")
    for functions in ("same", "different"):
        low, high = DEPTHS[1], DEPTHS[-1]
        slope = (more[functions, high] - more[functions, low]) / (high - low)
        rest = more[functions, low] - low * slope
        print(f">> a frame of {functions} functions: {slope:.0f} ns; besides: {rest:.0f} ns a pair")


def in_capture(folder: Path, port: int) -> None:
    """Print bytes a stack, and how many frames are named in a second, of stacks with 40 Python functions."""
    capture = folder / "all.cap"
    with recordings({capture: ["-q", *ALWAYS, "--stack-ring", "65536"]}):
        for _ in range(3):
            client(port, "different", 40, 200)
    with capture.open("rb") as file:
        records = list(Reader(file))
        file.seek(0)
        reader = Reader(file)
        recording = load(reader, Selection.of(reader.meta, 0, ()))
    stacks = [stack for _, stack in recording.stacks.some({key.stack for key in recording.by_stack}) if stack.python]
    codes = [record for record in records if isinstance(record, Code)]
    raw = b"".join(stack.python for stack in stacks)
    tables = sum(len(code.table) + len(code.name) + len(code.filename) for code in codes)
    frames_each = len(raw) // FRAME.size // len(stacks)
    print(f">> a stack with {frames_each} Python frames: {len(raw) // len(stacks)} bytes more, not compressed")
    print(f">> {len(codes)} code objects: {tables // max(len(codes), 1)} bytes each")
    key, frames, before = ProcessKey.of(reader.meta, stacks[0].pid, stacks[0].process_start_ns), 0, time.perf_counter()
    while time.perf_counter() - before < 1:
        frames += sum(len(run.frames) for run in runs(stacks[0], recording.codes[key]))
    print(f">> names: {frames / (time.perf_counter() - before):,.0f} Python frames a second")


def main() -> None:
    enabled = STATISTICS.read_text()
    STATISTICS.write_text("1")
    try:
        with tempfile.TemporaryDirectory() as folder, echo() as port:
            in_kernel(Path(folder), port)
            in_capture(Path(folder), port)
    finally:
        STATISTICS.write_text(enabled)


if __name__ == "__main__":
    main()
