"""Record calls of every protocol in a guest, with fexit and with kprobes, and compare them with the clients' own
clocks. `make test` does it on one kernel, and `make test-kernels` on the oldest one too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from httpreport.capture.recording import Recording
from support import protocol_checks
from vm import recorded
from vm.guest import SUITE

PROBES = ("fexit", "kprobe")
OLDEST = ("bookworm", "bullseye")  # kernel 5.10 allows the BPF program fewer turns; the clients are Debian 12's


@dataclass(frozen=True)
class Guest:
    """Hold the captures by their probes, and the folder in which the clients' own times are."""

    captures: Mapping[str, Recording]
    out: Path


@pytest.fixture(scope="module", params=[(SUITE, None), pytest.param(OLDEST, marks=pytest.mark.every_kernel)])
def guest(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Guest:
    out = tmp_path_factory.mktemp("protocols")
    command = ["python3", "-m", "workload.protocols_driver", "/tmp/out", *PROBES]
    suite, kernel = request.param
    recorded.run(command, [recorded.TESTS / "workload"], out, suite=suite, kernel=kernel)
    return Guest({kind: protocol_checks.read(out / f"{kind}.cap") for kind in PROBES}, out)


@pytest.mark.parametrize("probes", PROBES)
@pytest.mark.parametrize("scenario", protocol_checks.EVERY_SCENARIO)
def test_every_slow_call_and_no_other_is_recorded(guest: Guest, probes: str, scenario: str) -> None:
    protocol_checks.assert_every_slow_call_once(guest.captures[probes], guest.out, scenario)


@pytest.mark.parametrize("probes", PROBES)
def test_receives_that_no_probe_sees_are_counted(guest: Guest, probes: str) -> None:
    """They are those of `spliced`: noticed when the next request begins or the connection ends."""
    assert guest.captures[probes].lost["transfer_not_seen"] == 3


@pytest.mark.parametrize("probes", PROBES)
@pytest.mark.parametrize("scenario", protocol_checks.EVERY_END)
def test_a_stream_ends_as_its_reset_or_its_connection_says(guest: Guest, probes: str, scenario: str) -> None:
    protocol_checks.assert_ends(guest.captures[probes], guest.out, scenario)


@pytest.mark.parametrize("probes", PROBES)
def test_a_loss_of_step_with_frames_is_counted(guest: Guest, probes: str) -> None:
    """It is that of `http2_mended`."""
    assert guest.captures[probes].lost["streams_out_of_step"] == 1
