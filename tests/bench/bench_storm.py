"""Measure what short processes cost the recorder: a thousand per second, each of which makes one call over loopback and
ends.

    sudo PYTHONPATH=recorder:bpf:format:reporter python tests/bench/bench_storm.py

It is the recorder as it is, on the running kernel, with -t 0 and stack copies: every process has two recorded calls,
its own and the server's. The program is that of the tests (tests/vm/storm.c); its processes live for less than a
millisecond, except each hundredth. `core` is the recorder's processor time as a share of one core.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from workload import recorder

STORM = Path(__file__).resolve().parents[1] / "vm" / "storm.c"
PROCESSES, AT_A_TIME, A_SECOND = 10_000, 16, 1000
TICKS = os.sysconf("SC_CLK_TCK")


def spent(pid: int) -> tuple[float, int]:
    """Return processor time in seconds, and resident memory in bytes."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS, int(fields[21]) * os.sysconf("SC_PAGE_SIZE")


def measure(folder: Path) -> str:
    program, log = folder / "storm", folder / "log"
    subprocess.run(["gcc", "-O2", "-static", "-pthread", "-o", program, STORM], check=True)
    httprec = recorder.start(log, log, "-o", str(folder / "storm.cap"), "-t", "0", "-q")
    try:
        recorder.wait_until_it_traces(httprec, log, log)
    except RuntimeError as error:
        return f"not measured: {error}"
    seconds, resident = spent(httprec.pid)
    started = time.monotonic()
    command = [str(program), str(PROCESSES), str(AT_A_TIME), str(A_SECOND)]
    done = subprocess.run(
        command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    core = (spent(httprec.pid)[0] - seconds) / (time.monotonic() - started)
    grown = spent(httprec.pid)[1] - resident
    httprec.send_signal(signal.SIGTERM)
    httprec.wait()
    summary = re.search(r"^[\d,]+ calls, .*", log.read_text(), re.MULTILINE)
    what = f"{done.stderr.decode().strip()}: {core:.0%} of a core, memory grew by {grown / (1 << 20):.1f} MiB"
    return f"{what}; {summary[0] if summary else 'no summary'}"


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        print(f">> {measure(Path(folder))}")
