"""Check that a part of the latency picture can be chosen, and that it is what the command line selects."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest
from selenium.webdriver import ActionChains
from selenium.webdriver.common.keys import Keys

from support.browser import Browser
from support.pages import said, summed, totals, with_page
from support.recordings import MS, Row, capture

pytest_plugins = "support.browser_fixtures"
CALLS = 40  # one in each 100 ms: the even ones are slow


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = [
        Row(duration_ns=(500 if number % 2 == 0 else 50) * MS + number, start_ns=number * 100 * MS, sequence=number)
        for number in range(CALLS)
    ]
    return with_page(tmp_path_factory.mktemp("brush") / "run.cap", capture(rows, threshold_ns=0))


@pytest.fixture
def page(browser: Browser, recorded: Path) -> Browser:
    browser.driver.get("about:blank")
    browser.open(recorded.with_suffix(".html"))
    return browser


def drag(browser: Browser, across: tuple[float, float], down: tuple[float, float]) -> None:
    """Drag over the picture, between these parts of the width and of the height in which there are marks."""
    picture = browser.find("#latency svg")
    browser.run("arguments[0].scrollIntoView({block: 'center'})", picture)
    width, height = browser.run("return [arguments[0].clientWidth, arguments[0].clientHeight]", picture)
    (x0, x1), (y0, y1) = (
        [round(64 + part * (width - 92)) for part in across],
        [round(8 + part * 208) for part in down],
    )
    actions = ActionChains(browser.driver, duration=20)
    actions.move_to_element_with_offset(picture, x0 - round(width / 2), y0 - round(height / 2)).click_and_hold()
    actions.move_by_offset((x1 - x0) // 2, (y1 - y0) // 2)
    actions.move_by_offset(x1 - x0 - (x1 - x0) // 2, y1 - y0 - (y1 - y0) // 2)
    actions.release().perform()
    browser.settle()


def between(recorded: Path, first: float, last: float, *options: str) -> tuple[int, int]:
    """Return what the command line says of the calls that began in a part of the time from the first to the last."""
    starts = sorted(datetime.fromisoformat(call["start"]) for call in said(recorded, "-t", "0")["calls"])
    begin, span = starts[0], starts[-1] - starts[0]
    times = [(begin + timedelta(seconds=part * span.total_seconds())).isoformat() for part in (first, last)]
    return summed(said(recorded, "-t", "0", "--since", times[0], "--until", times[1], *options)["calls"])


def test_a_drag_across_selects_by_time(page: Browser, recorded: Path) -> None:
    drag(page, (0.25, 0.75), (0.5, 0.5))

    assert totals(page) == between(recorded, 0.24, 0.76) != (0, 0)
    assert totals(page)[0] < CALLS
    (chip,) = page.texts("#chips li")
    assert chip.startswith("Time 22:13:2")
    marks = page.run("return document.querySelectorAll('.chosen').length")
    assert marks == 1
    page.click("#chips button")
    assert totals(page)[0] == CALLS


def test_a_drag_down_selects_by_duration(page: Browser, recorded: Path) -> None:
    drag(page, (0.5, 0.5), (0.4, 1))

    assert totals(page)[0] == CALLS / 2
    assert all(text.startswith("50 ms") for text in page.texts("#calls-table .open"))
    (chip,) = page.texts("#chips li")
    assert chip.startswith("At most ")
    most = str(page.find("#at_most").get_property("value"))
    calls = [call for call in said(recorded, "-t", "0")["calls"] if call["duration_ns"] <= float(most) * MS]
    assert totals(page) == summed(calls)


def test_a_drag_across_and_down_selects_by_both_and_a_click_removes_both(page: Browser, recorded: Path) -> None:
    drag(page, (0.25, 0.75), (0, 0.3))

    assert totals(page) == between(recorded, 0.24, 0.76, "-t", "300")
    assert float(str(page.find("#threshold").get_property("value"))) > 50
    assert len(page.texts("#calls-table .open")) == totals(page)[0] > 0

    drag(page, (0.6, 1), (0.6, 1))
    assert 0 < totals(page)[0] < CALLS
    drag(page, (0.5, 0.5), (0.5, 0.5))
    assert totals(page)[0] == CALLS
    assert not page.texts("#chips li")


def test_the_last_call_and_the_first_are_within_what_is_dragged_over_to_the_edge(page: Browser) -> None:
    drag(page, (0.9, 1), (0.5, 0.5))
    last = page.texts("#calls-table td.start")
    drag(page, (0.1, 0), (0.5, 0.5))
    first = page.texts("#calls-table td.start")

    assert max(last) == "22:13:23.900"
    assert min(first) == "22:13:20.000"


def test_keys_choose_a_part_of_the_time(page: Browser) -> None:
    page.press(
        "#latency svg", *[Keys.ARROW_RIGHT] * 3, Keys.SHIFT, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.NULL, Keys.ENTER
    )

    assert totals(page)[0] == 3
    assert sorted(page.texts("#calls-table td.start")) == ["22:13:20.200", "22:13:20.300", "22:13:20.400"]
    assert page.run("return document.activeElement.closest('#latency') !== null")
    page.press("#latency svg", Keys.ESCAPE)
    assert totals(page)[0] == CALLS


def test_what_was_chosen_is_part_of_the_address(page: Browser) -> None:
    drag(page, (0.25, 0.75), (0.4, 1))
    page.wait("return location.hash.includes('time=') && location.hash.includes('at_most=')")
    chosen = totals(page), page.texts("#chips li")

    page.driver.refresh()
    page.wait("return document.documentElement.dataset.ready")
    assert (totals(page), page.texts("#chips li")) == chosen
    page.run("history.back()")
    page.wait("return !location.hash.includes('time=')")
    page.settle()
    assert totals(page)[0] == CALLS


@pytest.mark.parametrize("text", ["time=9-1", "time=0-99999", "time=x", "at_most=-1", "at_most=1e99", "at_most=0"])
def test_a_part_that_does_not_exist_is_none(page: Browser, text: str) -> None:
    page.run("location.hash = arguments[0]", text)
    page.settle()

    assert totals(page)[0] == CALLS


def test_an_empty_part_says_what_to_remove(page: Browser) -> None:
    page.enter("#at_most", "100")
    page.enter("#threshold", "200")

    assert totals(page) == (0, 0)
    assert page.texts("#note button") == ["Without At least 200 ms: 20 calls", "Without At most 100 ms: 20 calls"]
