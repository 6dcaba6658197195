"""Record calls of every protocol on the running kernel, by tracepoints, and compare them with the clients' own clocks.

tests/vm/test_protocols.py does so with the other probes.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from httpreport.capture.recording import Recording
from support import protocol_checks
from support.commands import TESTS, environment


@dataclass(frozen=True)
class Recorded:
    """Hold a capture, and the folder in which the clients' own times are."""

    capture: Recording
    out: Path


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    out = tmp_path_factory.mktemp("protocols")
    command = [sys.executable, "-m", "workload.protocols_driver", str(out), "tracepoint"]
    subprocess.run(command, env=environment(TESTS), check=True)
    return Recorded(protocol_checks.read(out / "tracepoint.cap"), out)


@pytest.mark.parametrize("scenario", protocol_checks.EVERY_SCENARIO)
def test_every_slow_call_and_no_other_is_recorded_by_tracepoints(recorded: Recorded, scenario: str) -> None:
    protocol_checks.assert_every_slow_call_once(recorded.capture, recorded.out, scenario)


def test_receives_that_no_probe_sees_are_counted(recorded: Recorded) -> None:
    """They are those of `spliced`: noticed when the next request begins or the connection ends."""
    assert recorded.capture.lost["transfer_not_seen"] == 3


@pytest.mark.parametrize("scenario", protocol_checks.EVERY_END)
def test_a_stream_ends_as_its_reset_or_its_connection_says(recorded: Recorded, scenario: str) -> None:
    protocol_checks.assert_ends(recorded.capture, recorded.out, scenario)


def test_a_loss_of_step_with_frames_is_counted(recorded: Recorded) -> None:
    """It is that of `http2_mended`."""
    assert recorded.capture.lost["streams_out_of_step"] == 1
