"""Record HTTP/2 in TLS on the running kernel, stream by stream (--tls), and compare with what both ends say."""

from __future__ import annotations

import json
import shutil
import ssl  # so that OpenSSL is found at the beginning of a recording
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from httpcapture import Outcome, Role
from httpreport.calls.call import Call
from httpreport.calls.http_call import HttpCall
from httpreport.calls.protocol import Kind
from httpreport.capture.recording import Recording
from support import protocol_checks
from support.capture_bytes import decompressed
from support.commands import TESTS, environment
from support.recorders import needs_a_recorder
from workload import tls_nginx, tls_streams
from workload.recorder import recording

OPTIONS = ("--probes", "tracepoint", "-t", "200", "-f", "-q", "--tls")
VERSIONS = [version.name for version in tls_streams.VERSIONS]
SLOW = {path for path in tls_nginx.MANY if not path.startswith("/fast")}

assert ssl.OPENSSL_VERSION


@pytest.fixture(scope="module", autouse=True)
def recorder() -> None:
    needs_a_recorder()


def record(capture: Path, module: str, *arguments: str, stack: str = "dwarf") -> tuple[Recording, str]:
    """Return what was recorded of a workload, and what that printed."""
    with recording(capture, *OPTIONS, "--stack", stack):
        command = [sys.executable, "-m", f"workload.{module}", *arguments]
        run = subprocess.run(command, env=environment(TESTS), stdout=subprocess.PIPE, text=True, check=True)
    recorded = protocol_checks.read(capture)
    assert not {name for name in recorded.lost if "stream" in name or "block" in name}, recorded.lost
    return recorded, run.stdout


@pytest.fixture(scope="module")
def of_python(tmp_path_factory: pytest.TempPathFactory) -> tuple[Recording, Path]:
    out = tmp_path_factory.mktemp("streams")
    return record(out / "tls.cap", "tls_streams", str(out))[0], out


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("scenario", tls_streams.CALLS)
def test_every_slow_stream_is_a_call_at_both_ends(
    of_python: tuple[Recording, Path], scenario: str, version: str
) -> None:
    recorded, out = of_python
    protocol_checks.assert_every_slow_call_once(recorded, out / version, scenario)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("scenario", tls_streams.ENDED)
def test_a_stream_ends_as_its_reset_or_its_connection_says(
    of_python: tuple[Recording, Path], scenario: str, version: str
) -> None:
    recorded, out = of_python
    protocol_checks.assert_ends(recorded, out / version, scenario)


def test_they_say_what_they_asked_for(of_python: tuple[Recording, Path]) -> None:
    recorded, out = of_python
    pids = [json.loads(own.read_text())["pid"] for own in out.glob("*/*.json")]
    for call in (call for pid in pids for call in protocol_checks.calls_of(recorded, pid)):
        assert (call.kind, call.is_tls, call.method) == (Kind.HTTP2, True, b"GET")
        assert path_of(recorded, call) == "/a"
        assert call.status == (200 if call.outcome == Outcome.ANSWERED else 0)


def path_of(recorded: Recording, call: Call) -> str:
    return HttpCall.of(recorded.heads, call.request, call.response).request.path


@pytest.mark.skipif(not shutil.which("nginx") or not shutil.which("curl"), reason="nginx or curl is not installed")
@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
def test_curl_and_nginx_say_the_same_of_each_call(version: str, tmp_path: Path) -> None:
    capture = tmp_path / "tls.cap"
    recorded, printed = record(capture, "tls_nginx", str(tmp_path), version, stack="fp")
    assert tls_nginx.SECRET.encode() not in decompressed(capture.read_bytes())
    said = json.loads(printed)
    (many, asked), (impatient, _) = ((int(pid), calls) for pid, calls in said["clients"].items())
    assert {(mine["version"], mine["port"]) for mine in asked} == {("2", asked[0]["port"])}
    served = protocol_checks.calls_of(recorded, said["worker"])
    answered = [call for call in served if call.role == Role.SERVER and call.outcome == Outcome.ANSWERED]
    logged = {mine["path"]: mine for mine in said["log"] if mine["protocol"] == "HTTP/2.0"}
    totals = {mine["path"]: mine["seconds"] for mine in asked}
    ours = checked(recorded, protocol_checks.calls_of(recorded, many), {mine["path"]: mine for mine in asked})
    theirs = checked(recorded, answered, logged)
    for path in SLOW:
        assert ours[path].duration_ns <= totals[path] * 1e9
        assert ours[path].t0 <= theirs[path].t0 <= theirs[path].t2 <= ours[path].t3
        assert (ours[path].local_port, ours[path].role) == (theirs[path].peer_port, Role.CLIENT)
    (given_up,) = protocol_checks.calls_of(recorded, impatient)
    (left,) = (call for call in served if path_of(recorded, call) == tls_nginx.GIVEN_UP and call.role == Role.SERVER)
    assert (path_of(recorded, given_up), given_up.stream) == (tls_nginx.GIVEN_UP, left.stream)
    assert Outcome.ANSWERED not in (given_up.outcome, left.outcome)
    assert given_up.t0 <= left.t0 <= given_up.t3


def checked(recorded: Recording, calls: list[Call], said: Mapping[str, Mapping[str, Any]]) -> dict[str, Call]:
    """Check recorded calls against what their own process says of each, and return them by path. Every slow one is
    there, once."""
    by_path = {path_of(recorded, call): call for call in calls}
    assert len(by_path) == len(calls)
    assert SLOW <= set(by_path) <= set(tls_nginx.MANY)
    for path, call in by_path.items():
        port = call.peer_port if call.role == Role.SERVER else call.local_port
        assert (call.kind, call.is_tls, call.outcome) == (Kind.HTTP2, True, Outcome.ANSWERED)
        assert (port, call.status, call.method) == (said[path]["port"], said[path]["status"], b"GET")
        assert call.stack
        assert path not in SLOW or call.duration_ns >= tls_nginx.SLOW_S * 1e9
    return by_path
