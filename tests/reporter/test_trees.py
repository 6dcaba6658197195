"""Check trees of calls against made-up requests whose calls are known."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from httpcapture import Outcome
from httpreport.calls.certainty import Certainty
from httpreport.calls.trees import in_doubt
from httpreport.cli.main import main
from httpreport.report.aggregate import aggregate_of
from httpreport.report.report import Report
from httpreport.report.slowest_trees import SlowTree, slowest_trees
from support.made_trees import Made, World
from support.recordings import MS, Row, capture
from support.reports import reported
from support.shop_trees import shop_capture

SEEDS = st.integers(0, 2**32)


def count(made: Made) -> int:
    return 1 + sum(map(count, made.calls))


def world(seed: int, *, at_once: bool = False) -> tuple[list[Made], Report]:
    """Return at least three requests, one after the other, and the report of their calls."""
    made = World(seed)
    requests: list[Made] = []
    while sum(map(count, requests)) < 12:
        begin = requests[-1].start_ns + requests[-1].duration_ns + MS if requests else 0
        requests.append(made.request(0, begin, 4, at_once=at_once))
        made.record(requests[-1])
    return requests, reported(capture(made.draw.sample(made.rows, len(made.rows))))


@settings(deadline=None)
@given(SEEDS, st.booleans())
def test_each_request_is_one_tree_of_all_its_calls(seed: int, at_once: bool) -> None:
    requests, report = world(seed, at_once=at_once)

    trees = slowest_trees(report, 1000)

    expected = sorted(((made.duration_ns, count(made)) for made in requests), reverse=True)
    assert sorted(((tree.duration_ns, tree.calls) for tree in trees), reverse=True) == expected
    for tree in trees:
        assert sum(line.calls for line in tree.lines if not line.is_server) + tree.left_out == tree.calls
    whole = aggregate_of(report, "run.cap", trees=3).trees
    assert (whole.roots, whole.roots_ns) == (len(requests), sum(made.duration_ns for made in requests))
    assert whole.slowest == trees[:3]


@settings(deadline=None)
@given(SEEDS)
def test_what_is_sequential_is_the_critical_path_and_adds_up_to_the_request(seed: int) -> None:
    """Where nothing is made at once, every call is on the critical path, and self times and outside times add up."""
    for tree in slowest_trees(world(seed)[1], 1000):
        assert all(line.is_critical for line in tree.lines)
        if not tree.left_out and all(line.calls == 1 for line in tree.lines):
            selves = sum(line.self_time.most_ns for line in tree.lines if line.self_time)
            assert selves + sum(line.outside_ns or 0 for line in tree.lines) == tree.duration_ns


def ends_of(made: Made) -> int:
    return made.start_ns + made.duration_ns


def true_path(made: Made) -> int:
    """Return how many calls are on the critical path: of what can have ended before, always the last."""
    found, until = 1, ends_of(made)
    for call in sorted(made.calls, key=ends_of, reverse=True):
        if ends_of(call) <= until:
            found, until = found + true_path(call), call.start_ns
    return found


@settings(deadline=None)
@given(SEEDS)
def test_of_calls_that_are_made_at_once_those_that_end_last_are_critical(seed: int) -> None:
    requests, report = world(seed, at_once=True)

    trees = {tree.duration_ns: tree for tree in slowest_trees(report, 1000)}

    durations = [made.duration_ns for made in requests]
    for made in requests:
        lines = trees[made.duration_ns].lines
        if durations.count(made.duration_ns) == 1 and all(line.calls == 1 for line in lines):
            assert sum(line.is_critical for line in lines) == 2 * true_path(made)


def made_tree(*calls: Made) -> Made:
    return Made(0, 0, 500 * MS, list(calls))


def one_tree(made: Made) -> SlowTree:
    several = World(1)
    for place in range(3):  # so that there are enough to be sure
        several.record(Made(made.tier, place * 1000 * MS, made.duration_ns - place, _later(made.calls, place)))
    return slowest_trees(reported(capture(several.rows)), 1)[0]


def _later(calls: list[Made], place: int) -> list[Made]:
    return [
        Made(call.tier, call.start_ns + place * 1000 * MS, call.duration_ns, _later(call.calls, place))
        for call in calls
    ]


def test_equal_calls_are_one_line() -> None:
    tree = one_tree(made_tree(*(Made(1, number * 9 * MS + MS, 8 * MS - number, []) for number in range(50))))

    assert [(line.process, line.calls) for line in tree.lines] == [
        *(("load", 1), ("tier0", 1), ("tier0", 50), ("tier1", 1))
    ]
    assert tree.lines[2].time_ns == sum(8 * MS - number for number in range(50))
    assert (tree.lines[2].duration_ns, tree.left_out) == (8 * MS, 0)


def test_calls_whose_paths_differ_in_values_only_are_one_line() -> None:
    (tree,) = slowest_trees(reported(shop_capture()), 1)

    lines = [(line.depth, line.asked, line.calls) for line in tree.lines if not line.is_server]
    assert lines == [
        (0, "GET /checkout", 1),
        (2, "GET /items/{n}", 20),
        (2, "GET /payments", 1),
        (4, "GET /fraud/score", 1),
        (2, "GET /events", 1),
        (2, "GET /events", 1),
    ]
    below = tree.lines[3]
    assert (below.is_server, below.calls) == (True, 1)
    assert re.fullmatch(r"GET /items/\d+", below.asked)  # what is below the longest of them


def three_requests() -> list[Row]:
    """Return the rows of requests one after the other, each with one call."""
    made = World(1)
    for place in range(3):
        at = place * 1000 * MS
        made.record(Made(0, at, 500 * MS - place * MS, [Made(1, at + 40 * MS, 400 * MS, [])]))
    return made.rows


def printed(rows: list[Row], folder: Path, *options: str) -> list[str]:
    """Return the lines that the command prints of a capture with these rows."""
    path = folder / "run.cap"
    path.write_bytes(capture(rows))
    result = CliRunner().invoke(main, [str(path), "-o", str(folder), *options])
    return [line.rstrip() for line in result.stdout.splitlines()]


def test_the_command_prints_the_slowest_requests_and_whole_trees(tmp_path: Path) -> None:
    lines = printed(three_requests(), tmp_path, "--tree", "1", "--tree", "7")

    assert "3 requests of 1.5 s in all; causes of 3 calls made for them: 3 sure, 0 probable, 0 not known" in lines
    assert "6 calls, of which 6 were recorded at both ends: 2.7 s in all" in lines
    assert "  most      tier1:8001 itself, or calls of less than 100 ms that it made: 1.2 s of 1.5 s" in lines[:6]
    first = lines.index("1. 500 ms, load asks 10.0.0.2:8000 GET, 2023-11-14T22:13:20.000000+00:00: 2 calls")
    assert lines[first + 1 : first + 3] == [
        "   critical path: load > tier0 > tier1",
        "   longest part: self time of tier1 answers GET: 400 ms, 80%",
    ]
    whole = lines.index("request 1, 2023-11-14T22:13:20.000000+00:00 on web-1: * marks the critical path")
    assert lines[whole + 1 : whole + 5] == [
        "   500 ms * load asks 10.0.0.2:8000 GET (outside 200 us)",
        "   500 ms *   tier0 answers GET (self 99.8 ms)",
        "   400 ms *     tier0 asks 10.0.0.2:8001 GET (outside 200 us)",
        "   400 ms *       tier1 answers GET (self 400 ms)",
    ]
    assert "there is no request 7: there are 3" in lines


def test_a_call_whose_end_was_not_seen_took_at_least_so_long(tmp_path: Path) -> None:
    rows = [replace(row, outcome=Outcome.IN_FLIGHT) if row.process == b"load" else row for row in three_requests()]

    lines = printed(rows, tmp_path, "--tree", "1")

    assert "   500 ms * load asks 10.0.0.2:8000 GET (at least so long, outside 200 us)" in lines


def test_whose_end_is_missing_is_not_told_from_the_network(tmp_path: Path) -> None:
    lines = printed([row for row in three_requests() if row.process != b"tier1"], tmp_path)

    unseen = "tier0 asks 10.0.0.2:8001 GET, whose other end is not in the report"
    assert f"   longest part: {unseen}: 400 ms, 80%" in lines
    assert "  most      tier0 waits for 10.0.0.2:8001 or the network to it: 1.2 s of 1.5 s" in lines[:6]


def test_what_is_not_certain_is_not_called_the_longest_part(tmp_path: Path) -> None:
    made = World(1)
    for place in range(3):
        made.record(Made(0, place * MS, 500 * MS, [Made(1, 40 * MS, 400 * MS, [])]))
    rows = [replace(row, tid=5, receive_tid=5) if row.process == b"tier0" else row for row in made.rows]

    lines = printed(rows, tmp_path)

    assert any("causes of 3 calls made for them: 0 sure, 0 probable, 3 not known" in line for line in lines)
    reason = "not known, because it is not known which calls of tier0 were made for it"
    assert lines.count(f"   longest part: {reason}") == 3
    assert not any(line.startswith("  most") for line in lines)


@pytest.mark.parametrize("names", [("a.cap", "b.cap"), ("b.cap", "a.cap")])
def test_trees_of_several_captures_are_ranked_together(names: tuple[str, str]) -> None:
    aggregates = []
    for name, seed in zip(names, (1, 2) if names[0] == "a.cap" else (2, 1)):
        _, report = world(seed)
        aggregates.append(aggregate_of(report, name, trees=2))
    one, other = aggregates

    both = one.merge(other).trees

    assert both.roots == one.trees.roots + other.trees.roots
    assert both.certainty[Certainty.SURE] == sum(each.trees.certainty[Certainty.SURE] for each in aggregates)
    durations = sorted((tree.duration_ns for each in aggregates for tree in each.trees.slowest), reverse=True)
    assert [tree.duration_ns for tree in both.slowest] == durations[:2]


@pytest.mark.parametrize("option", ["--json", "--info", "--verify", "--baseline=run.cap", "--redact=other.cap"])
def test_a_tree_is_part_of_a_summary(option: str) -> None:
    result = CliRunner().invoke(main, ["run.cap", "--tree", "1", option])

    assert (result.exit_code, result.output.splitlines()[-1]) == (
        2,
        "Error: --tree adds to the summary of a report: leave out --json, --baseline, --follow, --info, --verify and "
        "--redact.",
    )


@given(st.lists(st.tuples(st.integers(-1, 200), st.sampled_from(Certainty)), max_size=200))
def test_what_is_below_a_probable_cause_is_in_doubt(calls: list[tuple[int, Certainty]]) -> None:
    above = [min(up, place - 1) for place, (up, _) in enumerate(calls)]  # a call comes after the one above it
    expected: list[bool] = []
    for up, (_, certainty) in zip(above, calls):
        expected.append(certainty is Certainty.PROBABLE or (up >= 0 and expected[up]))

    certainties = np.array([certainty for _, certainty in calls], np.uint8)
    found = in_doubt(certainties, np.array(above, np.intp))

    assert found.tolist() == expected
