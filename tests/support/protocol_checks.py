"""Compare recorded calls with what the clients of workload/protocols.py saw by their own clocks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from httpcapture import Outcome, Role, open_capture
from httpreport.calls.call import Call, iterate_calls
from httpreport.calls.filters import Selection
from httpreport.calls.protocol import Kind
from httpreport.capture.loader import load
from httpreport.capture.recording import Recording
from workload.http2 import ENDS, HTTP2, JOINED
from workload.protocols import OLDER, SCENARIOS, SLOW

EVERY_SCENARIO = [*SCENARIOS, *OLDER, *HTTP2, *JOINED]
EVERY_END = [*ENDS]
LEAST_NS = round(SLOW * 1e9)
NO_HTTP = ("tls", "joined", "http2")  # scenarios that are named so have no method and status that are read


def read(capture: Path) -> Recording:
    with open_capture(capture) as reader:
        return load(reader, Selection(reader.meta.threshold_ns))


def calls_of(recording: Recording, pid: int) -> list[Call]:
    """Return the calls of a process, in the order of time."""
    calls = recording.calls[recording.calls["pid"] == pid]
    return list(iterate_calls(calls, np.argsort(calls["t0"])))


def assert_every_slow_call_once(recording: Recording, out: Path, scenario: str) -> None:
    """Check that the client's slow calls were recorded at both ends, and of others only what was slow by its clock."""
    folder = out / scenario if scenario in (*OLDER, *JOINED) else out
    client, server = _own(folder / f"{scenario}.json"), _own(folder / f"{scenario}S.json")
    recorded, answered = calls_of(recording, client["pid"]), calls_of(recording, server["pid"])
    for mine in client["calls"]:
        asked = [call for call in recorded if _may_be(call, mine)]
        served = [call for call in answered if _may_be(call, mine)]
        assert len(asked) == len(served) == 1 or not mine["is_slow"]
        for call in asked:
            recorded.remove(call)
            _assert_asked(call, mine, recording.meta.threshold_ns)
        for call in served:
            answered.remove(call)
            assert call.role == Role.SERVER
            # The client may have the answer before the send that answers returns.
            assert call.t3 <= mine["t3"] + LEAST_NS / 2
            assert (
                call.t3 - call.t0 >= 0.99 * LEAST_NS or not mine["is_slow"]
            )  # its sleep begins after the request came
        for call in (*asked, *served):
            assert call.outcome == Outcome.ANSWERED
            assert call.stack
            assert scenario.startswith(NO_HTTP) or (call.method, call.status) == (
                mine["method"].encode(),
                mine["status"],
            )
    assert recorded == answered == []


def _may_be(call: Call, mine: Mapping[str, Any]) -> bool:
    return mine["t0"] <= call.t0 <= mine["t3"] and mine.get("stream") in (call.stream, None)


def assert_ends(recording: Recording, out: Path, scenario: str) -> None:
    """Check that the calls of one of ENDS were recorded at both ends with their outcomes and errors."""
    expected = _own(out / f"{scenario}.json")["calls"]
    for side, name in enumerate((scenario, f"{scenario}S")):
        pid = _own(out / f"{name}.json")["pid"]
        calls = sorted(calls_of(recording, pid), key=lambda call: (call.t0, call.stream))  # some begin together
        found = [(call.outcome_name, call.http2_error) for call in calls]
        assert found == [(mine["outcome"][side], mine["error"]) for mine in expected]
        for call, mine in zip(calls, expected):
            assert call.kind == Kind.HTTP2
            assert mine["t0"] <= call.t0 <= call.t3


def _assert_asked(call: Call, mine: Mapping[str, Any], threshold_ns: int) -> None:
    """Check a client's call against its own times."""
    assert call.role == Role.CLIENT
    assert mine["t0"] <= call.t0 <= call.t2 <= call.t3 <= mine["t3"]
    assert call.t3 - call.t0 >= (LEAST_NS if mine["is_slow"] else threshold_ns)
    if not mine["is_slow"]:
        return
    if mine["t2"] and not call.first_byte_is_guess:
        assert call.t2 <= mine["t2"]
    if not mine["t2"]:
        assert call.t2 - call.t0 >= LEAST_NS or call.first_byte_is_guess
    assert call.stack_is_late == (call.t2 - call.t0 < threshold_ns)


def _own(path: Path) -> Mapping[str, Any]:
    found: Mapping[str, Any] = json.loads(path.read_text())
    return found
