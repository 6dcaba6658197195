"""Check that the hash of the page's address restores what was chosen, whoever wrote it."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import pytest
from selenium.webdriver.common.keys import Keys

from support.browser import Browser
from support.pages import mixed_capture, said, summed, totals, with_page

pytest_plugins = "support.browser_fixtures"
STATE = """return [[...document.querySelectorAll('#filters input, #filters select, [type=search]')].map((e) => e.value),
    [...document.querySelectorAll('[type=radio], [type=checkbox]')].map((e) => e.checked),
    ['#totals', '#calls-said', '#calls-table tbody', '#by-process tbody', '#by-peer tbody', '#flame-found', '.opened']
        .map((at) => document.querySelector(at)?.textContent),
    [...document.querySelectorAll('[aria-sort]')].map((e) => e.getAttribute('aria-sort'))]"""


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_page(tmp_path_factory.mktemp("address") / "run.cap", mixed_capture())


@pytest.fixture
def page(browser: Browser, mixed: Path) -> Browser:
    browser.driver.get("about:blank")
    browser.open(mixed.with_suffix(".html"))
    return browser


def wait_for_hash(browser: Browser, *parts: str) -> None:
    for part in parts:
        browser.wait(f"return location.hash.includes({part!r})")


def reload(browser: Browser) -> None:
    browser.driver.refresh()
    browser.wait("return document.documentElement.dataset.ready")


def go(browser: Browser, step: str, part: str) -> None:
    """Go back or forward to a state of whose hash this is a part."""
    browser.run(f"history.{step}()")
    wait_for_hash(browser, part)
    browser.settle()


def set_hash(browser: Browser, text: str) -> None:
    browser.run(
        "document.documentElement.dataset.moved = ''; addEventListener('popstate', () =>"
        " { document.documentElement.dataset.moved = 'yes'; }, { once: true }); location.hash = arguments[0]",
        text,
    )
    browser.wait("return document.documentElement.dataset.moved")


def test_a_reload_restores_everything_that_was_chosen(page: Browser) -> None:
    page.enter("#threshold", "200.5")
    page.enter("#process", "*a*")
    page.run("const [e] = arguments; e.value = 'client'; e.dispatchEvent(new Event('input'))", page.find("#role"))
    page.click("#by-process thead th:nth-child(1) button")
    page.click("#by-peer thead th:nth-child(4) button")
    page.click("#calls-table th.start button")
    page.enter("#calls-search", "10.0")
    page.enter("#flame-search", "+0x80")
    page.click("[name=merge][value=leaf]")
    page.press("#calls-table tbody tr:nth-child(3) .open", Keys.ENTER)
    wait_for_hash(page, "at_least=200.5", "process=*a*", "role=client", "sort_process=process", "sort_peer=-p50",
                  "sort=started", "find=10.0", "frames=%2B0x80", "merge=leaf", "call=")  # fmt: skip
    chosen = page.run(STATE)
    assert chosen[2][-1]

    reload(page)

    assert page.run(STATE) == chosen


def test_back_and_forward_undo_and_redo(page: Browser, mixed: Path) -> None:
    page.enter("#process", "nova-api")
    wait_for_hash(page, "process=nova-api")
    page.click("#by-peer tbody tr:nth-child(1) button")
    wait_for_hash(page, "peer=")
    both = totals(page)

    page.run("history.back()")
    page.wait("return !location.hash.includes('peer=')")
    page.settle()
    assert totals(page) == summed(said(mixed, "-t", "0", "-p", "nova-api")["calls"])
    assert page.find("#peer").get_property("value") == ""
    page.run("history.back()")
    page.wait("return !location.hash.includes('process=')")
    page.settle()
    assert totals(page)[0] == 60
    go(page, "forward", "process=nova-api")
    go(page, "forward", "peer=")
    assert totals(page) == both


def test_what_moves_while_it_is_dragged_is_one_step(page: Browser) -> None:
    before = page.run("return history.length")

    page.press("#slider", *[Keys.ARROW_RIGHT] * 40)
    wait_for_hash(page, "at_least=")

    assert page.run("return history.length") <= before + 2


def test_an_opened_call_that_is_far_down_is_shown(page: Browser) -> None:
    set_hash(page, "call=59")

    assert len(page.texts("#calls-table .open")) == 26
    assert page.texts("#calls-table .open[aria-expanded=true]") == page.texts("#calls-table .open")[-1:]


@pytest.mark.parametrize(
    "text",
    [
        "no_such_key=1&__proto__=2&constructor=3",
        "at_least=<img src=x onerror=document.title='owned'>",
        "at_least=-1e999&process=" + "*a" * 2000 + "b",
        "process=" + "*" * 4000 + "b",
        "process=%F0%9F&role=%00&peer=%E2%80%AE</script><img src=x onerror=document.title='owned'>",
        "call=99999999999&sort=-__proto__&sort_process=toString&merge=<b>",
        "call=-1&find=<img src=x onerror=document.title='owned'>&frames=(((((",
        "role=nobody&roots=yes&status=>=<",
        "=&&&==%&%%%",
        "x" * 100_000,
        "process=a&" * 30_000,
    ],
)
def test_a_hostile_hash_is_only_text(page: Browser, text: str) -> None:
    set_hash(page, text)

    assert not page.driver.title.startswith("owned")
    assert not page.texts("img, iframe, script[src]")
    page.enter("#threshold", "300")
    page.click("#filters [type=reset]")
    page.enter("#calls-search", "")
    assert totals(page)[0] == 60
    reload(page)


def test_what_is_unknown_in_a_hash_leaves_the_rest(page: Browser, mixed: Path) -> None:
    set_hash(page, "unknown=1&process=nova-api&at_least=250&role=nobody")

    assert totals(page) == summed(said(mixed, "-t", "250", "-p", "nova-api")["calls"])


def test_a_pattern_with_many_stars_is_not_slow(page: Browser) -> None:
    """It would take longer than the script may, if all its ways to match were tried one by one."""
    script = (resources.files("httpreport.outputs.page") / "selection.js").read_text()
    pairs = [("*a" * 300 + "b", "a" * 3000), ("**/a?c*", "x/y/abcde"), ("*b", "a/b"), ("a.c", "abc")]
    found = page.run(f"{script} return arguments[0].map(([glob, text]) => globbed(glob)(text))", pairs)
    assert found == [False, True, False, False]


def test_the_link_to_the_calls_keeps_the_state(page: Browser) -> None:
    page.enter("#process", "nova-api")
    wait_for_hash(page, "process=nova-api")

    page.run("document.querySelector('.skip').click()")

    assert page.run("return document.activeElement.id") == "calls"
    assert page.run("return location.hash") == "#process=nova-api"
