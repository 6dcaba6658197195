"""Check every possible outcome of a call in a guest, with fexit and with kprobes, against the client's own clock."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from httpcapture import Outcome, Role, RoleSource, StackStatus, open_capture
from httpreport.calls.filters import Selection
from httpreport.capture.loader import load
from httpreport.capture.recording import Recording
from httpreport.languages.stack_trace import StackTrace
from httpreport.outputs import stack_traces
from httpreport.outputs.output import OneCapture, Reported
from httpreport.report.aggregate import aggregate_of
from httpreport.report.frame_choice import FrameChoice, Frames
from httpreport.report.report import Report, make_report
from httpreport.symbols.binary_lookup import Binaries
from vm import recorded

SLOW_NS = 300_000_000
REQUEST_BYTES, RESPONSE_BYTES = 35, 43
ALL_CALLS = ("fexit", "kprobe")
MAIN, THREAD = r"_start", r"libc\.so\.6\+0x[0-9a-f]+"  # where a thread begins; clone3 has no name in a stripped libc


@dataclass(frozen=True)
class Seen:
    """Hold what the driver brought back."""

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

    @cached_property
    def reports(self) -> Mapping[str, Report]:
        """Return reports of all frames, which are named from the captures alone."""
        no_binaries = Binaries(root="/nonexistent").find
        return {
            name: make_report(recording, Selection(0), no_binaries, FrameChoice(Frames.ALL))
            for name, recording in self.captures.items()
        }

    def traces(self, capture: str, scenario: str, side: str) -> tuple[StackTrace, StackTrace]:
        """Return the stack traces of the sending and the receiving side."""
        report = self.reports[capture]
        (place,) = np.flatnonzero(report.recording.calls["pid"] == self.scenarios[scenario][f"{side}_pid"])
        return report.trace(int(place)), report.traces[report.receive_trace_of[place]]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    out = tmp_path_factory.mktemp("outcomes")
    sources = [Path(__file__).with_name("outcomes_driver.py"), recorded.TESTS / "workload"]
    recorded.run(["python3", "outcomes_driver.py"], sources, out, suite="bookworm")  # whose frames of libc are expected
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


def assert_within(call: Any, own: Mapping[str, Any], *times: str) -> None:
    """Check that the kernel's times lie between those of the client, which reads the clock before and after each
    action."""
    for time in times:
        earliest, latest = own[time]
        assert earliest <= int(call[time]) <= latest, time


def assert_whole(trace: StackTrace, leaf: str, outermost: str) -> None:
    assert trace.incomplete is None
    assert leaf in trace.frames[0].label
    assert re.fullmatch(outermost, trace.frames[-1].label)
    assert "_PyEval_EvalFrameDefault" in [frame.name for frame in trace.frames]


ANSWERED = [
    "plain", "ipv6", "mapped", "abcdefghijklmno", "keepalive", "peek", "nonblocking", "two_threads", "two_server",
    "slow_upload", "slow_download", "sendfile", "half_closed", "late_reader", "reset_reader", "older",
]  # fmt: skip


@pytest.mark.parametrize("scenario", ANSWERED)
def test_an_answered_call_has_the_clients_own_times(seen: Seen, probes: str, scenario: str) -> None:
    calls = seen.calls(probes, scenario, "client")
    own = seen.scenarios[scenario]["calls"]
    assert len(calls) == len(own)
    for call, times in zip(calls, own):
        assert call["outcome"] == Outcome.ANSWERED
        assert call["role"] == Role.CLIENT
        assert_within(call, times, "t0", "t2")


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
    (own,) = seen.scenarios[scenario]["calls"]
    assert call["outcome"] == outcome
    assert_within(call, own, "t0", "t2")
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
    assert_within(client, seen.scenarios["in_flight"]["calls"][0], "t0")
    stacks = {stack.id for stack in seen.captures[probes].stacks}
    assert client["stack"] in stacks
    server = seen.only(probes, "in_flight", "server")
    assert (server["outcome"], server["stack_status"]) == (Outcome.IN_FLIGHT, StackStatus.NOT_TAKEN)
    assert client["receive_stack_status"] == StackStatus.NOT_TAKEN
    assert server["receive_stack_status"] == StackStatus.RECORDED
    assert server["receive_stack"] in stacks
    assert_whole(seen.traces(probes, "in_flight", "server")[1], "recv", MAIN)
    assert end.in_flight == 3  # these two, and the server of `closed`, which never answers either


def test_a_connection_older_than_the_recorder_tells_its_role_by_its_payload(seen: Seen, probes: str) -> None:
    assert seen.only(probes, "older", "client")["role_source"] == RoleSource.PAYLOAD
    assert seen.only(probes, "plain", "client")["role_source"] == RoleSource.CONNECTION


def test_sender_and_receiver_of_one_socket_are_told_apart(seen: Seen, probes: str) -> None:
    call = seen.only(probes, "two_threads", "client")
    assert call["tid"] == seen.scenarios["two_threads"]["client_pid"]
    assert call["receive_tid"] == seen.scenarios["two_threads"]["calls"][0]["tid"]


@pytest.mark.parametrize(
    ("scenario", "side", "receiver"),
    [("plain", "client", MAIN), ("two_threads", "client", THREAD), ("two_server", "server", THREAD)],
)
def test_both_sides_of_a_call_have_their_own_stack(
    seen: Seen, probes: str, scenario: str, side: str, receiver: str
) -> None:
    sending, receiving = seen.traces(probes, scenario, side)
    assert_whole(sending, "send", MAIN)
    assert_whole(receiving, "recv", receiver)


def test_both_stacks_are_shown_with_their_threads(seen: Seen, probes: str) -> None:
    report = seen.reports[probes]
    listing = OneCapture(stack_traces.listed, report, "run.cap")
    made = stack_traces.report(Reported(aggregate_of(report, "run.cap"), listing))
    lines = b"".join(made).decode().split("\n")
    for scenario, side in (("two_threads", "client"), ("two_server", "server")):
        own = seen.scenarios[scenario]
        receive_tid = own["calls"][0]["tid"]
        assert receive_tid != own[f"{side}_pid"]
        heading = f"Receive stack trace (tid {receive_tid}, Stack ID "
        at = next(place for place, line in enumerate(lines) if line.startswith(heading))
        assert re.match(r" +\w*recv ", lines[at + 1])
        tid = next(line for line in lines[at:] if line.startswith("Process: "))
        assert f"TID: {own[f'{side}_pid']}," in tid


def test_both_sides_are_recorded_by_frame_pointers_too(seen: Seen) -> None:
    recording = seen.captures["named"]
    for call in recording.calls:
        sides = [name for name in ("stack", "receive_stack") if call[f"{name}_status"] == StackStatus.RECORDED]
        stacks = [stack for _, stack in recording.stacks.some([call[name] for name in sides])]
        assert len({stack.frames for stack in stacks}) == len(stacks) == (1 + (call["outcome"] == Outcome.ANSWERED))
        assert all(stack.frames and not stack.registers and not stack.memory for stack in stacks)


def test_a_stack_that_was_copied_was_not_walked_as_well(seen: Seen, probes: str) -> None:
    stacks = list(seen.captures[probes].stacks)
    assert stacks
    assert all(stack.registers and stack.memory and not stack.frames for stack in stacks)


def test_a_request_in_parts_is_sent_until_its_last_part(seen: Seen, probes: str) -> None:
    call = seen.only(probes, "slow_upload", "client")
    assert_within(call, seen.scenarios["slow_upload"]["calls"][0], "t0", "t1", "t2")
    assert duration(call) > 2 * SLOW_NS


@pytest.mark.parametrize(("scenario", "size"), [("slow_download", 43 + 100005), ("sendfile", 43 + 100000)])
def test_the_response_is_followed_to_its_last_byte(seen: Seen, probes: str, scenario: str, size: int) -> None:
    call = seen.only(probes, scenario, "client")
    (own,) = seen.scenarios[scenario]["calls"]
    assert_within(call, own, "t0", "t2", "t3")
    assert call["received"] == seen.only(probes, scenario, "server")["sent"]
    assert call["received"] >= size - RESPONSE_BYTES


def test_both_kinds_of_probes_record_the_same_calls(seen: Seen) -> None:
    fields = ["pid", "tid", "receive_tid", "local_port", "peer_port", "role", "outcome", "sent", "received", "sequence"]
    every = [seen.captures[probes].calls for probes in ALL_CALLS]
    hasty = [seen.scenarios["hasty"][f"{side}_pid"] for side in ("client", "server")]  # not slow, unless the host is
    both = [sorted(calls[~np.isin(calls["pid"], hasty)][fields].tolist()) for calls in every]
    assert both[0] == both[1]
    assert [seen.captures[probes].meta.probes for probes in ALL_CALLS] == list(ALL_CALLS)


def test_a_process_filter_records_its_processes_only(seen: Seen) -> None:
    expected = [b"abcdefghijklmno", b"in_flight", b"in_flightS"]
    expected += [b"keepalive", b"keepalive", b"keepaliveS", b"keepaliveS"]
    assert sorted(seen.captures["named"].calls["comm"].tolist()) == expected


def test_nothing_is_lost_and_the_ledger_adds_up(seen: Seen) -> None:
    """No stack slot is lost either: there are 8 of them, and more than 300 stacks wait for their calls one after the
    other."""
    for recording in seen.captures.values():
        assert recording.end is not None
        assert recording.cut_off is None
        assert not recorded.lost(recording.lost)
        assert recording.end.emitted == recording.end.recorded == len(recording.calls)


def test_each_call_is_printed_as_it_is_recorded(seen: Seen) -> None:
    own = seen.scenarios["abcdefghijklmno"]
    lines = seen.printed["named"].splitlines()
    assert lines[0] == "Tracing... Hit Ctrl-C to end. (Duration threshold: 100 ms)"
    assert lines[1] == "Process filters: abcdefghijklmno, k?ep[!b-z]liv*, in_fl?ght*"
    assert lines[2] == f"PID: {own['client_pid']}, Comm: abcdefghijklmno, Stack ID: 1"
    assert lines[3].startswith("Duration: 3")
    assert lines[3].endswith(f" ms, Size: {REQUEST_BYTES + RESPONSE_BYTES} bytes")
    assert lines[4] == f"Src IP: 127.0.0.1, Dst IP: 127.0.0.1, Dst Port: {own['server_port']}"
