"""Compare the page's filters by method, status and route in a browser with those of the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from httpcapture import Outcome
from support.browser import Browser
from support.head_records import Asked, head_records
from support.pages import command_line, ended, said, summed, totals, with_page
from support.recordings import MS, Row, capture

pytest_plugins = "support.browser_fixtures"
EVIL = "</script><img src=x onerror=document.title='owned'>".replace(" ", "%20")
REQUESTS = [
    *("GET /users/17", "GET /users/18?...", "PUT /users/19", "GET /users/me", "GET /users/ann/posts", "GET /"),
    *(f"GET /pods/web-{number}x/log" for number in range(51)),
    *(f"GET /{EVIL}", "POST /p.S/M", "POST /p.S/N"),
]


def asked(number: int) -> Asked:
    row = Row(duration_ns=100 * MS + number, sequence=number, request_head=b"", response_head=b"")
    if number >= len(REQUESTS):
        return Asked(row)
    grpc = "\ncontent-type: application/grpc" if "/p.S/" in REQUESTS[number] else ""
    head = f"{REQUESTS[number]} HTTP/1.1\nhost: api:{80 + number % 2}{grpc}"
    status = (200, 404, 503, 500, 0)[number % 5]
    return Asked(row, head.encode(), f"HTTP/1.1 {status}".encode() if status else b"")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    calls = [asked(number) for number in range(len(REQUESTS) + 4)]
    unanswered = Row(duration_ns=99 * MS, sequence=900, request_head=b"", response_head=b"", outcome=Outcome.EOF)
    calls.append(Asked(unanswered, b"GET /users/20 HTTP/1.1"))
    data = capture([call.row for call in calls], head_records(calls), threshold_ns=0)
    return with_page(tmp_path_factory.mktemp("routes") / "run.cap", data)


@pytest.fixture
def page(browser: Browser, recorded: Path) -> Browser:
    browser.open(recorded.with_suffix(".html"))
    return browser


def choose(page: Browser, method: str) -> None:
    script = "const [field, value] = arguments; field.value = value; field.dispatchEvent(new Event('input'))"
    page.run(script, page.find("#method"), method)


def not_known(recorded: Path, *arguments: str) -> str:
    """Return what the summary says of calls that were left out, or nothing."""
    lines = ended(recorded, "-t", "0", "-o", recorded.parent, "-f", *arguments).stdout.splitlines()
    return next((line.removeprefix("left out: ") for line in lines if line.startswith("left out: ")), "")


@pytest.mark.parametrize(
    ("method", "status", "route"),
    [
        ("GET", "", ""),
        ("POST", "", ""),
        ("", "404", ""),
        ("", "5xx", ""),
        ("", ">=404", ""),
        ("", "<500", ""),
        ("", "", "/users/{n}"),
        ("", "", "/users/{*}"),
        ("", "", "/users/{*}/posts"),
        ("", "", "/pods/{*}/log"),
        ("", "", "/p.S/M"),
        ("", "", "/"),
        ("GET", "5xx", "/pods/{*}/log"),
    ],
)
def test_a_filter_means_what_it_means_on_the_command_line(
    page: Browser, recorded: Path, method: str, status: str, route: str
) -> None:
    choose(page, method)
    page.enter("#status", status)
    page.enter("#route", route)

    given = (("--method", method), ("--status", status), ("--route", route))
    arguments = [word for pair in given if pair[1] for word in pair]
    assert totals(page) == summed(said(recorded, "-t", "0", *arguments)["calls"])
    assert totals(page)[0] > 0
    expected = not_known(recorded, *arguments)
    assert expected
    assert f"Left out: {expected}." in page.texts("#note")[0]


@pytest.mark.parametrize(("field", "text"), [("#status", "4"), ("#status", ">=4xx"), ("#route", "/p.S/{*}")])
def test_what_is_no_status_or_route_matches_nothing(page: Browser, field: str, text: str) -> None:
    page.enter(field, text)

    assert totals(page)[0] == 0


def test_the_table_by_route_is_that_of_the_summary_and_filters(page: Browser, recorded: Path) -> None:
    routes = said(recorded, "-t", "0")["routes"]
    expected: dict[str, int] = {}
    for one in routes:
        at = f" at {one['authority']}" if one["authority"] else ""
        expected[f"{one['method']} {one['route']}{at}" if one["route"] else "not known"] = one["calls"]

    page.click("#by-route [title='All or the first']")
    shown = dict(zip(page.texts("#by-route tbody th"), map(int, page.texts("#by-route tbody .calls"))))
    assert shown == expected
    page.click("#by-route tbody button[title='Only GET /pods/{*}/log at api:80']")
    assert totals(page)[0] == expected["GET /pods/{*}/log at api:80"]
    assert "Authority" in page.texts("#calls-table th")


def test_a_call_says_what_it_asked_for_and_nothing_of_it_becomes_markup(page: Browser) -> None:
    page.enter("#route", f"/{EVIL}")

    assert page.texts("#calls-table tbody .request")[0].startswith(f"GET /{EVIL}")
    page.click("#calls-table tbody .open")
    assert any(text.startswith(f"Request: GET /{EVIL} HTTP/1.1, Authority: api:") for text in page.texts(".opened p"))
    assert page.driver.title != "owned"


def test_a_page_without_heads_has_no_such_filters(browser: Browser, tmp_path: Path) -> None:
    (tmp_path / "run.cap").write_bytes(capture([Row()]))
    command_line(tmp_path / "run.cap", "--html", tmp_path / "run.html")
    browser.open(tmp_path / "run.html")

    assert browser.run("return [...document.querySelectorAll('.of-heads')].every((part) => part.offsetParent === null)")
    assert "Authority" not in browser.texts("#calls-table th")


TABLE = """return Object.fromEntries([...document.querySelectorAll("#routes tbody")].map((body) => [
  body.querySelector("th.name").textContent,
  Object.fromEntries([...body.rows].map((row) => [row.querySelector(".label").textContent, row.cells.item(
    row.querySelector("th.name") ? 2 : 1).textContent])),
]))"""


def test_the_page_of_a_comparison_has_both_sides_of_each_route(
    browser: Browser, recorded: Path, tmp_path: Path
) -> None:
    (tmp_path / "old.cap").write_bytes(capture([Row()]))
    files: tuple[str | Path, ...] = (recorded, "--baseline", tmp_path / "old.cap", "-t", "0")
    command_line(*files, "--html", tmp_path / "page.html")
    browser.open(tmp_path / "page.html")

    browser.click("#routes > button")  # all, not only those that changed most
    shown = {name: {label: row[label] for label in row.keys() - {"change"}} for name, row in browser.run(TABLE).items()}

    expected: dict[str, dict[str, str]] = {}
    for one in json.loads(command_line(*files, "--json"))["routes"]:
        at = f" at {one['authority']}" if one["authority"] else ""
        name = f"{one['method']} {one['route']}{at}" if one["route"] else "not known"
        calls = {side: str(one[side]["calls"]) for side in ("before", "after") if one[side]}
        expected[f"{name} ({one['role']})"] = calls if len(calls) == 2 else {"new": calls["after"]}
    assert shown == expected
    assert "not known (client)" in expected
