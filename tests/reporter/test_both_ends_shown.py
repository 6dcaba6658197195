"""Check that reports show the other end of a call, and only where it is one of the listed calls."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

from httpcapture import Role, StackStatus
from httpreport.report.headline import summary
from support.recordings import MS, Row, capture
from support.reports import aggregated, json_text, named, reported, text_lines, written

CLIENT = Row(
    duration_ns=250 * MS,
    local="10.0.0.1",
    local_port=40000,
    peer="10.0.0.2",
    peer_port=80,
    request_seq=1000,
    response_seq=7000,
    stack_status=StackStatus.NOT_TAKEN,
    process=b"curl",
)
SERVER = replace(
    CLIENT,
    connection=2,
    role=Role.SERVER,
    start_ns=20 * MS,
    duration_ns=200 * MS,
    local="10.0.0.2",
    local_port=80,
    peer="10.0.0.1",
    peer_port=40000,
    process=b"nova-api",
    pid=812,
)
COLUMNS = ("process", "other_end_process", "other_end_pid", "other_end_duration_ns")
OTHER = replace(SERVER, connection=3, request_seq=2000)


def other_lines(rows: list[Row]) -> list[str]:
    return [line for line in text_lines(reported(capture(rows)), "run.cap") if line.startswith("Other end: ")]


def test_each_end_shows_the_other() -> None:
    assert other_lines([SERVER, OTHER, CLIENT]) == [
        "Other end: server, Process: nova-api, PID: 812, Total: 200.00 ms",
        "Other end: client, Process: curl, PID: 12345, Total: 250.00 ms",
    ]


def test_behind_a_nat_too() -> None:
    assert len(other_lines([CLIENT, replace(SERVER, peer="10.9.9.9", peer_port=1)])) == 2


def test_an_end_that_is_not_listed_is_not_shown() -> None:
    rows = [CLIENT, replace(SERVER, duration_ns=100 * MS)]

    lines = text_lines(reported(capture(rows), milliseconds=150), "run.cap")

    assert not [line for line in lines if line.startswith("Other end: ")]


def test_json_refers_to_the_other_call() -> None:
    calls = json.loads(json_text(reported(capture([SERVER, OTHER, CLIENT])), "run.cap"))["calls"]

    known = {call["connection"]: call["other_end"] for call in calls}

    assert known[3] is None
    assert known[1] == {
        **{"process": "nova-api", "pid": 812, "connection": 2, "sequence": 0},
        **{"duration_ns": 200 * MS, "duration_at_least": False, "judged_by": "whole"},
    }
    assert known[2]["connection"] == 1


def test_the_table_has_the_other_end() -> None:
    rows = list(csv.DictReader(io.StringIO(written(named("csv"), reported(capture([SERVER, OTHER, CLIENT]))).decode())))

    assert {tuple(row[column] for column in COLUMNS) for row in rows} == {
        ("curl", "nova-api", "812", str(200 * MS)),
        ("nova-api", "curl", "12345", str(250 * MS)),
        ("nova-api", "", "", ""),
    }


def test_a_call_that_was_recorded_at_both_ends_counts_once() -> None:
    report = reported(capture([SERVER, OTHER, CLIENT]))

    assert "2 calls, of which 1 was recorded at both ends: 450 ms in all" in summary(aggregated(report))
    document = json.loads(json_text(report, "run.cap"))
    assert document["ledger"]["counted_once"] == {"calls": 2, "time_ns": 450 * MS, "both_ends": 1}


def test_the_ends_of_several_captures_are_counted_together() -> None:
    one, other = (
        aggregated(reported(capture(rows)), name) for rows, name in (([SERVER, CLIENT], "a.cap"), ([OTHER], "b.cap"))
    )

    assert "2 calls, of which 1 was recorded at both ends: 450 ms in all" in summary(one.merge(other))


def test_where_no_call_has_both_ends_nothing_is_said_of_them() -> None:
    assert not [line for line in summary(aggregated(reported(capture([OTHER, CLIENT])))) if "both ends" in line]
