"""Run programs on a terminal."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence


def on_terminal(program: Sequence[str], environment: Mapping[str, str], *, status: int = 0) -> bytes:
    """Run a program on a terminal and return what it writes; it must end with `status`."""
    master, slave = os.openpty()
    with subprocess.Popen(program, stdout=slave, stderr=slave, env={**os.environ, **environment}) as process:
        os.close(slave)
        written = b""
        try:
            while chunk := os.read(master, 65536):
                written += chunk
        except OSError:
            pass  # EIO: nothing more to read
        os.close(master)
    assert process.returncode == status, written
    return written
