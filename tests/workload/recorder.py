"""httprec beside a workload: it records from when it says that it traces until the block that it is used in ends."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

COMMAND = [sys.executable, "-m", "httprec"]
STARTS_S = 120  # to import bcc and to compile, in a guest that is emulated on a busy machine
ENDS_S = 60


@contextmanager
def recording(capture: Path, *options: str) -> Iterator[None]:
    """Record into `capture`; what httprec prints goes to CAPTURE.out and CAPTURE.err. RuntimeError when it fails."""
    with recordings({capture: options}):
        yield


@contextmanager
def recordings(wanted: Mapping[Path, Sequence[str]]) -> Iterator[None]:
    """Several recorders at the same time: the options of each by its capture."""
    started = {capture: _start(capture, options) for capture, options in wanted.items()}
    try:
        for capture, httprec in started.items():
            _wait_until_it_traces(capture, httprec)
        yield
        for httprec in started.values():
            httprec.send_signal(signal.SIGINT)
        for capture, httprec in started.items():
            if httprec.wait(ENDS_S) != 0:
                raise _failure(capture, httprec)
    finally:
        for httprec in started.values():
            httprec.kill()
            httprec.wait()


def _start(capture: Path, options: Sequence[str]) -> subprocess.Popen[bytes]:
    out, err = capture.with_suffix(".out"), capture.with_suffix(".err")
    with out.open("wb") as stdout, err.open("wb") as stderr:
        return subprocess.Popen([*COMMAND, "-o", str(capture), *options], stdout=stdout, stderr=stderr)


def _wait_until_it_traces(capture: Path, httprec: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + STARTS_S
    while b"Tracing..." not in capture.with_suffix(".out").read_bytes():
        if httprec.poll() is not None or time.monotonic() > deadline:
            raise _failure(capture, httprec)
        time.sleep(0.1)


def _failure(capture: Path, httprec: subprocess.Popen[bytes]) -> RuntimeError:
    said = capture.with_suffix(".err").read_text()
    return RuntimeError(f"httprec -o {capture} does not record (status {httprec.returncode}): {said}")
