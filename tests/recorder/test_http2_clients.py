"""Record real HTTP/2 clients and servers in clear text on the running kernel, and compare with their own clocks."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from httpcapture import Outcome, Role
from httpreport.calls.call import Call
from httpreport.calls.protocol import Kind
from support import protocol_checks
from support.commands import TESTS, environment
from workload.recorder import recording

THRESHOLD_NS = 200_000_000
OPTIONS = ("--probes", "tracepoint", "-t", "200", "-f")
SLOW_NS = 400_000_000
WORKLOAD = TESTS / "workload"


def record(command: Sequence[str], capture: Path) -> tuple[Mapping[str, Any], dict[Role, list[Call]]]:
    """Return what the command printed, and its HTTP/2 calls by role."""
    with recording(capture, *OPTIONS):
        run = subprocess.Popen(command, env=environment(TESTS), stdout=subprocess.PIPE, text=True)
        printed, _ = run.communicate()
    assert run.returncode == 0
    recorded = protocol_checks.read(capture)
    assert recorded.lost.get("streams_out_of_step", 0) == recorded.lost.get("stream_map_full", 0) == 0
    calls = protocol_checks.calls_of(recorded, run.pid)
    assert {call.kind for call in calls} == {Kind.HTTP2}
    assert {call.outcome for call in calls} == {Outcome.ANSWERED}
    assert all(call.stack for call in calls)
    keys = {(call.connection, call.sequence) for call in calls}
    assert len(keys) == len({(call.connection, call.stream) for call in calls}) == len(calls)
    return json.loads(printed), {role: [call for call in calls if call.role == role] for role in Role}


@pytest.mark.skipif(not shutil.which("node"), reason="node is not installed")
def test_200_streams_of_node_at_once(tmp_path: Path) -> None:
    command = [shutil.which("node") or "", str(WORKLOAD / "node_streams.js")]
    own, calls = record(command, tmp_path / "node.cap")
    asked, slept = ({int(stream): ns for stream, ns in own[name].items()} for name in ("asked", "slept"))
    slow = {stream for stream, ns in slept.items() if ns >= 0.99 * SLOW_NS}
    assert len(asked) == len(slept) == 200
    assert len(slow) >= 20
    for role in (Role.CLIENT, Role.SERVER):
        recorded = {call.stream: call.duration_ns for call in calls[role]}
        assert len(recorded) == len(calls[role])
        assert set(recorded) >= slow
        for stream, duration_ns in recorded.items():
            assert max(slept[stream] - 1_000_000, THRESHOLD_NS) <= duration_ns  # a timer's clock is that of its loop
            assert role == Role.SERVER or duration_ns <= asked[stream]


@pytest.mark.skipif(not importlib.util.find_spec("grpc"), reason="grpcio is not installed")
def test_1000_calls_of_grpc_100_at_a_time(tmp_path: Path) -> None:
    own, calls = record([sys.executable, str(WORKLOAD / "grpc_calls.py")], tmp_path / "grpc.cap")
    assert len(own["slow"]) == 100
    for role in (Role.CLIENT, Role.SERVER):
        durations = sorted((call.duration_ns for call in calls[role]), reverse=True)
        took = sorted(own["slow"] + own["fast"], reverse=True)
        assert sum(ns >= SLOW_NS for ns in durations) >= 100
        if role == Role.CLIENT:
            assert len(durations) <= sum(ns >= THRESHOLD_NS for ns in took)
            assert all(ours <= theirs for ours, theirs in zip(durations, took))
