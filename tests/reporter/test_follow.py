"""Check what is known of a capture that grows: the totals of a report, whatever was read at a time."""

from __future__ import annotations

import io
from typing import Any
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from httpcapture import End, Lost, Outcome, Reader, Role
from httpreport.calls.filters import Filters, Selection
from httpreport.calls.head_filters import PathFilter, StatusFilter
from httpreport.capture.loader import load
from httpreport.follow import counted, window
from httpreport.follow.endings import ending
from httpreport.follow.rows import rows_of
from httpreport.follow.screen import Source, head_lines
from httpreport.follow.state import State
from httpreport.report.aggregate import Aggregate, aggregate_of
from httpreport.report.report import make_report
from support.growing import asked, states, written_in_turns
from support.head_records import Asked
from support.recordings import MS, STARTED_NS, Row, capture
from support.reports import no_binary

PATHS = ["/users/17", "/users/18", "/health", "/orders/5/items"]
LONG_AFTER = 400 * MS
Drawn = tuple[list[list[Asked]], dict[int, list[tuple[Asked, int]]]]  # turns, and the ends of responses by turn


@st.composite
def turns_of_calls(draw: st.DrawFn) -> Drawn:
    """Draw the calls of some turns, and the ends that come with the turn of a call or the one after it."""
    turns: list[list[Asked]] = []
    ends: dict[int, list[tuple[Asked, int]]] = {}
    number = 0
    for turn in range(draw(st.integers(1, 6))):
        calls = []
        for _ in range(draw(st.integers(0, 4))):
            number += 1
            fields = {
                "role": draw(st.sampled_from([Role.CLIENT, Role.SERVER])),
                "outcome": draw(st.sampled_from([Outcome.ANSWERED, Outcome.RESET])),
                "peer_port": draw(st.sampled_from([80, 81])),
            }
            calls.append(asked(number, draw(st.sampled_from(["", *PATHS])), draw(st.integers(1, 900)), **fields))
            if draw(st.booleans()):
                ends.setdefault(turn + draw(st.integers(0, 1)), []).append((calls[-1], LONG_AFTER))
        turns.append(calls)
    return [*turns, []], ends


def report_of(data: bytes, milliseconds: float = 0, **filters: Any) -> Aggregate:
    reader = Reader(io.BytesIO(data), "run.cap")
    selection = Selection.of(reader.meta, milliseconds, (), Filters(**filters))
    return aggregate_of(make_report(load(reader, selection), selection, no_binary), "run.cap")


def assert_equal_totals(state: State, whole: Aggregate) -> None:
    """Compare with what `--json` has of the same bytes."""
    (facts,) = whole.captures
    assert (state.counted.recorded, state.counted.kept) == (facts.recorded, facts.kept)
    assert state.counted.not_known == facts.not_known
    assert dict(state.counted.peers) == {key.peer: latencies for key, latencies in whole.peers.items()}
    if state.has_heads:
        assert {row.name: (row.latencies, row.errors) for row in rows_of(state)} == {
            f"{Role(route.role).name.lower()} {route.what}": (totals.latencies, totals.errors)
            for route, totals in whole.by_route.items()
        }


@pytest.mark.parametrize("most_rows", [1 << 15, 12])
@settings(max_examples=25, deadline=None)
@given(drawn=turns_of_calls(), milliseconds=st.sampled_from([0, 300]), cuts=st.sets(st.floats(0, 1), max_size=4))
def test_the_totals_are_those_of_a_report_on_the_same_bytes(
    most_rows: int, drawn: Drawn, milliseconds: float, cuts: set[float]
) -> None:
    turns, ends = drawn
    data = written_in_turns(turns, ends)
    begin = len(written_in_turns([], {}, has_end=False))
    sizes = sorted(begin + int(cut * (len(data) - begin)) for cut in cuts)

    with mock.patch.object(window, "MOST_ROWS", most_rows):
        found = states(data, sizes, milliseconds)

    for size, state in zip([*sizes, len(data)], found):
        if not state.late:
            assert_equal_totals(state, report_of(data[:size], milliseconds))


CALLS = [asked(number, PATHS[number % 4], 100 * number) for number in range(1, 9)]


def test_the_filters_of_a_report_hold() -> None:
    data = written_in_turns([CALLS], {})
    filters: dict[str, Any] = {"paths": (PathFilter.parse("/users/*"),), "statuses": (StatusFilter.parse("200"),)}
    (state,) = states(data, milliseconds=300, **filters)
    assert state.counted.kept == 3
    assert_equal_totals(state, report_of(data, 300, **filters))


def test_a_response_that_ends_later_makes_its_call_longer() -> None:
    turns = [[CALLS[0]], []]
    begun = len(written_in_turns(turns[:1], {}, has_end=False))
    before, after = states(written_in_turns(turns, {1: [(CALLS[0], LONG_AFTER)]}), [begun])
    assert [state.counted.longest[0].call.duration_ns for state in (before, after)] == [100 * MS, 100 * MS + LONG_AFTER]
    assert [state.counted.longest[0].call.at_least for state in (before, after)] == [True, False]


def test_what_comes_after_a_call_was_settled_is_counted_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    turns = [[call] for call in CALLS]
    first = len(written_in_turns(turns[:6], {}, has_end=False))
    monkeypatch.setattr(window, "MOST_ROWS", 4)
    *_, state = states(written_in_turns(turns, {7: [(CALLS[0], LONG_AFTER)]}), [first])
    assert state.late == 1
    assert not state.is_complete
    assert "1 call ended or had a head too late to be counted so here: httpreport has it" in told(state)


def test_a_window_stays_small_and_so_do_the_calls_that_can_be_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    turns = [[asked(number, PATHS[number % 4], 100 + number)] for number in range(1, 60)]
    data = written_in_turns(turns, {})
    monkeypatch.setattr(window, "MOST_ROWS", 10)
    monkeypatch.setattr(counted, "MOST_SHOWN", 3)
    found = states(data, range(len(data) // 3, len(data), len(data) // 30))
    assert max(sum(map(window.size_of, state.window.entries)) for state in found) <= 10
    assert [one.call.sequence for one in found[-1].counted.longest] == [59, 58, 57]
    assert found[-1].counted.recorded == 59


def test_peers_that_are_too_many_are_one(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [Row(sequence=number, peer_port=number, duration_ns=number * MS) for number in range(1, 30)]
    monkeypatch.setattr(counted, "MOST_PEERS", 10)
    (state,) = states(capture(rows, threshold_ns=0))
    assert len(state.counted.peers) == 6
    assert sum(latencies.totals.calls for latencies in state.counted.peers.values()) == 29
    assert [row.calls for row in rows_of(state) if row.name == "other peers"] == [24]


def test_calls_of_the_last_minute_are_counted_apart() -> None:
    rows = [Row(sequence=second, start_ns=second * 1000 * MS, duration_ns=500 * MS) for second in range(120)]
    (state,) = states(capture(rows, [Lost(STARTED_NS + 120_000 * MS, {})], threshold_ns=0, end=False))
    (whole,), (lately,) = rows_of(state), rows_of(state, lately=True)
    assert (whole.calls, lately.calls) == (120, 60)
    assert whole.per_second == lately.per_second == 1.0


def told(state: State) -> list[str]:
    return list(head_lines(state, Source("run.cap", ending(state, "run.cap"))))


def test_the_end_of_a_recording_is_told() -> None:
    growing, ended = states(written_in_turns([CALLS], {}), [len(written_in_turns([CALLS], {}, has_end=False))])
    assert told(growing)[:2] == ["run.cap on web-1: 808 ms recorded, 0 lost so far", "8 calls"]
    assert told(ended) == [
        "run.cap on web-1: 10 s recorded, 0 lost, ended (SIGINT)",
        "8 calls",
        "the recording has ended: these are its totals; httpreport run.cap has the stacks",
    ]


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("a/run.00001.cap", "the next: httpreport --follow a/run.00002.cap"),
        ("a/other.cap", "part 2 follows"),
        ("a/run.00007.cap", "part 2 follows"),
    ],
)
def test_the_next_part_of_a_recording_is_named(path: str, told: str) -> None:
    (state,) = states(capture(end=End(STARTED_NS, "rotated", True, 1, 1, 0, {})))
    assert ending(state, path) == f"this part has ended; {told}"


def test_losses_are_counted() -> None:
    (state,) = states(capture(records=[Lost(STARTED_NS + 300 * MS, {"call_ring_full": 3})], end=False))
    assert told(state)[0].endswith("300 ms recorded, 3 lost so far")
    assert not state.is_complete


def test_calls_that_were_not_recorded_are_told_of() -> None:
    (state,) = states(capture(), milliseconds=50)
    assert told(state)[2].startswith("-t 50 is below the capture's threshold of 100 ms: calls shorter than 100 ms are")
