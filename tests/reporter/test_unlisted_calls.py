"""Check what calls below the threshold change in a report: what others waited for, and nothing else."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from httpcapture import Role, StackStatus
from httpreport.cli.main import main
from httpreport.common import tuning
from httpreport.outputs.joined import lines
from httpreport.report.aggregate import Request
from httpreport.report.headline import kept
from httpreport.report.info import info
from httpreport.report.report import Report
from httpreport.report.slowest_trees import SlowTree, slowest_trees
from support.made_trees import LATENCY_NS, Made, World
from support.recordings import MS, Row, capture
from support.reports import aggregated, json_text, reported

REQUESTS, CALLS, REQUEST_MS, CALL_MS, THRESHOLD_MS = 4, 50, 400, 7, 100
SERVICE = {"process": b"service", "pid": 500, "tid": 501, "receive_tid": 501, "stack_status": StackStatus.NOT_TAKEN}
REQUEST = Row(role=Role.SERVER, connection=1, duration_ns=REQUEST_MS * MS, local_port=8000, **SERVICE)  # type: ignore[arg-type]
CALL = Row(role=Role.CLIENT, connection=2, duration_ns=CALL_MS * MS, peer_port=9000, **SERVICE)  # type: ignore[arg-type]


def many_calls(**of_calls: int) -> tuple[list[Row], list[Row]]:
    """Return requests of 400 ms, and the fifty calls of 7 ms that each makes, one after the other."""
    starts = [number * 1000 * MS for number in range(REQUESTS)]
    requests = [replace(REQUEST, start_ns=at, sequence=number) for number, at in enumerate(starts)]
    return requests, [
        replace(CALL, start_ns=at + (1 + call * CALL_MS) * MS, sequence=CALLS * number + call, **of_calls)  # type: ignore[arg-type]
        for number, at in enumerate(starts)
        for call in range(CALLS)
    ]


def self_ms(report: Report) -> set[tuple[float, float]]:
    """Return the least and the most self time of the listed server calls, in ms."""
    servers = report.recording.calls["role"] == Role.SERVER
    return set(zip(*((times[servers] / MS).tolist() for times in report.self_times)))


def test_self_time_is_without_the_calls_below_the_threshold() -> None:
    requests, calls = many_calls()
    report = reported(capture(requests, short=calls), milliseconds=None)
    assert self_ms(report) == {(REQUEST_MS - CALLS * CALL_MS,) * 2}
    assert len(report.recording.listed) == report.recording.recorded == REQUESTS


def test_without_them_it_holds_their_time() -> None:
    requests, _ = many_calls()
    assert self_ms(reported(capture(requests), milliseconds=None)) == {(REQUEST_MS,) * 2}


@pytest.mark.parametrize("threads", [{"tid": 777}, {"receive_tid": 778}])
def test_where_the_thread_does_not_tell_whose_they_are_self_time_is_a_range(threads: dict[str, int]) -> None:
    requests, calls = many_calls(**threads)
    report = reported(capture(requests, short=calls), milliseconds=None)
    assert self_ms(report) == {(REQUEST_MS - CALLS * CALL_MS, REQUEST_MS)}


def test_calls_of_another_process_change_nothing() -> None:
    requests, calls = many_calls(pid=999)
    assert self_ms(reported(capture(requests, short=calls), milliseconds=None)) == {(REQUEST_MS,) * 2}


@pytest.mark.parametrize("known", [[], [CALL, replace(CALL, peer_port=9001)]])
def test_calls_of_which_it_is_not_known_whose_they_are_are_counted(known: list[Row]) -> None:
    """What they have in common was lost, or contradicts itself."""
    requests, calls = many_calls()
    report = reported(capture(requests, short=calls, connections=known), milliseconds=None)
    assert self_ms(report) == {(REQUEST_MS,) * 2}
    assert report.recording.unlisted.without_process == REQUESTS * CALLS
    assert any(f"of {REQUESTS * CALLS} calls below the threshold" in warning.text for warning in report.warnings)


def test_a_process_that_has_changed_its_name_is_the_same() -> None:
    requests, calls = many_calls()
    known = [CALL, replace(CALL, process=b"another")]
    report = reported(capture(requests, short=calls, connections=known), milliseconds=None)
    assert report.recording.unlisted.without_process == 0
    assert self_ms(report) == {(REQUEST_MS - CALLS * CALL_MS,) * 2}


def test_recorded_calls_that_only_the_threshold_of_the_report_excludes_count_too() -> None:
    requests, calls = many_calls()
    report = reported(capture([*requests, *calls], short=[], threshold_ns=0), milliseconds=THRESHOLD_MS)
    assert len(report.recording.listed) == REQUESTS
    assert self_ms(report) == {(REQUEST_MS - CALLS * CALL_MS,) * 2}


def test_those_of_a_capture_with_all_calls_count_too() -> None:
    requests, calls = many_calls()
    report = reported(capture([*requests, *calls], threshold_ns=0), milliseconds=THRESHOLD_MS)
    assert self_ms(report) == {(REQUEST_MS - CALLS * CALL_MS,) * 2}


def test_those_are_not_held_that_ended_before_a_listed_call_began_or_began_after_it() -> None:
    requests, calls = many_calls()
    report = reported(capture(requests[1:2], short=calls, connections=[CALL]), milliseconds=None)
    assert set(report.recording.unlisted["sequence"].tolist()) == set(range(CALLS, 2 * CALLS))
    assert report.recording.unlisted.below == REQUESTS * CALLS


@pytest.mark.parametrize("first_byte", [False, True])
def test_those_during_the_response_of_a_listed_call_are_held(first_byte: bool) -> None:
    requests, calls = many_calls()
    answered = THRESHOLD_MS * MS
    requests = [replace(one, duration_ns=answered, response_ns=REQUEST_MS * MS - answered) for one in requests]
    report = reported(capture(requests, short=calls, connections=[CALL]), milliseconds=None, first_byte=first_byte)
    assert len(report.recording.unlisted) == REQUESTS * CALLS


def test_a_tree_shows_them_folded(tmp_path: Path) -> None:
    requests, calls = many_calls()
    path = tmp_path / "run.cap"
    path.write_bytes(capture(requests, short=calls))
    said = CliRunner().invoke(main, [str(path), "-o", str(tmp_path), "--tree", "1"], env={"COLUMNS": "200"}).stdout
    assert f"service asks 192.168.1.20:9000 (x {CALLS}, 350 ms in all, the longest shown" in said
    assert "self 50 ms" in said or "self 50.0 ms" in said


def test_they_are_not_among_the_calls_whose_causes_are_counted(tmp_path: Path) -> None:
    requests, calls = many_calls()
    path = tmp_path / "run.cap"
    path.write_bytes(capture(requests, short=calls))
    said = CliRunner().invoke(main, [str(path), "-o", str(tmp_path)], env={"COLUMNS": "200"}).stdout
    assert f"\n{REQUESTS} requests of 1.6 s in all\n" in said


def test_joined_stacks_give_them_their_time() -> None:
    requests, calls = many_calls()
    report = reported(capture(requests, short=calls), milliseconds=None)
    weights = dict(lines(report))
    assert sum(weights.values()) == REQUESTS * REQUEST_MS * MS
    assert weights["service;(self)"] == REQUESTS * (REQUEST_MS - CALLS * CALL_MS) * MS
    below = "service;[no stack: not taken of calls below the threshold];(other end not reported)"
    assert weights[below] == REQUESTS * CALLS * CALL_MS * MS


def test_the_report_says_how_many_the_capture_has() -> None:
    requests, calls = many_calls()
    found = reported(capture(requests, short=calls), milliseconds=None)
    assert json.loads(json_text(found, "run.cap"))["ledger"]["below_threshold"] == len(calls)
    assert f"out of {REQUESTS + len(calls)}" in kept(aggregated(found).captures)
    assert f"{REQUESTS}, of them in flight at the end: 0, and {len(calls)} below the threshold" in info_of(
        capture(requests, short=calls)
    )


def test_what_is_beyond_the_limit_is_left_out_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "MAX_UNLISTED", CALLS)
    requests, calls = many_calls()
    report = reported(capture(requests, short=calls, connections=[CALL]), milliseconds=None)
    assert len(report.recording.unlisted) == CALLS
    said = f"calls below the threshold beyond the limit of {CALLS}: {(REQUESTS - 1) * CALLS} were not read"
    assert any(warning.text.startswith(said) for warning in report.warnings)


def info_of(data: bytes) -> str:
    """Return the lines of --info."""
    return "\n".join(info("run.cap", io.BytesIO(data), Request(), modules=False))


def servers_of(made: Made) -> Iterator[tuple[int, int, int]]:
    """Yield of each request that was made when its server got it, how long it took there, and its self time."""
    end = made.start_ns + made.duration_ns - LATENCY_NS
    points = range(made.start_ns + LATENCY_NS, end, LATENCY_NS)
    spans = [(call.start_ns, call.start_ns + call.duration_ns) for call in made.calls]
    own = sum(not any(first <= at < last for first, last in spans) for at in points)
    yield made.start_ns + LATENCY_NS, made.duration_ns - 2 * LATENCY_NS, own * LATENCY_NS
    for call in made.calls:
        yield from servers_of(call)


def world(seed: int, *, at_once: bool) -> tuple[Sequence[Made], Sequence[Row]]:
    made = World(seed)
    requests: list[Made] = []
    while len(requests) < 6:
        begin = requests[-1].start_ns + requests[-1].duration_ns + MS if requests else 0
        requests.append(made.request(0, begin, 4, at_once=at_once))
        made.record(requests[-1])
    return requests, [replace(row, request_head=b"", response_head=b"") for row in made.rows]


@settings(deadline=None)
@given(st.integers(0, 2**32), st.booleans(), st.integers(0, 40))
def test_whatever_the_threshold_self_times_are_the_true_ones(seed: int, at_once: bool, threshold_ms: int) -> None:
    requests, rows = world(seed, at_once=at_once)
    slow = [row for row in rows if row.duration_ns >= threshold_ms * MS]
    short = [row for row in rows if row.duration_ns < threshold_ms * MS]
    true = {of_server for made in requests for of_server in servers_of(made)}

    report = reported(capture(slow, short=short, threshold_ns=threshold_ms * MS), milliseconds=None)

    calls, origin = report.recording.calls, report.recording.meta.started_monotonic_ns
    for call, least, most in zip(calls, *(times.tolist() for times in report.self_times)):
        if call["role"] == Role.SERVER:
            assert least == most
            assert (int(call["t0"]) - origin, int(call["t3"] - call["t0"]), least) in true


@settings(deadline=None)
@given(st.integers(0, 2**32), st.booleans(), st.integers(0, 15))
def test_whatever_the_threshold_trees_have_all_calls(seed: int, at_once: bool, threshold_ms: int) -> None:
    _, rows = world(seed, at_once=at_once)
    slow = [row for row in rows if row.duration_ns >= threshold_ms * MS]
    short = [row for row in rows if row.duration_ns < threshold_ms * MS]
    whole = slowest_trees(reported(capture(rows, threshold_ns=0), milliseconds=0), 1000)

    trees = slowest_trees(reported(capture(slow, short=short, threshold_ns=threshold_ms * MS), milliseconds=None), 1000)

    def known(of: Sequence[SlowTree]) -> list[tuple[int, int, int]]:
        return [(one.start_ns, one.duration_ns, one.calls) for one in of if one.duration_ns >= threshold_ms * MS]

    assert known(trees) == known(whole)
    for tree in trees:
        assert sum(line.calls for line in tree.lines if not line.is_server) + tree.left_out == tree.calls
