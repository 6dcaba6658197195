"""Run httprec beside a workload, from when it prints that it is tracing until the end of a `with` block."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from workload.waiting import HANG_S, wait_until

COMMAND = [sys.executable, "-m", "httprec"]


@contextmanager
def recording(capture: Path, *options: str, command: Sequence[str] = COMMAND) -> Iterator[None]:
    """Record into `capture`; write httprec's output to CAPTURE.out and CAPTURE.err. Raises RuntimeError if it fails.
    `command` starts another httprec than the one that is tested."""
    with recordings({capture: options}, command):
        yield


@contextmanager
def recordings(
    wanted: Mapping[Path, Sequence[str]], command: Sequence[str] = COMMAND
) -> Iterator[Mapping[Path, subprocess.Popen[bytes]]]:
    """Run several recorders at the same time and yield their processes. `wanted` maps each capture to its options."""
    started = {
        capture: start(
            capture.with_suffix(".out"), capture.with_suffix(".err"), "-o", str(capture), *options, command=command
        )
        for capture, options in wanted.items()
    }
    try:
        for capture, httprec in started.items():
            wait_until_it_traces(httprec, capture.with_suffix(".out"), capture.with_suffix(".err"))
        yield started
        for httprec in started.values():
            httprec.send_signal(signal.SIGINT)
        for capture, httprec in started.items():
            if httprec.wait(HANG_S) != 0:
                raise _failure(httprec, capture.with_suffix(".err"))
    finally:
        for httprec in started.values():
            httprec.kill()
            httprec.wait()


def start(out: Path, err: Path, *options: str, command: Sequence[str] = COMMAND, **how: Any) -> subprocess.Popen[bytes]:
    """Start and return a recorder. `out` and `err` may be the same file; `how` overrides the other arguments of
    Popen."""
    with out.open("ab") as stdout, err.open("ab") as stderr:
        return subprocess.Popen([*command, *options], **{"stdout": stdout, "stderr": stderr, **how})


def wait_until_it_traces(httprec: subprocess.Popen[bytes], out: Path, err: Path) -> None:
    """Wait until httprec is tracing. Raises RuntimeError if it ends instead."""
    wait_until("httprec to trace", lambda: b"Tracing..." in out.read_bytes() or httprec.poll() is not None)
    if httprec.poll() is not None:
        raise _failure(httprec, err)


def _failure(httprec: subprocess.Popen[bytes], err: Path) -> RuntimeError:
    return RuntimeError(f"httprec does not record (status {httprec.returncode}), see {err}: {err.read_text()}")
