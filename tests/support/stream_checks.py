"""Compare the recorded streams of HTTP/2 of a program with what it knows of its own calls."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from httpcapture import Outcome, Role
from httpreport.calls.call import Call
from httpreport.calls.http_call import HttpCall
from httpreport.calls.protocol import Kind
from httpreport.capture.recording import Recording
from support import protocol_checks

THRESHOLD_NS = 200_000_000
SLOW_NS = 400_000_000


class Seen(NamedTuple):
    """Hold a call, path and method that were asked for, and both statuses."""

    call: Call
    method: str
    path: str
    status: int
    grpc_status: int | None


def streams_of(recorded: Recording, pid: int) -> dict[Role, list[Seen]]:
    """Return the calls of a process by role. Raises AssertionError unless they are streams, each once, which were
    answered and have a stack, and no connection was ever out of step."""
    assert recorded.lost.get("streams_out_of_step", 0) == recorded.lost.get("stream_map_full", 0) == 0
    calls = protocol_checks.calls_of(recorded, pid)
    assert {call.kind for call in calls} == {Kind.HTTP2}
    assert {call.outcome for call in calls} == {Outcome.ANSWERED}
    assert all(call.stack for call in calls)
    keys = {(call.connection, call.sequence) for call in calls}
    assert len(keys) == len({(call.connection, call.stream) for call in calls}) == len(calls)
    seen = [_seen(recorded, call) for call in calls]
    return {role: [each for each in seen if each.call.role == role] for role in Role}


def _seen(recorded: Recording, call: Call) -> Seen:
    request, response = HttpCall.of(recorded.heads, call.request, call.response)
    assert (call.method.decode(), call.status) == (request.method, response.status)
    return Seen(call, request.method, request.path, response.status, response.grpc_status)


def assert_calls_of_grpc(own: Mapping[str, Any], calls: Mapping[Role, Sequence[Seen]]) -> None:
    """Raise AssertionError unless these are the slow calls of grpc_calls.py, of which `own` is what it printed."""
    assert len(own["slow"]) == 100
    for role in (Role.CLIENT, Role.SERVER):
        durations = sorted((seen.call.duration_ns for seen in calls[role]), reverse=True)
        took = sorted(own["slow"] + own["fast"], reverse=True)
        assert sum(ns >= SLOW_NS for ns in durations) >= 100
        if role == Role.CLIENT:
            assert len(durations) <= sum(ns >= THRESHOLD_NS for ns in took)
            assert all(ours <= theirs for ours, theirs in zip(durations, took))
        assert {(seen.method, seen.status) for seen in calls[role]} == {("POST", 200)}
        slow = Counter((seen.path, seen.grpc_status) for seen in calls[role] if seen.call.duration_ns >= SLOW_NS)
        for path, status in own["asked"]:
            assert slow[path, status] == 1
