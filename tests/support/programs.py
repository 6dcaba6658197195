"""Run programs for as long as a test looks at them."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from workload.waiting import wait_until


@contextmanager
def running(*command: str | Path) -> Iterator[subprocess.Popen[str]]:
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield child
    finally:
        child.kill()
        child.communicate()


def until(name: str, pid: int, state: str = "S") -> None:
    """Wait until the process has become the program that it executes and sleeps, so that the program is mapped
    completely."""
    stat = Path(f"/proc/{pid}/stat")
    wait_until(f"{pid} to be {name} in state {state}", lambda: f" ({name}) {state} " in stat.read_text())
