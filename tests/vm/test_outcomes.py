"""Every way in which a call can go, in the guest, with fexit and with kprobes, against the client's own clock."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from httpcapture import Outcome, Role, RoleSource, StackStatus, open_capture
from httpreport.recording import Recording, load
from httpreport.selection import Selection
from vm import recorded

SLACK_NS = 100_000_000  # how much longer a call may seem to its client, on an emulated machine that others load
SLOW_NS = 300_000_000
REQUEST_BYTES, RESPONSE_BYTES = 35, 43
ALL_CALLS = ("fexit", "kprobe")


@dataclass(frozen=True)
class Seen:
    """What the driver brought back."""

    captures: Mapping[str, Recording]
    scenarios: Mapping[str, dict[str, Any]]
    printed: Mapping[str, str]

    def calls(self, capture: str, scenario: str, side: str) -> Any:
        calls = self.captures[capture].calls
        mine = calls[calls["pid"] == self.scenarios[scenario][f"{side}_pid"]]
        return mine[np.argsort(mine["t0"])]

    def only(self, capture: str, scenario: str, side: str) -> Any:
        (call,) = self.calls(capture, scenario, side)
        return call


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    out = tmp_path_factory.mktemp("outcomes")
    sources = [Path(__file__).with_name("outcomes_driver.py"), recorded.TESTS / "workload"]
    recorded.run(["python3", "outcomes_driver.py"], sources, out, timeout_s=300)
    scenarios = json.loads((out / "seen.json").read_text())
    captures = {}
    for path in out.glob("*.cap"):
        with open_capture(path) as reader:
            captures[path.stem] = load(reader, Selection(0))
    printed = {path.stem: path.read_text() for path in out.glob("*.out")}
    return Seen(captures, scenarios, printed)


@pytest.fixture(params=ALL_CALLS)
def probes(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def duration(call: Any) -> int:
    return int(call["t2"]) - int(call["t0"])


def assert_within(inner: tuple[int, int], outer: tuple[int, int]) -> None:
    """What the kernel saw lies within what the client saw, who looks at the clock before and after; not far from it."""
    assert outer[0] <= inner[0] <= inner[1] <= outer[1]
    assert outer[1] - outer[0] - (inner[1] - inner[0]) < SLACK_NS


ANSWERED = [
    "plain", "ipv6", "mapped", "abcdefghijklmno", "keepalive", "peek", "nonblocking", "two_threads",
    "slow_upload", "slow_download", "sendfile", "half_closed", "late_reader", "reset_reader", "older",
]  # fmt: skip


@pytest.mark.parametrize("scenario", ANSWERED)
def test_an_answered_call_has_the_clients_own_times(seen: Seen, probes: str, scenario: str) -> None:
    calls = seen.calls(probes, scenario, "client")
    own = seen.scenarios[scenario]["calls"]
    assert len(calls) == len(own)
    for call, (t0, t2, *_) in zip(calls, own):
        assert call["outcome"] == Outcome.ANSWERED
        assert call["role"] == Role.CLIENT
        assert_within((int(call["t0"]), int(call["t2"])), (t0, t2))


@pytest.mark.parametrize("scenario", ANSWERED)
def test_the_other_side_sees_a_server_call_of_its_own(seen: Seen, probes: str, scenario: str) -> None:
    calls = seen.calls(probes, scenario, "server")
    assert len(calls) == len(seen.scenarios[scenario]["calls"])
    for call in calls:
        assert (call["outcome"], call["role"]) == (Outcome.ANSWERED, Role.SERVER)
        assert duration(call) >= SLOW_NS
        assert call["stack_status"] == StackStatus.RECORDED


@pytest.mark.parametrize("scenario", [*ANSWERED, "eof", "reset", "closed", "in_flight"])
def test_processes_and_addresses_are_those_of_the_sockets(seen: Seen, probes: str, scenario: str) -> None:
    own = seen.scenarios[scenario]
    address = b"\0" * 15 + b"\x01" if scenario == "ipv6" else b"\0" * 10 + b"\xff\xff\x7f\0\0\x01"
    for side, other in (("client", "server"), ("server", "client")):
        for call in seen.calls(probes, scenario, side):
            assert (call["local_port"], call["peer_port"]) == (own[f"{side}_port"], own[f"{other}_port"])
            assert (call["local_address"], call["peer_address"]) == (address, address)
            assert call["comm"] == call["process"] == (scenario if side == "client" else scenario[:14] + "S").encode()


@pytest.mark.parametrize(
    ("scenario", "outcome"), [("eof", Outcome.EOF), ("reset", Outcome.RESET), ("closed", Outcome.CLOSED)]
)
def test_a_call_that_ends_without_an_answer_says_how(seen: Seen, probes: str, scenario: str, outcome: Outcome) -> None:
    call = seen.only(probes, scenario, "client")
    ((t0, end),) = seen.scenarios[scenario]["calls"]
    assert call["outcome"] == outcome
    assert_within((int(call["t0"]), int(call["t2"])), (t0, end))
    assert duration(call) > SLOW_NS
    assert (call["sent"], call["received"]) == (REQUEST_BYTES, 0)
    assert call["stack_status"] == StackStatus.RECORDED


def test_a_server_that_closes_without_answering_has_closed(seen: Seen, probes: str) -> None:
    for scenario in ("eof", "reset"):
        assert seen.only(probes, scenario, "server")["outcome"] == Outcome.CLOSED


def test_a_call_that_waits_when_the_recording_ends_is_in_flight(seen: Seen, probes: str) -> None:
    end = seen.captures[probes].end
    assert end is not None
    client = seen.only(probes, "in_flight", "client")
    assert client["outcome"] == Outcome.IN_FLIGHT
    assert client["t2"] == end.at_ns
    assert 0 <= int(client["t0"]) - seen.scenarios["in_flight"]["calls"][0][0] < SLACK_NS
    assert client["stack"] in seen.captures[probes].stacks
    server = seen.only(probes, "in_flight", "server")
    assert (server["outcome"], server["stack_status"]) == (Outcome.IN_FLIGHT, StackStatus.NOT_TAKEN)
    assert end.in_flight == 3  # these two, and the server of `closed`, which never answers either


def test_a_connection_older_than_the_recorder_tells_its_role_by_its_payload(seen: Seen, probes: str) -> None:
    assert seen.only(probes, "older", "client")["role_source"] == RoleSource.PAYLOAD
    assert seen.only(probes, "plain", "client")["role_source"] == RoleSource.CONNECTION


def test_sender_and_receiver_of_one_socket_are_told_apart(seen: Seen, probes: str) -> None:
    call = seen.only(probes, "two_threads", "client")
    assert call["tid"] == seen.scenarios["two_threads"]["client_pid"]
    assert call["receive_tid"] == seen.scenarios["two_threads"]["calls"][0][2]


def test_a_request_in_parts_is_sent_until_its_last_part(seen: Seen, probes: str) -> None:
    call = seen.only(probes, "slow_upload", "client")
    assert 0 <= int(call["t1"]) - int(call["t0"]) - SLOW_NS < SLACK_NS
    assert duration(call) > 2 * SLOW_NS


@pytest.mark.parametrize(("scenario", "size"), [("slow_download", 43 + 100005), ("sendfile", 43 + 100000)])
def test_the_response_is_followed_to_its_last_byte(seen: Seen, probes: str, scenario: str, size: int) -> None:
    call = seen.only(probes, scenario, "client")
    ((t0, _, t3),) = seen.scenarios[scenario]["calls"]
    assert_within((int(call["t0"]), int(call["t3"])), (t0, t3))
    assert call["received"] == seen.only(probes, scenario, "server")["sent"]
    assert call["received"] >= size - RESPONSE_BYTES


def test_both_kinds_of_probes_record_the_same_calls(seen: Seen) -> None:
    fields = ["pid", "tid", "receive_tid", "local_port", "peer_port", "role", "outcome", "sent", "received", "sequence"]
    both = [sorted(seen.captures[probes].calls[fields].tolist()) for probes in ALL_CALLS]
    assert both[0] == both[1]
    assert [seen.captures[probes].meta.probes for probes in ALL_CALLS] == list(ALL_CALLS)


def test_a_process_filter_records_its_processes_only(seen: Seen) -> None:
    expected = [b"abcdefghijklmno", b"keepalive", b"keepalive", b"keepaliveS", b"keepaliveS"]
    assert sorted(seen.captures["named"].calls["comm"].tolist()) == expected


def test_nothing_is_lost_and_the_ledger_adds_up(seen: Seen) -> None:
    for recording in seen.captures.values():
        assert recording.end is not None
        assert recording.cut_off is None
        assert not any(recording.lost.values())
        assert recording.end.emitted == recording.end.recorded == len(recording.calls)


def test_each_call_is_printed_as_it_is_recorded(seen: Seen) -> None:
    own = seen.scenarios["abcdefghijklmno"]
    lines = seen.printed["named"].splitlines()
    assert lines[0] == "Tracing... Hit Ctrl-C to end. (Duration threshold: 100 ms)"
    assert lines[1] == "Process filters: abcdefghijklmno, k?ep[!b-z]liv*"
    assert lines[2] == f"PID: {own['client_pid']}, Comm: abcdefghijklmno, Stack ID: 1"
    assert lines[3].startswith("Duration: 3")
    assert lines[3].endswith(f" ms, Size: {REQUEST_BYTES + RESPONSE_BYTES} bytes")
    assert lines[4] == f"Src IP: 127.0.0.1, Dst IP: 127.0.0.1, Dst Port: {own['server_port']}"
