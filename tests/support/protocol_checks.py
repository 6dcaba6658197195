"""Compare recorded calls with what the clients of workload/protocols.py saw by their own clocks."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from httpcapture import Outcome, Role, open_capture
from httpreport.calls.call import Call, iterate_calls
from httpreport.calls.filters import Selection
from httpreport.capture.loader import load
from httpreport.capture.recording import Recording
from workload.protocols import OLDER, SCENARIOS, SLOW

EVERY_SCENARIO = [*SCENARIOS, *OLDER]
LEAST_NS = round(SLOW * 1e9)
NO_HTTP = ("tls", "joined")  # scenarios that are named so have neither method nor status in the clear


def read(capture: Path) -> Recording:
    with open_capture(capture) as reader:
        return load(reader, Selection(reader.meta.threshold_ns))


def calls_of(recording: Recording, pid: int) -> Sequence[Call]:
    """Return the calls of a process, in the order of time."""
    calls = recording.calls[recording.calls["pid"] == pid]
    return list(iterate_calls(calls, np.argsort(calls["t0"])))


def assert_every_slow_call_once(recording: Recording, out: Path, scenario: str) -> None:
    """Check that the client's slow calls, and no others, were recorded, at both ends."""
    folder = out / scenario if scenario in OLDER else out
    client, server = _own(folder / f"{scenario}.json"), _own(folder / f"{scenario}S.json")
    recorded, answered = calls_of(recording, client["pid"]), calls_of(recording, server["pid"])
    assert (len(recorded), len(answered)) == (len(client["calls"]),) * 2, [*recorded, *answered]
    for call, other, mine in zip(recorded, answered, client["calls"]):
        assert (call.role, other.role) == (Role.CLIENT, Role.SERVER)
        for end in (call, other):
            assert end.outcome == Outcome.ANSWERED
            assert end.stack, "it has a stack"
            assert scenario.startswith(NO_HTTP) or (end.method, end.status) == (mine["method"].encode(), mine["status"])
        assert mine["t0"] <= call.t0 <= call.t2 <= call.t3 <= mine["t3"]
        assert call.t3 - call.t0 >= LEAST_NS
        assert mine["t0"] <= other.t0
        assert other.t3 - other.t0 >= 0.99 * LEAST_NS  # the server's sleep begins a little after its request came
        if mine["t2"]:
            assert call.t2 <= mine["t2"]
            assert call.stack_is_late
        else:
            assert call.t2 - call.t0 >= LEAST_NS or call.first_byte_is_guess
            assert not call.stack_is_late


def _own(path: Path) -> Mapping[str, Any]:
    found: Mapping[str, Any] = json.loads(path.read_text())
    return found
