"""Check the filters that ask for what is in the heads of calls, and what they say of calls whose heads nobody knows."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from httpcapture import Outcome, Reader
from httpreport.calls.filters import Filters, Selection
from httpreport.calls.head_filters import PathFilter, RouteFilter, StatusFilter
from httpreport.capture.loader import load
from httpreport.capture.recording import Recording
from httpreport.cli.main import main
from httpreport.report.warnings import warnings_of
from httpreport.routes.patterns import NO_PATTERNS, RoutePattern, RoutePatterns
from support.head_records import Asked, head_records
from support.recordings import MS, Row, capture

NO_BYTES = Row(request_head=b"", response_head=b"")
TRACE = "0af7651916cd43dd8448eb211c80319c"
CALLS = [
    Asked(Row(), b"GET /users/17?... HTTP/1.1\nhost: Api:80\nx-request-id: r-0", b"HTTP/1.1 200"),
    Asked(
        replace(NO_BYTES, sequence=1),
        f"POST /users/ann/posts HTTP/2\nhost: api\ntraceparent: 00-{TRACE}-b7ad6b7169203331-01".encode(),
        b"HTTP/2 404\nx-openstack-request-id: r-1",
    ),
    Asked(replace(NO_BYTES, sequence=2), b"POST /pkg.S/17 HTTP/2\ncontent-type: application/grpc", b"HTTP/2 503"),
    Asked(replace(NO_BYTES, sequence=3)),
    Asked(replace(NO_BYTES, sequence=4, outcome=Outcome.EOF), b"GET /users/bob HTTP/1.1\nhost: b\n..."),
]


def loaded(calls: list[Asked], filters: Filters, milliseconds: float = 0, patterns: Any = NO_PATTERNS) -> Recording:
    data = capture([call.row for call in calls], head_records(calls), threshold_ns=0)
    reader = Reader(io.BytesIO(data))
    return load(reader, Selection.of(reader.meta, milliseconds, (), filters, patterns=patterns))


def path(*texts: str) -> Filters:
    return Filters(paths=tuple(map(PathFilter.parse, texts)))


def route(*texts: str) -> Filters:
    return Filters(routes=tuple(map(RouteFilter.parse, texts)))


def status(*texts: str) -> Filters:
    return Filters(statuses=tuple(map(StatusFilter.parse, texts)))


@pytest.mark.parametrize(
    ("filters", "hit", "not_known"),
    [
        (Filters(methods=("POST",)), [1, 2], 1),
        (Filters(methods=("GET", "POST")), [0, 1, 2, 4], 1),
        (Filters(methods=("post",)), [], 1),
        (path("/users/*"), [0, 4], 1),
        (path("/users/**"), [0, 1, 4], 1),
        (path("/users/17", "re:posts$"), [0, 1], 1),
        (path("re:ann|bob"), [1, 4], 1),
        (route("/users/{n}"), [0], 1),
        (route("/users/{*}"), [4], 1),
        (route("/users/{*}/posts"), [1], 1),
        (route("/pkg.S/17"), [2], 1),
        (route("/pkg.S/{n}"), [], 1),
        (Filters(authorities=("api:80",)), [0], 2),
        (Filters(authorities=("api", "b")), [1, 4], 2),
        (status("404"), [1], 1),
        (status("5xx", "200"), [0, 2], 1),
        (status(">=400"), [1, 2], 1),
        (status("<404"), [0], 1),
        (Filters(request_ids=("r-0",)), [0], 2),
        (Filters(request_ids=("r-1",)), [1], 2),
        (Filters(request_ids=(TRACE,)), [1], 2),
        (Filters(request_ids=("other",)), [], 2),
        (Filters(methods=("GET",), statuses=(StatusFilter.parse("200"),)), [0], 1),
    ],
)
def test_a_call_passes_only_if_what_is_asked_for_is_known(filters: Filters, hit: list[int], not_known: int) -> None:
    recording = loaded(CALLS, filters)

    assert recording.calls["sequence"].tolist() == hit
    assert recording.not_known == not_known


def test_only_calls_that_pass_everything_else_count_as_not_known() -> None:
    several = [replace(NO_BYTES, sequence=number, duration_ns=number * MS, pid=number) for number in range(1, 6)]
    calls = [Asked(Row(duration_ns=9 * MS)), *map(Asked, several)]

    assert loaded(calls, Filters(methods=("POST",)), 3).not_known == 3
    assert loaded(calls, Filters(pids=(4, 5), methods=("POST",)), 5).not_known == 1
    assert loaded(calls, Filters(methods=("POST",), statuses=(StatusFilter.parse("404"),)), 5).not_known == 1
    assert loaded(calls, Filters(pids=(4, 5))).not_known == 0


def test_a_given_route_is_the_route_that_is_asked_for() -> None:
    patterns = RoutePatterns([RoutePattern.parse("/users/{name}")])

    assert loaded(CALLS, route("/users/{name}"), patterns=patterns).calls["sequence"].tolist() == [0, 4]
    assert loaded(CALLS, route("/users/{n}"), patterns=patterns).calls["sequence"].tolist() == []


@pytest.mark.parametrize(
    ("filters", "said"),
    [
        (Filters(methods=("PUT",)), "; methods in the capture: GET (2, slowest 250 ms), POST (2, slowest 250 ms), not"),
        (path("/x"), "; paths in the capture: /pkg.S/17 (1, slowest 250 ms), /users/17 (1,"),
        (route("/x"), "; routes in the capture: /pkg.S/17 (1, slowest 250 ms), /users/ann/posts (1, slowest 250 ms),"),
        (Filters(authorities=("x",)), "; authorities in the capture: not known (2, slowest 250 ms), Api:80 (1,"),
        (status("1xx"), "; statuses in the capture: not known (2, slowest 250 ms), 200 (1, slowest 250 ms), 404 (1"),
    ],
)
def test_a_filter_that_matches_nothing_lists_the_values_that_exist(filters: Filters, said: str) -> None:
    (warning,) = warnings_of(loaded(CALLS, filters), Selection(0, (), filters))

    assert said in warning.text


@pytest.mark.parametrize("text", ["", "4", "4xxx", "40", "0xx", "=404", ">=4xx", "4040", "\u0664\u0660\u0664"])
def test_an_invalid_status_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no status"):
        StatusFilter.parse(text)


def run(tmp_path: Path, *arguments: str) -> Result:
    file = tmp_path / "run.cap"
    file.write_bytes(capture([call.row for call in CALLS], head_records(CALLS), threshold_ns=0))
    return CliRunner().invoke(main, [str(file), "-o", str(tmp_path), "-f", *arguments])


@pytest.mark.parametrize(
    ("arguments", "kept"),
    [
        (["--method", "POST", "--status", "4xx"], 1),
        (["--path", "/users/*", "--path", "/pkg*/*"], 3),
        (["--route", "/users/{n}"], 1),
        (["--route", "/u/{name}", "--route", "/users/{name}", "--route-pattern", "/users/{name}"], 2),
        (["--authority", "api"], 1),
        (["--request-id", "r-1"], 1),
    ],
)
def test_the_command_line_asks_and_the_summary_counts(arguments: list[str], kept: int, tmp_path: Path) -> None:
    result = run(tmp_path, *arguments)

    assert result.exit_code == 0, result.output
    assert f": {kept} call{'' if kept == 1 else 's'} (" in result.stdout
    assert "of which it is not known whether they pass the filters" in result.stdout
    assert "of which it is not known" in (tmp_path / "stack_traces.txt").read_text()


def test_json_counts_them_too(tmp_path: Path) -> None:
    document = json.loads(run(tmp_path, "--method", "POST", "--json").stdout)

    assert (document["ledger"]["kept"], document["ledger"]["not_known"]) == (2, 1)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--path", "re:(a"], "a ( has no )"),
        (["--route", "users"], "is no route"),
        (["--status", "bad"], "is no status"),
        (["--route-pattern", "/{a"], "braces"),
        (["--route-patterns", "nowhere"], "nowhere"),
    ],
)
def test_what_cannot_be_asked_is_refused(arguments: list[str], said: str, tmp_path: Path) -> None:
    result = run(tmp_path, *arguments)

    assert (result.exit_code, said in result.output) == (2, True)


def test_a_file_has_routes_too(tmp_path: Path) -> None:
    (tmp_path / "routes.txt").write_text("# ours\n/users/{name}\n")
    (tmp_path / "bad.txt").write_text("/users/{name}\nx\n")

    arguments = ["--route", "/users/{name}", "--route-patterns"]

    assert ": 2 calls (" in run(tmp_path, *arguments, str(tmp_path / "routes.txt")).stdout
    assert "line 2: " in run(tmp_path, *arguments, str(tmp_path / "bad.txt")).output
