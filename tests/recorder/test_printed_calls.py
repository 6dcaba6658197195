"""Record and print calls on the running kernel: those of connections that are older than the recording, whose responses
begin at once and go on for long."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from support.commands import HTTPREC, environment, read
from support.programs import running
from workload.waiting import HANG_S

CALLS = 5
LEAST_MS, THRESHOLD_MS = 310, 200
# Both ends of a connection that no payload tells apart. The first call may have begun before the recording.
PROGRAM = f"""
import socket, subprocess, sys, threading, time
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
listener = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(listener.getsockname())
server, _ = listener.accept()

def serve():
    while server.recv(100):
        time.sleep(0.01)
        server.send(b"a")
        time.sleep(0.3)
        server.send(b"b")

threading.Thread(target=serve, daemon=True).start()
print(listener.getsockname()[1], flush=True)
sys.stdin.readline()
for _ in range(1 + {CALLS}):
    began = time.monotonic()
    client.send(b"question")
    while not client.recv(100).endswith(b"b"):
        pass
    print(1000 * (time.monotonic() - began))
print("done", flush=True)
sys.stdin.read()
"""


def test_the_whole_of_each_call_on_an_older_connection_is_printed_with_who_asked(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("not root: cannot record")
    (tmp_path / "older").symlink_to(os.path.realpath(sys.executable))
    with running("unshare", "--net", tmp_path / "older", "-c", PROGRAM) as program:
        assert program.stdin is not None and program.stdout is not None
        port = int(program.stdout.readline())
        recorder = subprocess.Popen(
            [*HTTPREC, "-o", "run.cap", "-t", str(THRESHOLD_MS), "-p", "older"],
            cwd=tmp_path,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert recorder.stdout is not None
        if not recorder.stdout.readline():
            pytest.skip(recorder.communicate()[1])
        print(file=program.stdin, flush=True)
        stopwatch = [float(line) for line in iter(program.stdout.readline, "done\n")]
        recorder.send_signal(signal.SIGINT)
        printed, _ = recorder.communicate(timeout=HANG_S)
    durations = [float(ms) for ms in re.findall(r"^Duration: (\S+) ms", printed, re.MULTILINE)]
    assert 2 * CALLS <= len(durations) <= 2 * CALLS + 2 and len(durations) == read(tmp_path / "run.cap").calls
    assert min(durations) >= LEAST_MS and max(durations) <= max(stopwatch)
    assert set(re.findall(r"Dst Port: (\d+)", printed)) == {str(port)}
