"""Read traces with the classes that OpenTelemetry publishes of its protocol."""

from __future__ import annotations

import base64
import json
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from httpcapture import Outcome, Role
from httpreport.report.report import Report
from support.head_records import Asked, head_records
from support.made_trees import LATENCY_NS, Made, World
from support.recordings import MS, Row, capture
from support.reports import named, reported, written

json_format = pytest.importorskip("google.protobuf.json_format")
trace_pb2 = pytest.importorskip("opentelemetry.proto.trace.v1.trace_pb2")


def requests(count: int) -> list[Row]:
    made = World(1)
    for place in range(count):
        at = place * 1000 * MS
        made.record(Made(0, at, 500 * MS, [Made(1, at + 40 * MS, 400 * MS, [])]))
    return made.rows


def lines_of(report: Report) -> list[Any]:
    """Return the lines as the protocol's own class reads them. Its JSON has IDs in base64, OTLP's in hexadecimal."""
    found = []
    for line in written(named("otlp"), report).decode().splitlines():
        data = json.loads(line)
        for span in (span for one in data["resourceSpans"] for scope in one["scopeSpans"] for span in scope["spans"]):
            for ids in (span, *span["links"]):
                for name in ids.keys() & {"traceId", "spanId", "parentSpanId"}:
                    ids[name] = base64.b64encode(bytes.fromhex(ids[name])).decode()
        found.append(json_format.ParseDict(data, trace_pb2.TracesData()))
    return found


def spans_of(report: Report) -> list[Any]:
    return [span for line in lines_of(report) for one in line.resource_spans for span in one.scope_spans[0].spans]


def attributes(values: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in values}


def test_a_request_is_a_trace_of_both_ends_of_all_calls() -> None:
    spans = spans_of(reported(capture(requests(3))))

    by_id = {span.span_id: span for span in spans}
    assert len(by_id) == 12
    assert set(Counter(span.trace_id for span in spans).values()) == {4}
    roots = [span for span in spans if not span.parent_span_id]
    assert [span.kind for span in roots] == [trace_pb2.Span.SPAN_KIND_CLIENT] * 3
    for span in spans:
        assert (len(span.trace_id), len(span.span_id), list(span.links)) == (16, 8, [])
        if span.parent_span_id:
            above = by_id[span.parent_span_id]
            assert above.trace_id == span.trace_id
            assert above.kind != span.kind
            assert above.start_time_unix_nano <= span.start_time_unix_nano
            assert span.end_time_unix_nano <= above.end_time_unix_nano
    durations = Counter(span.end_time_unix_nano - span.start_time_unix_nano for span in spans)
    assert durations == {ms * MS - less: 3 for ms in (500, 400) for less in (0, 2 * LATENCY_NS)}


def test_the_processes_are_resources() -> None:
    found = {
        attributes(one.resource.attributes)["service.name"]: attributes(one.resource.attributes)
        for line in lines_of(reported(capture(requests(1))))
        for one in line.resource_spans
    }

    assert found.keys() == {"load", "tier0", "tier1"}
    assert found["load"] == {"service.name": "load", "host.name": "web-1", "process.pid": 1}


def test_a_cause_that_is_only_probable_is_a_link() -> None:
    spans = spans_of(reported(capture(requests(1))))  # one request is too few to be sure

    (linked,) = (span for span in spans if span.links)
    (cause,) = (span for span in spans if span.span_id == linked.links[0].span_id)
    assert not linked.parent_span_id
    assert cause.kind == trace_pb2.Span.SPAN_KIND_SERVER
    assert (cause.trace_id, linked.trace_id != cause.trace_id) == (linked.links[0].trace_id, True)
    assert attributes(linked.links[0].attributes) == {"cause": "probable"}


def test_ids_are_the_same_in_each_report_of_a_capture_and_others_in_that_of_another() -> None:
    data, other = capture(requests(1)), capture(requests(1), boot_id="another")

    first, second, third = ({span.span_id for span in spans_of(reported(each))} for each in (data, data, other))

    assert first == second
    assert not first & third


def test_a_span_says_what_was_asked_for_and_how_it_ended() -> None:
    server = Row(role=Role.SERVER, response_head=b"", request_head=b"")
    calls = [
        Asked(server, b"GET /users/7 HTTP/1.1\nhost: api:80", b"HTTP/1.1 503"),
        Asked(replace(server, sequence=1), b"GET /users/8 HTTP/1.1\nhost: api:80", b"HTTP/1.1 404"),
        Asked(replace(server, sequence=2, outcome=Outcome.RESET)),
    ]

    spans = spans_of(reported(capture([call.row for call in calls], head_records(calls))))

    failed, missing, reset = sorted(spans, key=lambda span: attributes(span.attributes).get("url.path", "~"))
    assert failed.name == missing.name == "GET /users/{n}"
    assert attributes(failed.attributes) == {
        **{"http.request.method": "GET", "http.response.status_code": 503, "url.path": "/users/7"},
        **{"server.address": "api", "server.port": 80},
        **{"network.peer.address": "192.168.1.20", "network.peer.port": 80},
        "thread.id": 12346,
    }
    assert [span.status.code for span in (failed, missing, reset)] == [2, 0, 2]
    assert attributes(reset.attributes)["error.type"] == "reset"
