"""Check in a guest that every slow call of real programs is in the capture once, with the times of the programs' own
clocks."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import numpy as np
import pytest
from click.testing import CliRunner

from httpcapture import Outcome, Role, Stack, open_capture
from httpreport.calls.call import Call, iterate_calls
from httpreport.calls.filters import Selection
from httpreport.calls.protocol import Kind
from httpreport.capture.loader import load
from httpreport.capture.recording import Recording
from httpreport.cli.main import main
from httpreport.outputs.registry import FOLDED, STACK_TRACES
from support.empty_roots import report_below
from vm import recorded
from vm.own_calls import MS, OwnCall, Pairs, pair, read_own_calls
from workload.calls_driver import FILTERED, PLAN

THRESHOLD_NS = 100 * MS
CLIENTS = ["curl", "http.client", "requests", "aiohttp", "node", "nova-api", "nginx"]
# nginx reads a clock that stands still between the ticks of the kernel's timer (CLOCK_MONOTONIC_COARSE, every 4 ms in
# Debian's kernels, and later where the host is busy), and cuts off what is less than a millisecond.
COARSE = ["nginx"]
PRECISE = [client for client in CLIENTS if client not in COARSE]
EVERY_CLIENT = pytest.mark.parametrize("client", CLIENTS)


@dataclass(frozen=True)
class Guest:
    """Hold what came back from a guest."""

    out: Path
    capture: Recording  # calls.cap
    cpus: int
    blocked_readers: int
    upstream_pid: int

    def own(self, client: str) -> list[OwnCall]:
        return read_own_calls(self.out / f"{client}.jsonl")

    def calls(self, role: Role) -> list[Call]:
        """Return the calls with this role, in the order of time."""
        return [call for call in in_order(self.capture) if call.role == role]

    def pairs(self, client: str) -> Pairs:
        own = self.own(client)
        pids = {mine.pid for mine in own}
        calls = [call for call in self.calls(Role.CLIENT) if call.pid in pids]
        return pair(own, calls)


def read(capture: Path, keep: Selection) -> Recording:
    with open_capture(capture) as reader:
        return load(reader, keep)


def in_order(recording: Recording) -> list[Call]:
    return list(iterate_calls(recording.calls, np.argsort(recording.calls["t0"], kind="stable")))


@pytest.fixture(scope="module", params=["fexit", pytest.param("kprobe", marks=pytest.mark.every_kernel)])
def guest(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Guest:
    out = tmp_path_factory.mktemp(f"calls-{request.param}")
    command = ["python3", "-m", "workload.calls_driver", "/tmp/out", request.param]
    recorded.run(command, [recorded.TESTS / "workload"], out)
    return Guest(out, read(out / "calls.cap", Selection(0)), **json.loads((out / "facts.json").read_text()))


@EVERY_CLIENT
def test_each_slow_call_is_recorded_once_and_no_call_that_was_not_made(guest: Guest, client: str) -> None:
    pairs = guest.pairs(client)
    assert [mine for mine in pairs.not_recorded if mine.is_slow] == []
    assert pairs.not_made == []
    assert sum(mine.is_slow for mine, _ in pairs.same) == PLAN.slow == 23
    made = guest.own(client)
    assert (len(made), sum(mine.is_slow for mine in made)) == (PLAN.slow + PLAN.fast, PLAN.slow)


@EVERY_CLIENT
def test_a_call_has_its_process_thread_addresses_and_role(guest: Guest, client: str) -> None:
    for mine, call in guest.pairs(client).same:
        assert (call.pid, call.tid, call.role) == (mine.pid, mine.tid, Role.CLIENT)
        assert (call.comm.decode(), call.process.decode()) == (mine.comm, mine.process)
        assert (call.source, call.destination) == (mine.local, mine.peer)
        assert (call.outcome, call.kind, call.method, call.status) == (Outcome.ANSWERED, Kind.HTTP, b"GET", 200)


@pytest.mark.parametrize("client", PRECISE)
def test_no_call_is_recorded_that_was_fast_by_the_client_s_own_clock(guest: Guest, client: str) -> None:
    """Nor is one recorded as longer. An emulated machine stands still whenever its host is busy: a call that was to be
    fast is slow by both clocks then."""
    for mine, call in guest.pairs(client).same:
        assert call.duration_ns >= THRESHOLD_NS
        assert call.t2 - call.t0 <= mine.most_ns


@EVERY_CLIENT
def test_a_first_byte_comes_when_the_client_says(guest: Guest, client: str) -> None:
    """Most of them: the machine may stand still between the kernel's look at the clock and the client's."""
    differences = [mine.differs_ns(call.t2 - call.t0) for mine, call in guest.pairs(client).same if mine.is_slow]
    assert median(differences) <= (3 * MS if client in COARSE else 2 * MS)


@pytest.mark.parametrize("client", [client for client in PRECISE if client != "curl"])
def test_a_call_lies_between_the_client_s_own_t0_and_t2(guest: Guest, client: str) -> None:
    for mine, call in guest.pairs(client).same:
        assert mine.t0 is not None and mine.t2 is not None
        assert mine.t0 <= call.t0 < call.t2 <= mine.t2


def test_each_slow_call_is_recorded_in_its_server_too(guest: Guest) -> None:
    servers = {
        "upstream": (guest.upstream_pid, b"python3"),
        "nginx": (guest.own("nginx")[0].pid, b"nginx"),
        "nova-api": (guest.own("nova-api")[0].pid, b"nova-api"),
    }
    asked = {"curl": "nova-api", "nova-api": "nginx"}
    answered = guest.calls(Role.SERVER)
    for client in CLIENTS:
        for mine, call in guest.pairs(client).same:
            matching = [other for other in answered if is_other_side(call, other)]
            if mine.is_slow:
                assert len(matching) == 1
            for other in matching:
                answered.remove(other)
                assert (other.pid, other.process) == servers[asked.get(client, "upstream")]
                assert (other.outcome, other.method, other.status) == (Outcome.ANSWERED, b"GET", 200)
                assert other.duration_ns >= (PLAN.slow_ms * MS if mine.is_slow else THRESHOLD_NS)
    assert answered == []


def is_other_side(client: Call, server: Call) -> bool:
    """Return whether two calls are both ends of one: a server gets the request after it was sent, and answers before
    the answer arrives."""
    same_ends = (client.source, client.destination) == (server.source, server.destination)
    return same_ends and client.t0 < server.t0 < server.t2 < client.t2


def test_no_call_is_of_another_process(guest: Guest) -> None:
    known = {mine.pid for client in CLIENTS for mine in guest.own(client)} | {guest.upstream_pid}
    assert {call.pid for call in in_order(guest.capture)} <= known
    assert guest.calls(Role.UNKNOWN) == []


def test_nothing_is_lost_beside_blocked_readers(guest: Guest) -> None:
    assert guest.blocked_readers > 2 * guest.cpus
    assert not recorded.lost(guest.capture.lost)
    end = guest.capture.end
    assert end is not None and end.clean and guest.capture.cut_off is None
    assert end.emitted == end.recorded == guest.capture.recorded == len(guest.capture.calls)


def test_filtering_a_capture_of_all_calls_equals_recording_with_the_filter(guest: Guest, tmp_path: Path) -> None:
    everything, filtered = guest.out / "all.cap", guest.out / "filtered.cap"
    # By the first byte: a call that becomes slow later has the stack of that moment if its recorder has a threshold.
    afterwards = read(everything, Selection(300 * MS, (b"nova-api",), first_byte=True))
    at_once = read(filtered, Selection(300 * MS, first_byte=True))
    assert sum(call.duration_ns >= FILTERED.slow_ms * MS for call in in_order(at_once)) >= 2 * FILTERED.slow
    assert {call.role for call in in_order(at_once)} == {Role.CLIENT, Role.SERVER}
    assert afterwards.recorded > len(afterwards.calls)
    pairs = list(zip(by_connection(afterwards), by_connection(at_once)))
    assert len(pairs) == len(afterwards.calls) == len(at_once.calls)
    for one, other in pairs:
        assert likeness(one) == likeness(other)
        assert stack(afterwards, one) == stack(at_once, other)
        assert heads(afterwards, one) == heads(at_once, other) != (b"", b"")
        # Each recorder has its own probes, and so its own times, of which one is after the other.
        assert one.t0 < other.t2 and other.t0 < one.t2
    options = ("-t", "300", "--first-byte")
    folded = report(everything, tmp_path / "afterwards", *options, "-p", "nova-api")
    assert folded == report(filtered, tmp_path / "at once", *options) != []


def test_every_slow_call_of_nova_api_names_the_functions_that_made_it(guest: Guest, tmp_path: Path) -> None:
    """From the capture alone, in an empty root."""
    shutil.copy(guest.out / "calls.cap", tmp_path / "run.cap")
    report_below(tmp_path, options=("-t", "300", "-p", "nova-api"))

    blocks = (tmp_path / STACK_TRACES.name).read_text().split("\n\n")
    made = [block for block in blocks if "\nRole: client, " in block]
    assert len(made) >= PLAN.slow
    lines = (recorded.TESTS / "workload" / "nova_api.py").read_text().splitlines()
    view = [
        f"    {function} (/tmp/job/workload/nova_api.py:{1 + lines.index(line)})\n"
        for function, line in (
            ("get_servers", '        connection.request("GET", path)'),
            ("application", '    body = get_servers(environ["PATH_INFO"])'),
        )
    ]
    assert [block for block in made if "".join(view) not in block] == []


def by_connection(recording: Recording) -> list[Call]:
    return sorted(in_order(recording), key=lambda call: (call.pid, call.local_port, call.peer_port, call.t0))


def likeness(call: Call) -> Call:
    """Return a call without its times and without the numbers that each recorder assigns itself."""
    call = call._replace(connection=0, sequence=0, stack=0, t0=0, t1=0, t2=0, t3=0, duration_ns=0)
    return call._replace(connect_time=0, handshake_time=0, request=0, response=0)


def heads(recording: Recording, call: Call) -> tuple[bytes, bytes]:
    """Return the heads of a call's request and response."""
    return recording.heads.texts[call.request], recording.heads.texts[call.response]


def stack(recording: Recording, call: Call) -> Stack:
    """Return a call's stack without its number and time."""
    ((_, found),) = recording.stacks.some([call.stack])
    return replace(found, id=0, taken_ns=0)


def report(capture: Path, directory: Path, *options: str) -> list[str]:
    """Return the stacks in stacks.folded without their weights, which are durations."""
    directory.mkdir()
    done = CliRunner().invoke(main, [str(capture), "-o", str(directory), *options])
    assert done.exit_code == 0, done.output
    return [line.rpartition(" ")[0] for line in (directory / FOLDED.name).read_text().splitlines()]
