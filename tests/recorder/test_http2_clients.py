"""Record real HTTP/2 clients and servers in clear text on the running kernel, and compare with their own clocks."""

from __future__ import annotations

import importlib.util
import io
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from httpcapture import Reader, Role
from support import protocol_checks
from support.commands import TESTS, environment
from support.head_records import bytes_of
from support.stream_checks import SLOW_NS, THRESHOLD_NS, Seen, assert_calls_of_grpc, streams_of
from workload.recorder import recording

OPTIONS = ("--probes", "tracepoint", "-t", "200", "-f")
WORKLOAD = TESTS / "workload"
PLANTED = (b"Bearer planted-authorization", b"session=planted-cookie", b"planted-key", b"planted-set-cookie")
constants: Any = pytest.importorskip("hpack.huffman_constants")
HUFFMAN: Any = pytest.importorskip("hpack.huffman").HuffmanEncoder(
    constants.REQUEST_CODES, constants.REQUEST_CODES_LENGTH
)


def record(command: Sequence[str], capture: Path) -> tuple[Mapping[str, Any], dict[Role, list[Seen]]]:
    """Return what the command printed, and its HTTP/2 calls by role."""
    with recording(capture, *OPTIONS):
        run = subprocess.Popen(command, env=environment(TESTS), stdout=subprocess.PIPE, text=True)
        printed, _ = run.communicate()
    assert run.returncode == 0
    return json.loads(printed), streams_of(protocol_checks.read(capture), run.pid)


def command_of(client: str) -> list[str]:
    if client == "grpc":
        if not importlib.util.find_spec("grpc"):
            pytest.skip("grpcio is not installed")
        return [sys.executable, str(WORKLOAD / "grpc_calls.py")]
    node = shutil.which("node")
    if not node:
        pytest.skip("node is not installed")
    return [node, str(WORKLOAD / "node_streams.js")]


def test_200_streams_of_node_at_once(tmp_path: Path) -> None:
    own, calls = record(command_of("node"), tmp_path / "node.cap")
    asked, slept = ({int(stream): ns for stream, ns in own[name].items()} for name in ("asked", "slept"))
    slow = {stream for stream, ns in slept.items() if ns >= 0.99 * SLOW_NS}
    assert len(asked) == len(slept) == 200
    assert len(slow) >= 20
    for role in (Role.CLIENT, Role.SERVER):
        recorded = {seen.call.stream: seen.call.duration_ns for seen in calls[role]}
        assert len(recorded) == len(calls[role])
        assert set(recorded) >= slow
        for stream, duration_ns in recorded.items():
            assert max(slept[stream] - 1_000_000, THRESHOLD_NS) <= duration_ns  # a timer's clock is that of its loop
            assert role == Role.SERVER or duration_ns <= asked[stream]
        for seen in calls[role]:
            assert (seen.method, [seen.path, seen.status]) == ("GET", own["heads"][str(seen.call.stream)])


def test_1000_calls_of_grpc_100_at_a_time(tmp_path: Path) -> None:
    assert_calls_of_grpc(*record(command_of("grpc"), tmp_path / "grpc.cap"))


@pytest.mark.parametrize("client", ["node", "grpc"])
def test_nothing_of_what_was_planted_is_in_the_file(client: str, tmp_path: Path) -> None:
    capture = tmp_path / "run.cap"
    with recording(capture, *OPTIONS, "--stack", "fp"):
        subprocess.run(command_of(client), env=environment(TESTS), stdout=subprocess.DEVNULL, check=True)
    data = bytes_of(list(Reader(io.BytesIO(capture.read_bytes()))))
    assert b"/slow/" in data or b"/test.Test/Ask" in data
    assert b"planted" not in data
    for secret in PLANTED:
        assert HUFFMAN.encode(secret)[:-1] not in data
