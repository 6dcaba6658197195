"""Check what every output that lists calls says of their heads, and that captures without heads look as before."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from click.testing import CliRunner

from httpreport.cli.main import main
from support.head_records import Asked, head_records
from support.recordings import MS, Row, capture
from support.reports import VALIDATOR, json_text, named, reported, text_lines, written

REQUEST = (
    b"GET /v2/servers/{...}?... HTTP/1.1\nhost: nova:8774\nx-request-id: req-1\n"
    b"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\n..."
)
RESPONSE = b"HTTP/1.1 503\nretry-after: 5"
SHOWN = (
    "Request: GET /v2/servers/{...}?... HTTP/1.1, Authority: nova:8774, Request ID: req-1, "
    "Trace ID: 0af7651916cd43dd8448eb211c80319c"
)
CALLS = [
    Asked(Row(sequence=1), REQUEST, RESPONSE),
    Asked(Row(sequence=2, duration_ns=300 * MS), b"POST /login HTTP/1.1\n..."),
    Asked(Row(sequence=3, duration_ns=200 * MS)),
]
HTTP2 = Row(sequence=4, request_head=b"", response_head=b"")


def with_heads(calls: list[Asked]) -> bytes:
    return capture([call.row for call in calls], head_records(calls))


def json_calls(data: bytes) -> list[dict[str, Any]]:
    document = json.loads(json_text(reported(data), "run.cap"))
    VALIDATOR.validate(document)
    calls: list[dict[str, Any]] = document["calls"]
    return calls


def test_stack_traces_say_what_was_asked_for_of_whom_and_how_logs_name_it() -> None:
    lines = [line for line in text_lines(reported(with_heads(CALLS)), "run.cap") if line.startswith("Request: ")]

    assert lines == ["Request: POST /login HTTP/1.1", SHOWN]


def test_json_has_what_is_known() -> None:
    unknown, known, nothing = json_calls(with_heads(CALLS))

    assert known["http"] == {
        "path": "/v2/servers/{...}",
        "query": "?...",
        "version": "HTTP/1.1",
        "authority": "nova:8774",
        "tls": {"server_name": None, "offered": [], "version": None, "protocol": None, "may_be_http2": False},
        "request_id": "req-1",
        "trace_id": "0af7651916cd43dd8448eb211c80319c",
        "grpc_status": None,
        "request_headers": [
            ["host", "nova:8774"],
            ["x-request-id", "req-1"],
            ["traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"],
        ],
        "response_headers": [["retry-after", "5"]],
        "cut": True,
    }
    assert (unknown["http"]["path"], unknown["http"]["authority"]) == ("/login", None)
    no_tls = nothing["http"].pop("tls")
    assert set(map(str, [*nothing["http"].values(), *no_tls.values()])) == {"None", "[]", "False"}


def test_heads_that_were_read_in_tls_tell_what_is_in_it() -> None:
    row = partial(Row, request_head=b"\x17\x03\x03", response_head=b"\x17\x03\x03", is_encrypted=1)
    switching = b"HTTP/1.1 101"
    slowest_first = json_calls(
        with_heads(
            [
                Asked(row(sequence=1), REQUEST, RESPONSE),
                Asked(row(sequence=2, duration_ns=300 * MS), REQUEST, switching),
                Asked(row(sequence=3, duration_ns=400 * MS)),
            ]
        )
    )

    seen = [(call["kind"], call["method"], call["status"]) for call in reversed(slowest_first)]
    assert seen == [("http", "GET", 503), ("websocket", "GET", 101), ("tls", None, None)]
    assert {call["encrypted"] for call in slowest_first} == {True}


def test_csv_has_columns_for_it() -> None:
    table = list(csv.DictReader(io.StringIO(written(named("csv"), reported(with_heads(CALLS))).decode())))

    assert [row["path"] for row in table] == ["/login", "/v2/servers/{...}", ""]
    assert [row["authority"] for row in table] == ["", "nova:8774", ""]
    assert table[1]["request_id"] == "req-1"


def test_the_status_of_grpc_stands_beside_that_of_http() -> None:
    asked, answered = b"POST /pkg.Service/Method HTTP/2\nhost: h", b"HTTP/2 200\ngrpc-status: "
    statuses = (b"0", b"14", b"99", b"x")
    calls = [
        Asked(replace(HTTP2, sequence=number, duration_ns=(900 - number) * MS), asked, answered + status)
        for number, status in enumerate(statuses)
    ]
    data = with_heads(calls)
    table = csv.DictReader(io.StringIO(written(named("csv"), reported(data)).decode()))
    lines = [line for line in text_lines(reported(data), "run.cap") if line.startswith("Role: ")]

    assert [call["http"]["grpc_status"] for call in json_calls(data)] == [0, 14, 99, None]
    assert [row["grpc_status"] for row in table] == ["0", "14", "99", ""]
    assert [line.partition("Status: 200")[2] for line in lines] == [
        ", gRPC status: 0 OK",
        ", gRPC status: 14 UNAVAILABLE",
        ", gRPC status: 99",
        "",
    ]


def test_method_and_status_come_from_the_heads_if_the_rows_do_not_have_them() -> None:
    calls = [
        Asked(HTTP2, b"POST /pkg.Service/Method HTTP/2\nhost: h", b"HTTP/2 404"),
        Asked(replace(HTTP2, sequence=5), b"? ? HTTP/2", b"HTTP/2 ?"),
        Asked(replace(HTTP2, sequence=6), b"A" * 40 + b" / HTTP/2"),
        Asked(Row(sequence=7), b"PUT / HTTP/1.1", b"HTTP/1.1 500"),
    ]

    found = [(call["method"], call["status"]) for call in json_calls(with_heads(calls))]

    assert found == [("POST", 404), (None, None), ("A" * 15, None), ("GET", 200)]


def test_a_capture_without_heads_looks_as_before() -> None:
    report = reported(capture([call.row for call in CALLS]))

    assert "http" not in json_calls(capture([CALLS[0].row]))[0]
    assert "path" not in written(named("csv"), report).decode().split("\r\n")[0].split(",")
    assert not any("Request: " in line and "HTTP" in line for line in text_lines(report, "run.cap"))


def test_a_report_of_captures_with_and_without_heads_has_the_columns(tmp_path: Path) -> None:
    (tmp_path / "a.cap").write_bytes(with_heads(CALLS))
    (tmp_path / "b.cap").write_bytes(capture([Row()]))

    asked = [*map(str, (tmp_path / "a.cap", tmp_path / "b.cap")), "--csv", "-", "--jobs", "1"]
    table = list(csv.DictReader(io.StringIO(CliRunner().invoke(main, asked).stdout)))

    assert sorted(row["path"] for row in table) == ["", "", "/login", "/v2/servers/{...}"]
    assert all(None not in row.values() for row in table)


def test_some_calls_have_their_heads_also_after_all_were_asked_for() -> None:
    recording = reported(with_heads(CALLS)).recording
    first = recording.some_calls(np.arange(2))

    assert recording.calls["request"][:2].tolist() == first["request"].tolist() != [0, 0]
    assert recording.some_calls(np.arange(2)).tolist() == first.tolist()
