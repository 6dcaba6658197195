"""Compare recorded calls with what the clients of workload/matrix saw by their own clocks."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from httpcapture import Outcome, Role, open_capture
from httpreport.calls.call import Call, iterate_calls
from httpreport.calls.filters import Selection
from httpreport.capture.loader import load
from support.commands import TESTS, environment
from workload.matrix.cells import Cell, is_grpc_in_tls
from workload.matrix.driver import LATE_MS, THRESHOLD_MS

MS = 1_000_000
LATE = ("first", "body")
AT_A_TIME = 6


@dataclass(frozen=True)
class Matrix:
    """Hold what was recorded and where the clients' own times are."""

    calls: Sequence[Call]
    server_pids: Collection[int]
    out: Path


@dataclass(frozen=True)
class CellCalls:
    """Hold the calls of a cell as they were recorded at the client's end, and as the client saw them."""

    recorded: Sequence[Call]
    own: Sequence[Mapping[str, Any]]
    least_ns: int  # that slow ones take

    @property
    def late(self) -> Sequence[Call]:
        """Return those that took as long as slow ones, while the client waited for one."""
        waits = [(call["t0"], call["t3"]) for call in self.own_late]
        slow = [call for call in self.recorded if call.duration_ns >= self.least_ns]
        return [call for call in slow if any(began <= call.t0 <= ended for began, ended in waits)]

    @property
    def own_late(self) -> Sequence[Mapping[str, Any]]:
        """Return those that the server answered late."""
        return [call for call in self.own if call["path"].endswith(LATE)]


def record(out: Path, clients: Collection[str], at_a_time: int = AT_A_TIME) -> Matrix:
    """Record the cells of clients, so many at a time, on the running kernel."""
    command = [sys.executable, "-m", "workload.matrix.driver", str(out), "tracepoint", str(at_a_time), *clients]
    subprocess.run(command, env=environment(TESTS), check=True)
    with open_capture(out / "matrix.cap") as reader:
        calls = load(reader, Selection(THRESHOLD_MS * MS)).calls
    servers = json.loads((out / "servers.json").read_text())
    return Matrix(list(iterate_calls(calls, calls["t0"].argsort())), servers["pids"], out)


def calls_of(matrix: Matrix, cell: Cell) -> CellCalls:
    own = json.loads((matrix.out / f"{cell.name}.json").read_text())
    pids = {call["pid"] for call in own}
    return CellCalls([call for call in matrix.calls if call.pid in pids], own, least_ns(cell))


def least_ns(cell: Cell) -> int:
    """Return how long a slow call takes at least: the server's delay. In TLS, what gRPC sends while an answer is coming
    may be taken for the begin of the call, which then is recorded, but as a shorter one."""
    return (THRESHOLD_MS if is_grpc_in_tls(cell) else LATE_MS) * MS


def assert_every_slow_call_once(matrix: Matrix, cell: Cell) -> None:
    """Check that the slow calls of a cell were recorded once, at both ends, and no fast one. A fast one may be there if
    it was slow by the client's own clock: the machine was busy."""
    calls = calls_of(matrix, cell)
    late, mine = calls.late, calls.own_late
    busy = [call for call in calls.own if call not in mine and call["most"] >= THRESHOLD_MS * MS]
    assert len(late) == len(mine), "slow calls of the client"
    assert len(calls.recorded) - len(late) <= len(busy), "fast calls of the client"
    for call, seen in zip(late, mine):
        _assert_alike(call, seen)
        assert is_grpc_in_tls(cell) or call.first_byte_is_guess or _came_late(call) == seen["path"].endswith("first")
        _assert_served(matrix, call, calls.least_ns)


def _assert_alike(call: Call, seen: Mapping[str, Any]) -> None:
    """Check a client's call against its own clock."""
    assert seen["t0"] <= call.t0 <= call.t2 <= call.t3 <= seen["t3"]
    assert call.duration_ns <= seen["most"]
    assert (call.role, call.outcome) == (Role.CLIENT, Outcome.ANSWERED)


def _came_late(call: Call) -> bool:
    """Return whether the first byte did."""
    return call.t2 - call.t0 >= LATE_MS * MS


def _assert_served(matrix: Matrix, call: Call, least_ns: int) -> None:
    """Check that the server's end of a client's call was recorded once, and lasted long enough."""
    served = [
        other
        for other in matrix.calls
        if other.pid in matrix.server_pids and other.peer_port == call.local_port and call.t0 <= other.t0 <= call.t3
    ]
    assert len(served) == 1, "calls of the server"
    assert served[0].role == Role.SERVER
    assert served[0].duration_ns >= least_ns
