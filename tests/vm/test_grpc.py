"""Record 1,000 calls of gRPC, 100 at a time, on the oldest kernel, whose verifier allows the BPF program fewer turns.
tests/recorder/test_http2_clients.py does it on the running kernel."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from support import protocol_checks, stream_checks
from vm import recorded

PROBES = ("fexit", "kprobe")
GRPC = [["grpcio==1.62.3", "--python-version=3.11", "--platform=manylinux2014_x86_64"]]  # for Debian 12's Python


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("grpc")
    command = ["python3", "-m", "workload.grpc_driver", "/tmp/out", *PROBES]
    recorded.run(command, [recorded.TESTS / "workload"], out, suite="bookworm", kernel="bullseye", wheels=GRPC)
    return out


@pytest.mark.every_kernel
@pytest.mark.parametrize("probes", PROBES)
def test_1000_calls_of_grpc_100_at_a_time(out: Path, probes: str) -> None:
    streams = stream_checks.streams_of(protocol_checks.read(out / f"{probes}.cap"), int((out / "pid").read_text()))

    stream_checks.assert_calls_of_grpc(json.loads((out / "own").read_text()), streams)
