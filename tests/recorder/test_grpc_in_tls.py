"""Record gRPC inside TLS on the running kernel, one call at a time, and compare with the client's own clock."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from httpcapture import Role
from support import protocol_checks
from support.commands import TESTS, environment
from workload.recorder import recording

OPTIONS = ("--probes", "tracepoint", "-t", "200", "-f")
SLOW_NS = 400_000_000
LEAST_NS = 200_000_000  # as OPTIONS say


@pytest.mark.every_client
@pytest.mark.parametrize("kind", ["new", "older"])
def test_every_slow_call_in_tls_and_no_other_is_recorded(kind: str, tmp_path: Path) -> None:
    """Record a connection that is new, or older than the recording."""
    command = [sys.executable, str(TESTS / "workload" / "grpc_in_tls.py"), kind]
    capture, pipe = tmp_path / "run.cap", subprocess.PIPE
    with contextlib.ExitStack() as stack:
        if kind == "new":
            stack.enter_context(recording(capture, *OPTIONS))
        run = subprocess.Popen(command, env=environment(TESTS), stdin=pipe, stdout=pipe, text=True)
        if kind == "older":
            assert run.stdout and run.stdout.readline() == "ready\n"
            stack.enter_context(recording(capture, *OPTIONS))
        printed, _ = run.communicate("\n")
    assert run.returncode == 0
    made = json.loads(printed)
    calls = protocol_checks.calls_of(protocol_checks.read(capture), run.pid)
    slow = [(began, ended) for began, ended, is_slow in made if is_slow]
    busy = sum(not is_slow and ended - began >= LEAST_NS for began, ended, is_slow in made)
    asked = [call for call in calls if call.role == Role.CLIENT]
    late = [call for call in asked if call.duration_ns >= SLOW_NS]
    assert len(late) == len(slow)
    assert len(asked) - len(late) <= busy
    for call, (began, ended) in zip(late, slow, strict=True):
        assert began <= call.t0 <= call.t2 <= call.t3 <= ended
        assert call.t2 - call.t0 >= SLOW_NS or call.first_byte_is_guess
