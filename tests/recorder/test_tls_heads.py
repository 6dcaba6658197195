"""Record heads that were read in TLS on the running kernel, and compare them with what the clients asked for."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from httpcapture import Role
from httpreport.calls.call import Call
from httpreport.calls.http_call import HttpCall
from httpreport.calls.protocol import Kind
from httpreport.capture.recording import Recording
from support import protocol_checks
from support.capture_bytes import decompressed
from support.commands import TESTS, environment
from support.recorders import needs_a_recorder
from workload import gnutls
from workload.recorder import recording
from workload.tls_heads import KEY, is_slow

OPTIONS = ("--probes", "tracepoint", "-t", "100", "-f", "-q", "--stack", "fp", "--languages", "none")
SECRET = "planted-7c1f0a93d2"


@pytest.fixture(scope="module", autouse=True)
def recorder() -> None:
    needs_a_recorder()


def record(capture: Path, command: list[str], *options: str) -> tuple[Recording, list[dict[str, Any]], int]:
    """Return what was recorded, what the command printed, and its pid."""
    with recording(capture, *OPTIONS, *options):
        run = subprocess.Popen(command, env=environment(TESTS), stdout=subprocess.PIPE, text=True)
        printed, _ = run.communicate()
    assert run.returncode == 0
    return protocol_checks.read(capture), json.loads(printed), run.pid


def own_call(call: Call, own: list[dict[str, Any]]) -> Mapping[str, Any]:
    """Return what the client knows of a recorded call: on its connection, at that time."""
    port = call.peer_port if call.role == Role.SERVER else call.local_port
    half = (call.t0 + call.t3) // 2
    (found,) = (mine for mine in own if mine["port"] == port and mine["t0"] <= half <= mine["t3"])
    return found


def check(recorded: Recording, own: list[dict[str, Any]], pid: int) -> None:
    """Check that every slow call has its own heads, at both ends; only of a server's a few may not be known."""
    calls = protocol_checks.calls_of(recorded, pid)
    known = 0
    for call in calls:
        mine, heads = own_call(call, own), HttpCall.of(recorded.heads, call.request, call.response)
        if call.is_tls and not heads.request.path and call.role == Role.SERVER:
            continue  # it was not seen which socket the session has
        assert (heads.request.path, heads.response.status) == (mine["path"], mine["status"])
        assert (call.method, call.status, call.kind) == (b"POST", mine["status"], Kind.HTTP)
        assert heads.request_id == mine["id"]
        assert call.is_tls == mine["path"].startswith("/TLS")
        known += 1
    slow = {mine["id"] for mine in own if is_slow(mine["path"])}
    for role in (Role.CLIENT, Role.SERVER):
        assert slow <= {own_call(call, own)["id"] for call in calls if call.role == role}
    assert known >= 0.95 * len(calls)


@pytest.mark.parametrize("workload", ["tls_heads", "gnutls_heads"])
def test_every_slow_call_of_python_has_its_heads(workload: str, tmp_path: Path) -> None:
    capture = tmp_path / "tls.cap"
    gnutls.loaded()  # by this process it is found at the beginning
    check(*record(capture, [sys.executable, "-m", f"workload.{workload}", SECRET], "--tls"))
    assert SECRET.encode() not in decompressed(capture.read_bytes())


@pytest.mark.skipif(not shutil.which("node"), reason="node is not installed")
def test_every_slow_call_of_node_has_its_heads(tmp_path: Path) -> None:
    capture, node = tmp_path / "tls.cap", shutil.which("node") or ""
    script = TESTS / "workload" / "tls_heads.js"
    with subprocess.Popen([node], stdin=subprocess.PIPE) as idle:  # so that its library is found at the beginning
        check(*record(capture, [node, str(script), str(KEY), SECRET], "--tls"))
        idle.communicate(b"")
    assert SECRET.encode() not in decompressed(capture.read_bytes())


def test_without_the_option_nothing_in_tls_is_read(tmp_path: Path) -> None:
    recorded, _, pid = record(tmp_path / "tls.cap", [sys.executable, "-m", "workload.tls_heads", SECRET])
    calls = protocol_checks.calls_of(recorded, pid)
    assert {call.kind for call in calls if call.is_tls} == {Kind.TLS}
    heads = [HttpCall.of(recorded.heads, call.request, call.response) for call in calls if call.is_tls]
    assert {(known.request.path, known.request.method, known.response.status) for known in heads} == {("", "", 0)}
