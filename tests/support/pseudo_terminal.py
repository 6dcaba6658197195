"""Run programs on a terminal."""

from __future__ import annotations

import os
import select
import subprocess
import termios
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from workload.waiting import HANG_S


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


class Terminal:
    """Use a program on a terminal: read what it shows, and press keys."""

    def __init__(self, process: subprocess.Popen[bytes], master: int) -> None:
        self.process, self._master = process, master

    @property
    def settings(self) -> list[Any]:
        """Return what the terminal does with what is typed (tcgetattr)."""
        return termios.tcgetattr(self._master)

    def until(self, text: bytes) -> bytes:
        """Wait until the program has written this text from now on, and return all that it wrote."""
        written = b""
        while text not in written:
            assert select.select([self._master], [], [], HANG_S)[0], written
            written += os.read(self._master, 65536)
        return written

    def press(self, keys: bytes) -> None:
        os.write(self._master, keys)


@contextmanager
def used_terminal(program: Sequence[str], environment: Mapping[str, str]) -> Iterator[Terminal]:
    """Run a program whose standard streams are a terminal; it must have ended at the end of the `with` block."""
    master, slave = os.openpty()
    variables = {**os.environ, **environment}
    with subprocess.Popen(program, stdin=slave, stdout=slave, stderr=slave, env=variables) as process:
        try:
            yield Terminal(process, master)
            process.wait(HANG_S)
        finally:
            process.kill()
            os.close(slave)
            os.close(master)
