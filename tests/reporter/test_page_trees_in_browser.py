"""Compare the trees and the totals of requests on the page with what httpreport prints about the same capture."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import takewhile
from pathlib import Path
from types import ModuleType

import pytest
from selenium.webdriver.common.keys import Keys

from httpcapture import Role
from httpcapture.durations import duration_text
from httpreport.outputs.page import document, trees
from httpreport.report import tree_places
from support.browser import Browser
from support.made_trees import Made, World
from support.pages import CONTRAST, command_line, said, totals, with_page
from support.recordings import MS, Row, capture
from support.reports import aggregated, reported
from support.shop_trees import shop_capture

pytest_plugins = "support.browser_fixtures"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_page(tmp_path_factory.mktemp("shop") / "run.cap", shop_capture())


@pytest.fixture
def page(browser: Browser, shop: Path) -> Browser:
    browser.open(shop.with_suffix(".html"))
    return browser


def printed(capture: Path, folder: Path, *options: str) -> list[str]:
    return command_line(capture, "-f", "-o", folder, *options).splitlines()


def tree_lines(lines: list[str], number: int) -> list[str]:
    """Return the lines of the whole tree with this number."""
    first = next(at for at, line in enumerate(lines) if line.startswith(f"request {number}, "))
    return list(takewhile(lambda line: line.startswith(" "), lines[first + 1 :]))


def shown_lines(browser: Browser) -> list[str]:
    """Return the rows of the waterfall, written as `--tree` writes lines."""
    rows = browser.run(
        """return [...document.querySelectorAll(".waterfall li")].map((row) => ["took", "mark", "what", "known"]
            .map((name) => row.querySelector(`.${name}`).textContent)
            .concat(row.querySelector(".call").style.getPropertyValue("--depth")))"""
    )
    return [
        f"{took:>9} {mark or ' '} {'  ' * int(depth)}{what}{f' ({known})' if known else ''}"
        for took, mark, what, known, depth in rows
    ]


def open_call(browser: Browser, place: int) -> None:
    browser.press(f"#calls-table tbody tr:nth-child({place}) .open", Keys.ENTER)


def test_the_waterfall_of_a_call_is_the_tree_on_the_command_line(page: Browser, shop: Path, tmp_path: Path) -> None:
    lines = printed(shop, tmp_path, "-t", "0", "--tree", "1", "--tree", "6")

    for tree, place in ((1, 1), (1, 2), (6, 12)):
        open_call(page, place)
        assert shown_lines(page) == tree_lines(lines, tree) != []
        assert page.texts(".waterfall [aria-current] .took") == [duration_text(say_call(shop, place)["duration_ns"])]
        open_call(page, place)
    assert "x 20, 110 ms in all, the longest shown" in "\n".join(lines)


def say_call(capture: Path, place: int) -> dict[str, int]:
    call: dict[str, int] = said(capture, "-t", "0")["calls"][place - 1]
    return call


@pytest.mark.parametrize("milliseconds", ["0", "100", "500.5", "503"])
def test_requests_count_once_as_on_the_command_line(
    page: Browser, shop: Path, tmp_path: Path, milliseconds: str
) -> None:
    page.enter("#threshold", milliseconds)

    lines = "\n".join(printed(shop, tmp_path, "-t", milliseconds))
    requests, calls = page.texts("#totals")[0], page.texts("#calls-once")[0]
    assert f"\n{requests}" in lines
    (both_ends,) = re.findall(
        r"^([\d,]+ calls), of which ([\d,]+) were recorded at both ends: (.*) in all$", lines, re.M
    )
    assert (calls, page.texts("#once-time")[0]) == (both_ends[0], both_ends[2])
    assert f"Without {both_ends[1]} that are" in page.texts("#totals-more")[0]


def test_only_requests_can_be_shown(page: Browser, shop: Path) -> None:
    page.click("#roots")

    shown = totals(page)
    assert shown == (6, sum((500 + number) * MS for number in range(6)))
    assert set(page.texts("#calls-table td.role")) == {"client"}
    page.click("#filters [type=reset]")
    assert totals(page)[0] == len(said(shop, "-t", "0")["calls"])


def test_a_row_opens_its_call_and_keys_move_from_row_to_row(page: Browser) -> None:
    open_call(page, 1)
    assert page.texts(".opened p.name")[1].startswith("10.0.0.1:")

    page.run("document.querySelector('.waterfall button').focus()")
    for key in (Keys.ARROW_DOWN, Keys.ARROW_DOWN, Keys.ARROW_DOWN, Keys.ARROW_UP, Keys.ENTER):
        page.run("return document.activeElement").send_keys(key)
    page.settle()

    assert page.texts(".waterfall [aria-current] .what") == ["tier0 asks shop:8001 GET /items/{n}"]
    assert page.run("return document.activeElement.textContent") == "*tier0 asks shop:8001 GET /items/{n}"
    assert any(text.startswith("Request: GET /items") for text in page.texts(".opened p.name"))
    assert len(page.texts(".opened .waterfall")) == 1


def test_bars_are_where_the_calls_were_and_differ_by_more_than_colour(page: Browser) -> None:
    open_call(page, 1)

    wide = page.run(
        """const [row] = document.querySelectorAll(".waterfall li:nth-child(2)");
        const width = row.querySelector(".bars").getBoundingClientRect().width;
        return [...row.querySelectorAll(".self")].map((part) => part.getBoundingClientRect().width / width)"""
    )
    longest = 505 * MS
    assert sum(wide) * longest == pytest.approx(page_self_ns(), rel=0.01)
    kinds = page.run(
        """return [...document.querySelectorAll(".waterfall li")].map((row) =>
            [...new Set([...row.querySelectorAll("rect")].map((part) => part.getAttribute("class")))].join())"""
    )
    assert kinds[:2] == ["wait,path", "wait,self,path"]
    assert kinds[6] == "unrecorded,path"
    assert "other end not recorded" in page.texts(".waterfall li:nth-child(7)")[0]
    assert "path" not in kinds[7]


def page_self_ns() -> int:
    """Return the time of the slowest order in which the shop has no call open."""
    return 505 * MS - 20 * 5 * MS - 10 * MS - 240 * MS - 35 * MS  # items, payment, two others that overlap


def test_what_is_probable_is_called_probable(browser: Browser, tmp_path: Path) -> None:
    made = World(1)
    for place in range(3):
        made.record(Made(0, place * 1000 * MS, 500 * MS, [Made(1, place * 1000 * MS + 40 * MS, 400 * MS, [])]))
    rows = [
        Row(**{**vars(row), "tid": 5 + place}) if row.process == b"tier0" else row
        for place, row in enumerate(made.rows)
    ]
    (tmp_path / "run.cap").write_bytes(capture(rows))
    lines = printed(tmp_path / "run.cap", tmp_path, "--tree", "1", "--html", str(tmp_path / "report.html"))

    browser.open(tmp_path / "report.html")
    open_call(browser, 1)

    assert shown_lines(browser) == tree_lines(lines, 1)
    assert any("probably" in known for known in browser.texts(".waterfall .known"))


def test_a_call_of_which_the_cause_is_not_known_says_so(browser: Browser, tmp_path: Path) -> None:
    made = World(1)
    for place in range(3):
        made.record(Made(0, place * MS, 500 * MS, [Made(1, 40 * MS, 400 * MS, [])]))
    rows = [Row(**{**vars(row), "tid": 5, "receive_tid": 5}) if row.process == b"tier0" else row for row in made.rows]
    (tmp_path / "run.cap").write_bytes(capture(rows))
    command_line(tmp_path / "run.cap", "--html", tmp_path / "report.html")

    browser.open(tmp_path / "report.html")
    roles = browser.texts("#calls-table td.role")
    processes = browser.texts("#calls-table td.name:nth-child(3)")
    place = [*zip(roles, processes)].index(("client", "tier0")) + 1
    open_call(browser, place)

    assert "which of 3 requests caused it is not known" in browser.texts(".opened h3")[0]

    open_call(browser, place)
    open_call(browser, [*zip(roles, processes)].index(("server", "tier0")) + 1)
    assert not browser.texts(".opened [aria-current] .self")
    assert browser.texts(".opened [aria-current] .unsure")
    assert any(" to " in text for text in browser.texts(".opened .known"))
    assert "works itself or waits: not known" in browser.texts(".opened .modules li")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
def test_a_waterfall_is_readable(browser: Browser, shop: Path, width: int, scheme: str) -> None:
    browser.open(shop.with_suffix(".html"), width=width, scheme=scheme)
    open_call(browser, 1)

    contrast, text = browser.run(CONTRAST)
    assert contrast >= 4.5, text
    assert browser.run("return document.documentElement.scrollWidth") <= width


def write_page(data: bytes, folder: Path) -> Path:
    path = folder / "report.html"
    path.write_text(document.page(aggregated(reported(data))))
    return path


def test_a_deep_tree_is_cut_off_and_says_so(browser: Browser, tmp_path: Path) -> None:
    tiers = 250
    made = Made(tiers, tiers * MS, 10 * MS, [])
    for tier in reversed(range(tiers)):
        made = Made(tier, tier * MS, made.duration_ns + 2 * MS, [made])
    several = World(1)
    several.record(made)

    browser.open(write_page(capture(several.rows), tmp_path), width=360)
    open_call(browser, 1)

    assert len(browser.texts(".waterfall li")) == tree_places.MOST_LINES == 200
    kinds = browser.texts(".waterfall li:nth-child(2) .self"), browser.texts(".waterfall li:nth-child(200) .unsure")
    assert [len(kind) for kind in kinds] == [
        2,
        1,
    ]  # what is below the last row is not shown, so nothing is claimed of it
    assert "151 more calls, which are below others or too many, are not shown" in browser.texts(".opened .modules li")
    assert browser.run("return document.documentElement.scrollWidth") <= 360
    browser.enter("#calls-search", f"tier{tiers - 1}")
    open_call(browser, 1)
    assert "The opened call is one of those that are not shown" in browser.texts(".opened .modules li")


@pytest.mark.parametrize("limit", [(tree_places, "MOST_CALLS_OF_TREES", 300), (trees, "MOST_SPANS", 100)])
def test_where_there_are_too_many_trees_the_rest_says_so(
    browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: tuple[ModuleType, str, int]
) -> None:
    monkeypatch.setattr(*limit)
    browser.open(write_page(shop_capture(orders=20), tmp_path))

    open_call(browser, 1)
    assert len(browser.texts(".waterfall li")) == 11
    open_call(browser, 1)
    browser.click("#more")
    open_call(browser, 40)
    assert not browser.texts(".waterfall")
    assert "are not in this page: it has those of the slowest calls" in browser.texts(".opened .quiet")[0]


def test_calls_below_the_threshold_are_in_the_waterfall_and_make_requests(browser: Browser, tmp_path: Path) -> None:
    request = Row(role=Role.SERVER, connection=1, duration_ns=400 * MS, process=b"shop", tid=7, receive_tid=7)
    call = replace(request, role=Role.CLIENT, connection=2, duration_ns=7 * MS)
    starts = [number * 1000 * MS for number in range(4)]
    requests = [replace(request, start_ns=at, sequence=number) for number, at in enumerate(starts)]
    calls = [
        replace(call, start_ns=at + (1 + 7 * place) * MS, sequence=50 * number + place)
        for number, at in enumerate(starts)
        for place in range(50)
    ]
    (tmp_path / "run.cap").write_bytes(capture(requests, short=calls))
    lines = printed(tmp_path / "run.cap", tmp_path, "--tree", "1", "--html", str(tmp_path / "report.html"))

    browser.open(tmp_path / "report.html")
    open_call(browser, 1)

    assert any(line.startswith(browser.texts("#totals")[0]) for line in lines)
    assert browser.texts("#totals") == ["4 requests of 1.6 s in all"]
    assert shown_lines(browser) == tree_lines(lines, 1)
    assert browser.texts(".waterfall strong") == ["x 50"]
    assert len(browser.texts(".waterfall button")) == 1


def test_calls_that_are_not_linked_are_no_requests(browser: Browser, tmp_path: Path) -> None:
    (tmp_path / "run.cap").write_bytes(capture([Row()]))
    command_line(tmp_path / "run.cap", "--html", tmp_path / "report.html")

    browser.open(tmp_path / "report.html")
    open_call(browser, 1)

    assert not browser.texts(".waterfall")
    assert not browser.find("#roots").is_displayed()
    assert "request" not in browser.texts("#totals")[0]
