"""Record calls whose two ends see the bytes in different portions (tests/workload/both_ends.py), and compare the
sequence numbers that the recorder notes at each end with TCP's own; and join the ends, of which the workload knows that
the first call of a connection at one end is the first at the other."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from httpcapture import Calls, Meta, Outcome, Role, open_capture
from httpcapture.codings import CASTS
from httpreport.calls.other_ends import OtherEnds, other_ends
from httpreport.calls.schema import Array
from support import protocol_checks
from support.commands import TESTS
from support.programs import running
from workload.both_ends import SCENARIOS
from workload.recorder import recording

Call = dict[str, Any]


class Recorded:
    """Hold the calls of a capture, and what TCP itself said of them, by scenario."""

    def __init__(self, capture: Path, own: dict[str, Call]) -> None:
        self._calls, self._own = list(numbers_in(capture)), own
        self.capture = capture

    def own(self, scenario: str) -> list[tuple[int, int]]:
        """Return the sequence numbers of each call's request and response, as TCP gave them; 0 for no response."""
        known = self._own[scenario]
        return [(request, response or 0) for request, response in zip(known["requests"], known["responses"])]

    def seen(self, scenario: str, role: Role) -> list[tuple[int, int]]:
        """Return the same of each call as one of its ends recorded it."""
        port = "local_port" if role == Role.CLIENT else "peer_port"
        of_end = [call for call in self._calls if call["role"] == role and call[port] == self._own[scenario]["port"]]
        return [(call["request_seq"], call["response_seq"]) for call in sorted(of_end, key=lambda call: call["t0"])]


def numbers_in(capture: Path) -> Iterator[Call]:
    with open_capture(capture) as reader:
        for record in reader:
            if isinstance(record, Meta):
                bits = {f.name: int(f.type[1:]) for f in record.call_layout.fields if f.type.startswith("u")}
            if isinstance(record, Calls):
                columns = {name: record.columns[name].cast("B").cast(CASTS[size // 8]) for name, size in bits.items()}
                for row in range(record.rows):
                    yield {name: column[row] for name, column in columns.items()}


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    if os.geteuid() != 0:
        pytest.skip("not root: cannot record")
    folder = tmp_path_factory.mktemp("ends")
    (folder / "ends").symlink_to(os.path.realpath(sys.executable))
    capture = folder / "run.cap"
    with running(folder / "ends", TESTS / "workload" / "both_ends.py") as program:
        assert program.stdin is not None and program.stdout is not None
        assert program.stdout.readline() == "ready\n"
        with recording(capture, "-t", "200", "-p", "ends"):
            print(file=program.stdin, flush=True)
            own = json.loads(program.stdout.readline())
    return Recorded(capture, own)


@pytest.mark.parametrize("role", [Role.CLIENT, Role.SERVER])
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_an_end_notes_the_sequence_numbers_that_tcp_gave(recorded: Recorded, scenario: str, role: Role) -> None:
    assert recorded.seen(scenario, role) == recorded.own(scenario) != []


def pairs(calls: Array, ends: OtherEnds) -> set[tuple[tuple[int, int], tuple[int, int]]]:
    """Return connection and t0 of the client and the server of each joined call."""
    named = list(zip(calls["connection"].tolist(), calls["t0"].tolist()))
    clients = np.flatnonzero((ends.indices >= 0) & (calls["role"] == Role.CLIENT))
    return {(named[client], named[ends.indices[client]]) for client in clients.tolist()}


def true_pairs(calls: Array) -> set[tuple[tuple[int, int], tuple[int, int]]]:
    """Return the same of all calls: those of a client's port, in their order, are those of a server with that peer."""
    of_port: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for call in np.sort(calls, order="t0"):
        port = call["local_port"] if call["role"] == Role.CLIENT else call["peer_port"]
        of_port.setdefault((int(port), int(call["role"])), []).append((int(call["connection"]), int(call["t0"])))
    clients = [(port, ends) for (port, role), ends in of_port.items() if role == Role.CLIENT]
    return {pair for port, ends in clients for pair in zip(ends, of_port[port, Role.SERVER])}


def test_both_ends_of_all_calls_are_joined_on_one_host(recorded: Recorded) -> None:
    calls = protocol_checks.read(recorded.capture).calls

    ends = other_ends(calls, np.zeros(len(calls), np.intp))

    assert pairs(calls, ends) == true_pairs(calls)
    assert len(pairs(calls, ends)) * 2 == len(calls)


def test_without_addresses_and_on_another_clock_all_answered_calls_are_joined(recorded: Recorded) -> None:
    calls = protocol_checks.read(recorded.capture).calls
    true = true_pairs(calls[calls["outcome"] == Outcome.ANSWERED])
    is_server = calls["role"] == Role.SERVER
    far = calls.copy()
    for name in ("local_address", "peer_address", "local_port", "peer_port"):
        far[name] = np.zeros(1, far[name].dtype)
    for name in ("t0", "t1", "t2", "t3"):
        far[name][is_server] += np.uint64(10**12)

    ends = other_ends(far, is_server.astype(np.intp))

    assert pairs(calls, ends) == true
    assert ends.offsets[0, 1].least <= 10**12 <= ends.offsets[0, 1].most


def test_without_sequence_numbers_what_is_joined_is_right(recorded: Recorded) -> None:
    calls = protocol_checks.read(recorded.capture).calls
    older = calls.copy()
    older["request_seq"] = older["response_seq"] = 0

    found = pairs(calls, other_ends(older, np.zeros(len(calls), np.intp)))

    assert found <= true_pairs(calls)
    assert len(found) >= len(calls) // 4
