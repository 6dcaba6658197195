"""Check what every output that lists calls says of the network under a call."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from typing import Any

import pytest

from httpcapture import COUNT_NOT_KNOWN, Outcome
from httpreport.outputs.page.data import page_data
from httpreport.report.report import Report
from support.recordings import Row, capture
from support.redactions import redacted
from support.reports import aggregated, json_text, named, no_binary, reported, text_lines, written

ROW = Row(
    sequence=1,
    connect_time=50_310_000,
    handshake_time=101_200_000,
    round_trip=50_120,
    segments=4,
    retransmitted=1,
    out_of_order=0,
)
TIMES = "connected in 50.31 ms, TLS handshake in 101.20 ms, round trip 50.12 ms"
COUNTS = "4 sent, 1 sent again, 0 received out of order"
NOTHING: dict[str, Any] = {
    **dict.fromkeys(("connect_time", "handshake_time", "round_trip"), 0),
    **dict.fromkeys(("segments", "retransmitted", "out_of_order"), COUNT_NOT_KNOWN),
}


def json_network(report: Report) -> dict[str, Any]:
    (call,) = json.loads(json_text(report, "run.cap"))["calls"]
    network: dict[str, Any] = call["network"]
    return network


def csv_network(report: Report) -> list[str]:
    (call,) = csv.DictReader(io.StringIO(written(named("csv"), report).decode()))
    return [call[name] for name in json_network(report)]


def shown(report: Report) -> list[str]:
    """Return what stack_traces.txt and the page say of the only call's network, both of which may be nothing."""
    page = page_data(aggregated(report))
    (row,) = page.rows
    lines = [line for line in text_lines(report, "run.cap") if line.startswith("Connection: ")]
    return [*(line.removeprefix("Connection: ") for line in lines), dict(zip(page.row_fields, row))["network"]]


def test_all_outputs_say_what_is_known() -> None:
    report = reported(capture([ROW]))

    assert shown(report) == [f"{TIMES}; segments until its first byte: {COUNTS}"] * 2
    assert json_network(report) == {
        "connect_ns": 50_310_000,
        "handshake_ns": 101_200_000,
        "round_trip_ns": 50_120_000,
        "segments": 4,
        "retransmitted": 1,
        "out_of_order": 0,
    }
    assert csv_network(report) == ["50310000", "101200000", "50120000", "4", "1", "0"]


@pytest.mark.parametrize("older", [False, True])
def test_what_is_not_known_is_not_told(older: bool) -> None:
    report = reported(capture([replace(ROW, **NOTHING) if not older else ROW], older=older))

    assert shown(report) == [""]
    assert set(json_network(report).values()) == {None}
    assert csv_network(report) == [""] * 6


@pytest.mark.parametrize(
    ("known", "text"),
    [
        ({"connect_time": 1_000_000}, "connected in 1.00 ms"),
        ({"handshake_time": 2_000_000}, "TLS handshake in 2.00 ms"),
        ({"round_trip": 30}, "round trip 0.03 ms"),
        ({"segments": 0}, "segments until its first byte: 0 sent"),
        ({"retransmitted": 2}, "segments until its first byte: 2 sent again"),
        (
            {"round_trip": 30, "out_of_order": 3},
            "round trip 0.03 ms; segments until its first byte: 3 received out of order",
        ),
    ],
)
def test_each_fact_is_told_alone(known: dict[str, Any], text: str) -> None:
    assert shown(reported(capture([replace(ROW, **{**NOTHING, **known})]))) == [text] * 2


@pytest.mark.parametrize(
    ("change", "moment"),
    [({"stack_is_late": 1}, "it became slow"), ({"outcome": Outcome.RESET}, "its end")],
)
def test_the_counts_say_where_they_end(change: dict[str, Any], moment: str) -> None:
    assert shown(reported(capture([replace(ROW, **change)]))) == [f"{TIMES}; segments until {moment}: {COUNTS}"] * 2


def test_an_impossible_time_is_not_known() -> None:
    network = json_network(reported(capture([replace(ROW, connect_time=(1 << 64) - 1, handshake_time=1 << 63)])))

    assert (network["connect_ns"], network["handshake_ns"], network["segments"]) == (None, None, 4)


def test_the_largest_values_are_written() -> None:
    largest = COUNT_NOT_KNOWN - 1
    row = replace(ROW, connect_time=1 << 62, round_trip=largest + 1, segments=largest, retransmitted=largest)

    network = json_network(reported(capture([row])))

    assert (network["connect_ns"], network["round_trip_ns"]) == (1 << 62, (largest + 1) * 1000)
    assert network["segments"] == network["retransmitted"] == largest


def test_a_redacted_capture_keeps_the_network() -> None:
    data = capture([ROW])

    assert json_network(reported(redacted(data, no_binary))) == json_network(reported(data))
