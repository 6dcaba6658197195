"""Record calls over a slow network that loses packets (tests/workload/far_calls.py), and compare what the recorder says
of the network with what the ends' own clocks and TCP_INFO say."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from httpcapture import Calls, Meta, Role, open_capture
from httpcapture.codings import CASTS
from support.commands import TESTS
from support.programs import running
from workload.recorder import recording

THRESHOLD_MS = 50  # below the round trip of the network
CLEAR = ("/first", "/lost-request", "/lost-answer", "/lost-part")
TLS = ("/TLSv1_2", "/TLSv1_3")
PATHS = CLEAR + TLS

Call = dict[str, Any]


class Recorded(NamedTuple):
    """Hold what was recorded and what the ends read, by role and path."""

    recorded: dict[tuple[Role, str], Call]
    own: dict[tuple[Role, str], Call]
    round_trip_ns: float  # less than which nothing takes


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    if os.geteuid() != 0 or not Path("/dev/net/tun").exists():
        pytest.skip("not root, or no TUN device: cannot make a network")
    folder = tmp_path_factory.mktemp("far")
    (folder / "far").symlink_to(os.path.realpath(sys.executable))
    capture = folder / "run.cap"
    with running("unshare", "--net", folder / "far", TESTS / "workload" / "far_calls.py") as program:
        assert program.stdin is not None and program.stdout is not None
        assert program.stdout.readline() == "ready\n"
        with recording(capture, "-t", str(THRESHOLD_MS), "-p", "far"):
            print(file=program.stdin, flush=True)
            own = json.loads(program.stdout.readline())
    by_end = [(Role.CLIENT, own["client"]), (Role.SERVER, own["server"])]
    read = {(role, call["path"]): call for role, calls in by_end for call in calls}
    return Recorded(by_path(list(calls_in(capture))), read, own["round_trip_ns"])


def calls_in(capture: Path) -> Iterator[Call]:
    with open_capture(capture) as reader:
        for record in reader:
            if isinstance(record, Meta):
                numbers = [field for field in record.call_layout.fields if field.type.startswith("u")]
            if isinstance(record, Calls):
                bits = {field.name: int(field.type[1:]) for field in numbers}
                columns = {name: record.columns[name].cast("B").cast(CASTS[bits[name] // 8]) for name in bits}
                for row in range(record.rows):
                    yield {name: column[row] for name, column in columns.items()}


def by_path(calls: list[Call]) -> dict[tuple[Role, str], Call]:
    """Return the calls by role and path. Each end has its calls of clear text on one connection, in their order, and
    then one on each of two more."""
    found = {}
    for role in (Role.CLIENT, Role.SERVER):
        own = sorted((call for call in calls if call["role"] == role), key=lambda call: call["t0"])
        tls = iter(TLS)
        for call in own:
            found[role, next(tls) if call["is_encrypted"] else CLEAR[call["sequence"] - 1]] = call
    return found


def test_each_slow_call_is_there(far: Recorded) -> None:
    assert far.recorded.keys() == {(role, path) for role in (Role.CLIENT, Role.SERVER) for path in PATHS}


@pytest.mark.parametrize("path", ["/first", *TLS])
def test_connecting_takes_a_round_trip_and_no_longer_than_by_the_clients_clock(far: Recorded, path: str) -> None:
    connect_time = far.recorded[Role.CLIENT, path]["connect_time"]
    assert far.round_trip_ns <= connect_time <= far.own[Role.CLIENT, path]["connect_ns"]


@pytest.mark.parametrize("role", [Role.CLIENT, Role.SERVER])
@pytest.mark.parametrize("path", TLS)
def test_the_handshake_takes_no_longer_than_by_the_ends_own_clocks(far: Recorded, role: Role, path: str) -> None:
    """A client waits for one round trip in TLS 1.3 and for two in TLS 1.2, a server for one in both."""
    trips = 2 if (role, path) == (Role.CLIENT, "/TLSv1_2") else 1
    handshake_time = far.recorded[role, path]["handshake_time"]
    assert trips * far.round_trip_ns <= handshake_time <= far.own[role, path]["handshake_ns"]


def test_only_the_first_call_of_a_clients_connection_tells_of_connecting(far: Recorded) -> None:
    told = {key for key, call in far.recorded.items() if call["connect_time"]}
    assert told == {(Role.CLIENT, path) for path in ("/first", *TLS)}


def test_only_the_first_call_of_an_encrypted_connection_tells_of_a_handshake(far: Recorded) -> None:
    told = {key for key, call in far.recorded.items() if call["handshake_time"]}
    assert told == {(role, path) for role in (Role.CLIENT, Role.SERVER) for path in TLS}


@pytest.mark.parametrize("path", PATHS)
def test_the_round_trip_is_that_of_the_clients_socket(far: Recorded, path: str) -> None:
    assert far.recorded[Role.CLIENT, path]["round_trip"] == far.own[Role.CLIENT, path]["after"]["round_trip"]


@pytest.mark.parametrize("name", ["retransmitted", "out_of_order"])
@pytest.mark.parametrize("path", PATHS)
def test_the_faults_of_a_call_are_those_that_the_client_counts(far: Recorded, path: str, name: str) -> None:
    own = far.own[Role.CLIENT, path]
    assert far.recorded[Role.CLIENT, path][name] == own["after"][name] - own["before"][name]


@pytest.mark.parametrize("path", PATHS)
def test_the_segments_are_those_that_the_client_counts(far: Recorded, path: str) -> None:
    """An acknowledgement may be sent between a reading of the client and one of the recorder."""
    own = far.own[Role.CLIENT, path]
    counted = own["after"]["segments"] - own["before"]["segments"]
    assert counted - 2 <= far.recorded[Role.CLIENT, path]["segments"] <= counted


def test_what_was_lost_is_found(far: Recorded) -> None:
    lost_request, lost_answer = (far.recorded[Role.CLIENT, path] for path in ("/lost-request", "/lost-answer"))
    assert lost_request["retransmitted"] >= 1 and lost_answer["out_of_order"] >= 1


def test_a_servers_call_that_becomes_slow_later_counts_up_to_then(far: Recorded) -> None:
    call, own = far.recorded[Role.SERVER, "/lost-part"], far.own[Role.SERVER, "/lost-part"]
    assert call["stack_is_late"]
    assert call["retransmitted"] == own["after"]["retransmitted"] - own["before"]["retransmitted"] >= 1
