"""Programs that run for as long as a test looks at them."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def running(*command: str | Path) -> Iterator[subprocess.Popen[str]]:
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield child
    finally:
        child.kill()
        child.communicate()


def until(name: str, pid: int, state: str = "S") -> None:
    """Waits for the process to be the program that it is about to become, and to sleep: then all of it is mapped."""
    for _ in range(500):
        if f" ({name}) {state} " in Path(f"/proc/{pid}/stat").read_text():
            return
        time.sleep(0.01)
    raise AssertionError(f"{pid} has not become {name} in state {state}")
