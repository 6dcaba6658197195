"""Compare the answer on the page with that of --json, in a browser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from support import stories
from support.browser import Browser
from support.pages import command_line, said
from support.recordings import MS, Row, capture
from support.staged_services import Ask, Service, Stage
from support.stories import own

pytest_plugins = "support.browser_fixtures"
SHOWN = """return Array.from(document.querySelectorAll("#answers .answer")).map((answer) => [
  answer.querySelector("p").textContent,
  Array.from(answer.querySelectorAll("dt")).map((about) => [about.textContent, about.nextElementSibling.textContent]),
])"""


def open_page(browser: Browser, path: Path) -> list[Any]:
    page = path.with_suffix(".html")
    command_line(path, "--html", page)
    browser.open(page)
    shown: list[Any] = browser.run(SHOWN)
    return shown


def test_the_page_begins_with_the_answer_of_json_and_no_name_becomes_markup(browser: Browser, tmp_path: Path) -> None:
    evil = Service("<b>&amp;</b>", 9200)
    stage = Stage(1)
    for number in range(40):
        stage.ask("load", Ask(evil, "/<img/src=x>", [own(stage, 50)]), number * 100 * MS, number)
    path = tmp_path / "run.cap"
    path.write_bytes(stage.capture())

    ((first, lines),) = open_page(browser, path)

    said_first, *said_lines = said(path)["answer"]["text"]
    assert "<b>&amp;</b>" in first
    assert first == said_first["text"]
    assert lines == [[line["about"], line["text"]] for line in said_lines]
    assert not browser.run('return document.querySelectorAll("#answers b, #answers img").length')


def test_the_page_has_an_answer_for_each_host(browser: Browser, tmp_path: Path) -> None:
    for host in ("web-1", "web-2"):
        rows = [call.row for call in stories.slow_alone(1).stage.calls]
        (tmp_path / f"{host}.cap").write_bytes(capture(rows, threshold_ns=0, host=host))

    assert len(open_page(browser, tmp_path)) == 2
    names = browser.run('return Array.from(document.querySelectorAll("#answers h3")).map((name) => name.textContent)')
    assert names == ["web-1", "web-2"]


def test_without_requests_there_is_no_answer(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "run.cap"
    path.write_bytes(capture([Row()]))
    command_line(path, "--first-byte", "--html", path.with_suffix(".html"))
    browser.open(path.with_suffix(".html"))
    assert browser.run('return document.getElementById("answers").hidden')
    assert browser.run(SHOWN) == []
