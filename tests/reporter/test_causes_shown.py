"""Check that reports show the cause of a call with how certain it is, and self times."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from httpcapture import Role, StackStatus
from httpreport.cli.main import main
from support.recordings import MS, Row, capture
from support.reports import VALIDATOR, json_text, reported, text_lines

REQUEST = Row(
    role=Role.SERVER,
    duration_ns=250 * MS,
    stack_status=StackStatus.NOT_TAKEN,
    process=b"shop",
    pid=7,
    tid=70,
    receive_tid=70,
)
CALL = replace(
    REQUEST, role=Role.CLIENT, connection=1000, start_ns=40 * MS, duration_ns=150 * MS, peer="10.0.0.9", peer_port=5432
)


def requests(count: int, *, apart_ns: int, tid: int = 70) -> list[Row]:
    """Return requests that begin so long after each other, each with one call."""
    rows: list[Row] = []
    for number in range(count):
        at = number * apart_ns
        rows.append(replace(REQUEST, connection=1, sequence=number, start_ns=at, tid=tid, receive_tid=tid))
        rows.append(replace(CALL, sequence=number, start_ns=at + CALL.start_ns, tid=tid, receive_tid=tid))
    return rows


ONE_BY_ONE = requests(3, apart_ns=300 * MS)
AT_ONCE = requests(3, apart_ns=10 * MS)


def lines(rows: list[Row], name: str) -> list[str]:
    return sorted(line for line in text_lines(reported(capture(rows)), "run.cap") if line.startswith(name))


def by_role(rows: list[Row], role: str) -> list[dict[str, Any]]:
    document = json.loads(json_text(reported(capture(rows)), "run.cap"))
    VALIDATOR.validate(document)
    return [call for call in document["calls"] if call["role"] == role]


def test_a_sure_cause_is_shown() -> None:
    first, *others = lines(ONE_BY_ONE, "Caused by: ")

    assert first == (
        "Caused by: Process: shop, PID: 7, Start: 2023-11-14T22:13:20.000000+00:00, Total: 250.00 ms (by its thread)"
    )
    assert len(others) == 2
    assert lines(ONE_BY_ONE, "Self: ") == ["Self: 100.00 ms"] * 3


def test_a_cause_that_is_probable_says_so() -> None:
    assert [line.partition(", ")[0] for line in lines(ONE_BY_ONE[:2], "Caused by: ")] == [
        "Caused by: probably Process: shop"
    ]


def test_a_cause_that_is_not_known_is_shown_as_that_and_self_time_is_a_range() -> None:
    assert lines(AT_ONCE, "Caused by: ") == ["Caused by: not known (3 requests were open)"] * 3
    assert lines(AT_ONCE, "Self: ") == [
        "Self: 80.00 to 250.00 ms",
        "Self: 80.00 to 250.00 ms",
        "Self: 80.00 to 250.00 ms",
    ]


def test_a_call_without_any_candidate_has_no_cause() -> None:
    alone = [*ONE_BY_ONE, replace(CALL, connection=9, start_ns=5000 * MS, duration_ns=1000 * MS, tid=71)]

    assert len(lines(alone, "Caused by: ")) == 3
    assert [call["cause"] for call in by_role(alone, "client") if call["connection"] == 9] == [None]


def test_json_refers_to_the_cause() -> None:
    for call in by_role(ONE_BY_ONE, "client"):
        assert call["cause"] == {
            **{"certainty": "sure", "rule": "thread", "candidates": 1},
            **{"connection": 1, "sequence": call["sequence"]},
        }
        assert call["self_time"] is None
    for call in by_role(ONE_BY_ONE, "server"):
        assert (call["cause"], call["self_time"]) == (None, {"least_ns": 100 * MS, "most_ns": 100 * MS})
    for call in by_role(AT_ONCE, "client"):
        assert call["cause"] == {
            **{"certainty": "not_known", "rule": None, "candidates": 3},
            **{"connection": None, "sequence": None},
        }


def test_a_filter_that_may_leave_out_causes_leaves_them_unknown(tmp_path: Path) -> None:
    """Otherwise, requests that pass would be taken for the causes of calls that others made."""
    path = tmp_path / "run.cap"
    path.write_bytes(capture([replace(row, peer="10.0.0.9") for row in AT_ONCE]))

    causes = [
        {str(call["cause"]) for call in json.loads(result.stdout)["calls"]}
        for options in ([], ["--peer", "10.0.0.9"])
        for result in [CliRunner().invoke(main, [str(path), "--json", *options], catch_exceptions=False)]
    ]

    assert [len(each) for each in causes] == [2, 1]


@pytest.mark.parametrize(("name", "count"), [("shop", 3), ("sho*", 3), ("worker", 0)])
def test_only_where_whole_processes_are_selected_causes_are_looked_for(name: str, count: int) -> None:
    rows = [replace(row, comm=b"worker") for row in ONE_BY_ONE]
    of_recorder = reported(capture(rows, process_filters=(name.encode(),)))
    of_report = reported(capture(rows), name)

    for report in (of_recorder, of_report):
        assert len([line for line in text_lines(report, "run.cap") if line.startswith("Caused by: ")]) == count
