"""Check the totals by route in the summary and in JSON, over several captures in any order."""

from __future__ import annotations

import json
import random
from collections import defaultdict
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from httpcapture import Outcome, Role
from httpreport.calls import request_keys
from httpreport.cli.main import main
from httpreport.report.aggregate import Aggregate, aggregate_of, merge_aggregates
from httpreport.report.route_totals import Route
from httpreport.routes import routes, shapes
from support.head_records import Asked, head_records
from support.recordings import MS, Row, capture
from support.reports import VALIDATOR, reported


def get(path: str, authority: str = "api:80", method: str = "GET") -> bytes:
    return f"{method} {path} HTTP/1.1\nhost: {authority}".encode()


def asked(number: int, request: bytes, milliseconds: int, response: bytes = b"", **fields: Any) -> Asked:
    return Asked(Row(sequence=number, duration_ns=milliseconds * MS, **fields), request, response)


def with_heads(calls: list[Asked], **meta: Any) -> bytes:
    return capture([call.row for call in calls], head_records(calls), threshold_ns=0, **meta)


CALLS = [
    asked(1, get("/users/17"), 100),
    asked(2, get("/users/18"), 300, b"HTTP/1.1 500", response_head=b"HTTP/1.1 500 OK\r"),
    asked(3, get("/users/me"), 50),
    asked(4, get("/users/19", method="PUT"), 60, outcome=Outcome.RESET),
    asked(5, get("/users/20"), 45, role=Role.SERVER),
    asked(6, b"POST /p.S/M HTTP/2\nhost: g\ncontent-type: application/grpc", 30, b"HTTP/2 200\ngrpc-status: 14"),
    asked(7, b"POST /p.S/M HTTP/2\nhost: g\ncontent-type: application/grpc", 10, b"HTTP/2 200\ngrpc-status: 0"),
    asked(8, b"", 20),
]
TABLE = [
    ["2", "1", "GET /users/{n} at api:80 (client)"],
    ["1", "1", "PUT /users/{n} at api:80 (client)"],
    ["1", "0", "GET /users/me at api:80 (client)"],
    ["1", "0", "GET /users/{n} at api:80 (server)"],
    ["2", "1", "POST /p.S/M at g (client)"],
    ["1", "0", "not known (client)"],
]


def run(*arguments: str | Path) -> str:
    result = CliRunner().invoke(main, [*map(str, arguments), "--jobs", "1"])
    assert result.exit_code == 0, result.output
    return result.stdout


def table(summary: str) -> list[list[str]]:
    """Return calls, errors and route of each row of the table of routes, or nothing if there is no table."""
    lines = summary.splitlines()
    heads = [number for number, line in enumerate(lines) if line.split()[-1:] == ["route"]]
    rows = [line.split(maxsplit=8) for head in heads for line in lines[head + 1 : lines.index("", head)]]
    return [[row[0], row[1], row[8].split("%")[-1].strip()] for row in rows]


def test_the_summary_has_a_table_by_route(tmp_path: Path) -> None:
    (tmp_path / "run.cap").write_bytes(with_heads(CALLS))

    assert table(run(tmp_path / "run.cap", "-o", tmp_path)) == TABLE


def test_a_capture_without_heads_has_no_such_table(tmp_path: Path) -> None:
    (tmp_path / "run.cap").write_bytes(capture([call.row for call in CALLS]))

    assert table(run(tmp_path / "run.cap", "-o", tmp_path, "--explain-routes")) == []
    assert "routes" not in json.loads(run(tmp_path / "run.cap", "--json"))


def test_json_has_the_totals_by_route(tmp_path: Path) -> None:
    (tmp_path / "a.cap").write_bytes(with_heads(CALLS))
    (tmp_path / "b.cap").write_bytes(with_heads(CALLS, host="web-2"))
    one, both = (json.loads(run(*files, "--json")) for files in ([tmp_path / "a.cap"], [tmp_path]))

    for document in (one, both):
        VALIDATOR.validate(document)
    first = one["routes"][0]
    assert (first["role"], first["method"], first["authority"]) == ("client", "GET", "api:80")
    assert (first["route"], first["calls"], first["errors"]) == ("/users/{n}", 2, 1)
    assert (first["time_ns"], first["slowest_ns"], first["p99_ns"]) == (400 * MS, 300 * MS, 300 * MS)
    assert [route["calls"] for route in both["routes"]] == [2 * route["calls"] for route in one["routes"]]


def test_each_host_has_its_own_table_and_all_have_the_same_routes(tmp_path: Path) -> None:
    names = [f"web-{number}x" for number in range(60)]
    for number in (0, 1):
        calls = [asked(place, get(f"/pods/{name}"), 20) for place, name in enumerate(names[number::2])]
        (tmp_path / f"{number}.cap").write_bytes(with_heads(calls, host=f"host-{number}"))

    found = table(run(tmp_path, "-o", tmp_path))

    assert found == [["30", "0", "GET /pods/{*} at api:80 (client)"]] * 2


def test_a_filter_does_not_change_routes(tmp_path: Path) -> None:
    calls = [asked(number, get(f"/pods/web-{number}x"), 100 + number) for number in range(60)]
    (tmp_path / "run.cap").write_bytes(with_heads(calls))

    found = table(run(tmp_path / "run.cap", "-o", tmp_path, "-t", "159"))

    assert found == [["1", "0", "GET /pods/{*} at api:80 (client)"]]


def test_a_given_route_is_in_the_table_and_is_explained(tmp_path: Path) -> None:
    (tmp_path / "run.cap").write_bytes(with_heads(CALLS))

    printed = run(tmp_path / "run.cap", "-o", tmp_path, "--route-pattern", "/users/{id}", "--explain-routes")

    assert ["3", "1", "GET /users/{id} at api:80 (client)"] in table(printed)
    assert "/users/{id}  <-  /users/17  (a route pattern)" in printed.splitlines()
    assert "/p.S/M  <-  /p.S/M  (a gRPC method)" in printed.splitlines()


NAMES = [f"/{letter}/x{number}" for letter in "ab" for number in range(4)]
PATHS = st.sampled_from(["/", "/a/1", "/a/2", "/a/b", *NAMES])
REQUESTS = st.tuples(PATHS, st.sampled_from(["h", "i"]), st.sampled_from(["GET", "PUT"]), st.integers(1, 9))
CAPTURES = st.lists(st.lists(REQUESTS, max_size=8), min_size=1, max_size=4)


def aggregates_of(captures: list[list[tuple[str, str, str, int]]], *, by_route: bool = False) -> list[Aggregate]:
    several = []
    for number, requests in enumerate(captures):
        calls = [
            asked(place, get(path, authority, method), milliseconds)
            for place, (path, authority, method, milliseconds) in enumerate(requests)
        ]
        report = reported(with_heads(calls, host=f"h{number % 2}"), by_route=by_route)
        several.append(aggregate_of(report, f"{number}.cap"))
    return several


@given(CAPTURES, st.randoms())
@settings(max_examples=40, deadline=None)
def test_the_order_and_grouping_of_merges_make_no_difference(
    captures: list[list[tuple[str, str, str, int]]], draw: random.Random
) -> None:
    limits = mock.patch.multiple(routes, MOST_WORDS=3, MOST_OTHERS=2)
    with limits, mock.patch.object(shapes, "MAX_SHAPES", 6):
        several = aggregates_of(captures)
        expected = merge_aggregates(several)
        while len(several) > 1:
            some = [several.pop(draw.randrange(len(several))) for _ in range(min(len(several), draw.randrange(2, 4)))]
            several.append(merge_aggregates(some))

        assert merge_aggregates(several).by_route == expected.by_route
        assert list(merge_aggregates(several).by_route) == list(expected.by_route)
        assert len(expected.examples) <= 6


@given(CAPTURES)
@settings(max_examples=40, deadline=None)
def test_the_totals_are_those_of_the_calls(captures: list[list[tuple[str, str, str, int]]]) -> None:
    sums: defaultdict[tuple[str, str], int] = defaultdict(int)
    for requests in captures:
        for _, authority, method, milliseconds in requests:
            sums[method, authority] += milliseconds * MS

    found: defaultdict[tuple[str, str], int] = defaultdict(int)
    for route, totals in merge_aggregates(aggregates_of(captures)).by_route.items():
        found[route.method, route.authority] += totals.latencies.totals.time_ns

    assert found == sums


@pytest.mark.parametrize(
    ("route", "name"),
    [
        (Route(1, "GET", "api:80", "/a"), "GET /a at api:80 (client)"),
        (Route(2, "GET", "", "/a"), "GET /a (server)"),
        (Route(0, "", "", "/a"), "/a (unknown)"),
        (Route(1, "", "", ""), "not known (client)"),
    ],
)
def test_a_route_is_named_by_what_is_known_of_it(route: Route, name: str) -> None:
    assert route.name == name


def test_a_comparison_has_both_sides_of_each_route_and_the_routes_of_both(tmp_path: Path) -> None:
    names = [f"web-{number}x" for number in range(60)]
    for side, some in (("old", names[:30]), ("new", names[30:])):
        calls = [asked(place, get(f"/pods/{name}"), 20) for place, name in enumerate(some)]
        more = [*calls, asked(100, get(f"/{side}"), 30, response_head=b"HTTP/1.1 503 No\r")]
        (tmp_path / f"{side}.cap").write_bytes(with_heads(more))
    files: list[str | Path] = [tmp_path / "new.cap", "--baseline", tmp_path / "old.cap"]

    document = json.loads(run(*files, "--json"))
    printed = run(*files, "-o", tmp_path, "--explain-routes")

    VALIDATOR.validate(document)
    sides = {
        route["route"]: [side and (side["calls"], side["errors"]) for side in (route["before"], route["after"])]
        for route in document["routes"]
    }
    assert sides == {"/pods/{*}": [(30, 0), (30, 0)], "/new": [None, (1, 1)], "/old": [(1, 1), None]}
    lines = [line.split() for line in printed.splitlines()]
    (head,) = (number for number, line in enumerate(lines) if line[-2:] == ["errors", "route"])
    assert [(line[0], line[-6:]) for line in lines[head + 1 : head + 4]] == [
        ("new", ["1", "GET", "/new", "at", "api:80", "(client)"]),
        ("before", ["0", "GET", "/pods/{*}", "at", "api:80", "(client)"]),
        ("after", lines[head + 3][-6:]),
    ]
    assert "/new  <-  /new  (as it is)" in printed.splitlines()


def test_stacks_by_route_have_the_route_after_the_process_and_the_same_totals(tmp_path: Path) -> None:
    (tmp_path / "a.cap").write_bytes(with_heads(CALLS))
    (tmp_path / "b.cap").write_bytes(with_heads(CALLS))
    run(tmp_path, "-o", tmp_path, "--count", "--by", "route")

    lines = [line.rpartition(" ") for line in (tmp_path / "stacks.folded").read_text().splitlines()]

    assert {stack.split(";")[1]: int(count) for stack, _, count in lines} == {row[2]: 2 * int(row[0]) for row in TABLE}
    assert {stack.split(";")[0] for stack, _, _ in lines} == {"nova-api"}
    run(tmp_path, "-o", tmp_path, "-f", "--count")
    (line,) = (tmp_path / "stacks.folded").read_text().splitlines()
    assert line.endswith(f" {2 * len(CALLS)}")


@given(CAPTURES)
@settings(max_examples=20, deadline=None)
def test_stacks_by_route_do_not_depend_on_the_order_of_merges(
    captures: list[list[tuple[str, str, str, int]]],
) -> None:
    limits = mock.patch.multiple(routes, MOST_WORDS=3, MOST_OTHERS=2)
    with limits, mock.patch.object(shapes, "MAX_SHAPES", 6):
        several = aggregates_of(captures, by_route=True)
        one, other = (merge_aggregates(order) for order in (several, [*reversed(several)]))
        pairs = merge_aggregates([merge_aggregates(several[:2]), merge_aggregates(several[2:])])

        assert one.samples == other.samples == pairs.samples
        time_ns = sum(sample.totals.time_ns for sample in one.samples)
        assert time_ns == sum(totals.latencies.totals.time_ns for totals in one.by_route.values())


def test_of_too_many_requests_the_same_are_told_apart_however_they_are_forgotten(tmp_path: Path) -> None:
    calls = [asked(number, get(f"/{chr(97 + number % 26)}{chr(97 + number // 26)}"), 20) for number in range(90)]
    with mock.patch.object(shapes, "MAX_SHAPES", 10):
        at_once = aggregate_of(reported(with_heads(calls)), "a.cap")
        with mock.patch.object(request_keys, "_MOST_NUMBERED", 15):
            forgetting = aggregate_of(reported(with_heads([*calls, *reversed(calls)])), "a.cap")

    assert forgetting.examples == at_once.examples
    assert len(at_once.examples) == 10
    assert at_once.by_route[Route(1, "", "", "{other}")].latencies.totals.calls == 80
    assert forgetting.by_route[Route(1, "", "", "{other}")].latencies.totals.calls == 160


def test_calls_in_tls_are_told_apart_by_the_name_of_the_server() -> None:
    heads = [
        b"? ? ?\ntls-server-name: a.example\ntls-version: 1.3\n...",
        b"? ? ?\ntls-server-name: b.example\n...",
        b"",
    ]
    calls = [asked(place, head, 10) for place, head in enumerate([*heads, heads[0], get("/users/17")])]

    whole = aggregate_of(reported(with_heads(calls)), "run.cap")

    assert {route.what: totals.latencies.totals.calls for route, totals in whole.by_route.items()} == {
        "not known at a.example": 2,
        "not known at b.example": 1,
        "not known": 1,
        "GET /users/{n} at api:80": 1,
    }
