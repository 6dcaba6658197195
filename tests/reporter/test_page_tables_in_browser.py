"""Check that each table of the page can be sorted by each of its columns, by mouse and by key, against what httpreport
prints."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from selenium.webdriver.common.keys import Keys

from support.browser import Browser
from support.pages import mixed_capture, peer_of, said, with_page

pytest_plugins = "support.browser_fixtures"
TABLES = {"#by-process": lambda call: call["process"], "#by-peer": peer_of}


def quantile(percent: int) -> Callable[[Sequence[int]], int]:
    return lambda durations: sorted(durations)[max(1, math.ceil(percent * len(durations) / 100)) - 1]


COLUMNS: dict[str, Callable[[Sequence[int]], int]] = {
    "Calls": len,
    "p50": quantile(50),
    "p90": quantile(90),
    "p99": quantile(99),
    "Slowest": max,
    "Time": sum,
    "Share": sum,
}


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_page(tmp_path_factory.mktemp("tables") / "run.cap", mixed_capture())


@pytest.fixture
def page(browser: Browser, mixed: Path) -> Browser:
    browser.open(mixed.with_suffix(".html"))
    return browser


def sorts(browser: Browser, table: str) -> dict[str, str | None]:
    """Return how each column of a table is sorted, or None where it cannot be sorted by."""
    heads: list[tuple[str, str | None]] = browser.run(
        "return [...document.querySelectorAll(`${arguments[0]} thead th`)]"
        ".map((head) => [head.textContent, head.getAttribute('aria-sort')])",
        table,
    )
    return dict(heads)


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("by_key", [False, True])
def test_a_table_is_sorted_by_each_column(page: Browser, mixed: Path, table: str, by_key: bool) -> None:
    durations: dict[str, list[int]] = defaultdict(list)
    page.enter("#threshold", "290")
    for call in said(mixed, "-t", "290")["calls"]:
        durations[TABLES[table](call)].append(call["duration_ns"])
    assert [text for text, sort in sorts(page, table).items() if sort == "descending"] == ["Time"]

    for place, (text, value) in enumerate(COLUMNS.items(), 3):
        orders = []
        for order in ("descending", "ascending", "descending"):
            head = f"{table} thead th:nth-child({place}) button"
            if sorts(page, table)[text] != order:
                page.press(head, Keys.ENTER) if by_key else page.click(head)
            assert [name for name, sort in sorts(page, table).items() if sort not in (None, "none")] == [text]
            assert sorts(page, table)[text] == order
            assert page.run("return document.activeElement.textContent") == text or text == "Time"
            orders.append([value(durations[name]) for name in page.texts(f"{table} tbody th")])
        down, up, again = orders
        assert down == again == sorted(down, reverse=True)
        assert up == sorted(up) == down[::-1]
        assert len(set(down)) > 1

    page.click(f"{table} thead th:nth-child(1) button")
    names = page.texts(f"{table} tbody th")
    assert names == sorted(durations) == sorted(names)


def test_a_filter_keeps_how_the_tables_are_sorted(page: Browser) -> None:
    page.click("#by-process thead th:nth-child(1) button")
    before = page.texts("#by-process tbody th")

    page.enter("#threshold", "150")

    assert page.texts("#by-process tbody th") == [name for name in before if name in page.texts("#by-process tbody th")]
    assert sorts(page, "#by-process")["Process"] == "ascending"


def test_where_a_picture_is_nothing_is_sorted(page: Browser) -> None:
    assert list(sorts(page, "#by-process").values()).count(None) == 1
