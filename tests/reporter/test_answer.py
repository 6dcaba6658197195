"""Check that an answer rests on nothing but its evidence, and falls silent where that is missing."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from httpcapture import COUNT_NOT_KNOWN
from httpreport.answer.answer import Answer, Silence, Verdict
from httpreport.answer.words import lines
from httpreport.cli.main import main
from httpreport.report.aggregate import aggregate_of
from httpreport.report.evidence import HolderKind
from support import stories
from support.head_records import Asked
from support.recordings import MS, Row, capture
from support.reports import VALIDATOR, reported
from support.staged_services import Ask, Stage
from support.stories import FRAUD, SHOP, Story

SEEDS = st.integers(0, 2**32)
SEVERAL = settings(deadline=None, max_examples=10)


def changed(told: Story, **fields: Any) -> Story:
    """Return a story in which all calls have these fields."""
    told.stage.calls = [call._replace(row=replace(call.row, **fields)) for call in told.stage.calls]
    return told


def words(answer: Answer | None) -> list[str]:
    assert answer is not None
    return [f"{line.about}: {line.text}" if line.about else line.text for line in lines(answer)]


@SEVERAL
@given(SEEDS)
def test_the_order_of_calls_in_the_capture_makes_no_difference(seed: int) -> None:
    told = stories.slow_service(seed)
    calls = told.stage.calls
    rows = [call.row for call in random.Random(seed).sample(calls, len(calls))]
    in_order = told.answer()

    told.stage.calls = [Asked(row, *next(call[1:] for call in calls if call.row is row)) for row in rows]

    assert told.answer() == in_order


@SEVERAL
@given(SEEDS, st.sampled_from([2, 5]))
def test_who_is_slow_does_not_depend_on_how_slow_everything_is(seed: int, times: int) -> None:
    told = stories.slow_service(seed)
    before = told.answer()
    told.stage.calls = [call._replace(row=slower(call.row, times)) for call in told.stage.calls]
    after = told.answer()

    assert before and after and before.holding and after.holding
    assert before.holding.who == after.holding.who
    assert after.holding.least_ns == times * before.holding.least_ns


def slower(row: Row, times: int) -> Row:
    return replace(row, start_ns=times * row.start_ns, duration_ns=times * row.duration_ns)


@SEVERAL
@given(SEEDS)
def test_where_causes_are_not_known_nothing_new_is_said(seed: int) -> None:
    told = stories.slow_upstream(seed)
    known = told.answer()
    told.stage.calls = [
        call._replace(row=replace(call.row, tid=5, receive_tid=5) if call.row.process == b"shop" else call.row)
        for call in told.stage.calls
    ]
    unknown = told.answer()

    assert known and unknown and known.holding
    assert unknown.holding is None or unknown.holding.who == known.holding.who
    assert unknown.holding is None or unknown.holding.least_ns <= known.holding.least_ns


def test_of_fewer_than_30_requests_only_facts_are_said() -> None:
    stage = Stage(1)
    for number in range(29):
        stage.ask("load", Ask(SHOP, "/cart", [90 * MS]), number * 100 * MS)
    assert words(Story(stage, None).answer()) == [
        "GET /cart at shop:9200: 29 requests took 2.61 s in all",
        "most: shop:9200 itself: 2.61 s of 2.61 s",
        "why: not said of fewer than 30 requests",
    ]
    stage.ask("load", Ask(SHOP, "/cart", [90 * MS]), 29 * 100 * MS)
    assert words(Story(stage, None).answer()) == [
        "GET /cart at shop:9200 takes 89.9 ms (p99 90.1 ms)",
        "why: shop:9200 itself: 2.7 s of 2.7 s",
        "network: no: round trip at most 60 us, 0 of 120 segments sent again",
    ]


def test_requests_that_take_the_most_time_are_answered_about() -> None:
    stage = Stage(1)
    for number in range(60):
        stage.ask("load", Ask(SHOP, "/often", [9 * MS]), number * 100 * MS)
        if number % 2:
            stage.ask("load", Ask(SHOP, f"/slow/{number}", [30 * MS]), number * 100 * MS + 50 * MS)
    first = words(Story(stage, None).answer())[0]
    assert first == "GET /slow/{n} at shop:9200 takes 30.1 ms (p99 30.1 ms), 62 % of the time of all requests"


def test_what_was_not_recorded_is_not_told_from_the_network() -> None:
    answer = stories.slow_upstream(1).answer()
    assert answer and answer.holding and answer.network
    assert (answer.holding.who.kind, answer.holding.who.other) == (HolderKind.UNSEEN, FRAUD.authority)
    assert answer.network.verdict is Verdict.NOT_KNOWN
    assert words(answer)[1].startswith("why: shop waits for api.fraud.example:443 or the network to it: ")
    assert words(answer)[2].startswith("network: not known: api.fraud.example:443 was not recorded; round trip ")


@pytest.mark.parametrize("fields", [{"retransmitted": 1}, {"segments": COUNT_NOT_KNOWN}, {"round_trip": 0}])
def test_the_network_is_only_ruled_out_by_what_both_ends_counted(fields: dict[str, int]) -> None:
    told = stories.slow_service(1)
    clean = told.answer()
    assert clean and clean.network and clean.network.verdict is Verdict.NO

    answer = changed(told, **fields).answer()

    assert answer and answer.network and answer.network.verdict is Verdict.NOT_KNOWN


def test_a_queue_between_two_processes_is_not_blamed_on_either() -> None:
    stage = Stage(1)
    for number in range(40):
        stage.ask("load", Ask(SHOP, "/cart", [5 * MS]), number * 100 * MS)
    stage.calls = [
        call._replace(
            row=replace(call.row, start_ns=call.row.start_ns - 50 * MS, duration_ns=call.row.duration_ns + 50 * MS)
        )
        if call.row.process == b"load"
        else call
        for call in stage.calls
    ]
    assert words(Story(stage, None).answer())[1:] == [
        "why: between load and shop:9200: 2 s of 2.2 s",
        "network: no: round trip at most 60 us, 0 of 160 segments sent again",
    ]


def test_of_a_server_whose_clients_were_not_recorded_nothing_is_known_of_the_network() -> None:
    told = stories.slow_alone(1)
    told.stage.calls = [call for call in told.stage.calls if call.row.process == b"shop"]

    *_, network = words(told.answer())

    assert network == "network: not known: who asks shop:9200 was not recorded"


def test_time_in_which_a_response_is_sent_is_nobodys() -> None:
    """A slow reader makes a server as slow as a slow server does."""
    told = stories.slow_alone(1)
    told.stage.calls = [
        call._replace(
            row=replace(call.row, duration_ns=call.row.duration_ns // 9, response_ns=call.row.duration_ns * 8 // 9)
        )
        for call in told.stage.calls
    ]
    answer = told.answer()
    assert answer and answer.silence is Silence.NOT_CERTAIN


@pytest.mark.parametrize("options", [["--role", "server"], ["--method", "GET"], ["-p", "load"]])
def test_with_filters_nothing_is_said_that_needs_what_they_leave_out(options: list[str], tmp_path: Path) -> None:
    path = tmp_path / "run.cap"
    path.write_bytes(stories.slow_upstream(1).stage.capture())

    document = json.loads(CliRunner().invoke(main, [str(path), "--json", *options]).stdout)

    VALIDATOR.validate(document)
    holder = document["answer"] and document["answer"]["holder"]
    assert holder is None if options[0] != "-p" else holder["who"]["other"] == SHOP.authority


def test_the_summary_and_json_say_the_same(tmp_path: Path) -> None:
    path = tmp_path / "run.cap"
    path.write_bytes(stories.slow_upstream(1).stage.capture())

    printed = CliRunner().invoke(main, [str(path), "-o", str(tmp_path)]).stdout.splitlines()
    document = json.loads(CliRunner().invoke(main, [str(path), "--json"]).stdout)

    VALIDATOR.validate(document)
    (first, *others) = document["answer"]["text"]
    place = printed.index(first["text"])
    assert printed[place + 1 : place + 1 + len(others)] == [f"  {one['about']:9} {one['text']}" for one in others]


def test_each_host_has_its_own_answer(tmp_path: Path) -> None:
    for host in ("web-1", "web-2"):
        calls = stories.slow_alone(1).stage.calls
        (tmp_path / f"{host}.cap").write_bytes(capture([call.row for call in calls], threshold_ns=0, host=host))

    document = json.loads(CliRunner().invoke(main, [str(tmp_path), "--json", "--jobs", "1"]).stdout)
    printed = CliRunner().invoke(main, [str(tmp_path), "-o", str(tmp_path), "--jobs", "1"]).stdout

    VALIDATOR.validate(document)
    assert [answer["host"] for answer in document["answers"]] == ["web-1", "web-2"]
    assert printed.count("\nrequests of load take ") == 2


@pytest.mark.parametrize(("threshold_ms", "or_else"), [(0, ""), (20, ", or calls of less than 20 ms that it made")])
def test_calls_that_are_not_known_may_be_what_a_process_waits_for(
    tmp_path: Path, threshold_ms: int, or_else: str
) -> None:
    path = tmp_path / "run.cap"
    path.write_bytes(stories.slow_alone(1).stage.capture(threshold_ns=threshold_ms * MS))

    printed = CliRunner().invoke(main, [str(path), "-t", "20", "-o", str(tmp_path)]).stdout

    assert "ms) where that is 20 ms or more" in printed
    assert f"\n  why       shop:9200 itself{or_else}: " in printed


def test_parts_of_a_recording_have_one_answer() -> None:
    told = stories.slow_alone(1)
    rows = [call.row for call in told.stage.calls]
    half = len(rows) // 4 * 2  # both ends of a call are in one part
    whole, *parts = (
        aggregate_of(reported(capture(some, threshold_ns=0, run="4f", part=part)), "run.cap", answer=True)
        for some, part in ((rows, 1), (rows[:half], 1), (rows[half:], 2))
    )
    one, other = parts

    merged, reverse = (each.evidence["web-1"] for each in (one.merge(other), other.merge(one)))
    assert merged == reverse
    assert (merged.latencies, merged.sample) == (whole.evidence["web-1"].latencies, whole.evidence["web-1"].sample)
