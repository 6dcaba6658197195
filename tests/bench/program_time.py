"""Read how long BPF programs have run, which the kernel counts while kernel.bpf_stats_enabled is 1, and processes."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path


def program_ns(pid: int | str) -> int:
    """Return how many nanoseconds all BPF programs of a process have run (Linux 5.1 and later, commit 492ecee892c2)."""
    total = 0
    for info in Path(f"/proc/{pid}/fdinfo").iterdir():
        with contextlib.suppress(OSError):
            total += sum(map(int, re.findall(r"^run_time_ns:\s*(\d+)", info.read_text(), re.MULTILINE)))
    return total


def processor_ns(pid: int | str) -> int:
    """Return the processor time of a process in nanoseconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * 1_000_000_000 // os.sysconf("SC_CLK_TCK")


def count_time(*, is_on: bool) -> None:
    """Let the kernel count it or not."""
    Path("/proc/sys/kernel/bpf_stats_enabled").write_text(str(int(is_on)))
