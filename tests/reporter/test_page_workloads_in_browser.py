"""Compare the page's filters by container and pod in a browser with those of the command line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from httpcapture import Process
from support.browser import Browser
from support.pages import ended, said, summed, totals, with_page
from support.recordings import MS, Row, capture, process

pytest_plugins = "support.browser_fixtures"
ID, OTHER, THIRD = "0123456789abcdef" * 4, "f0" * 32, "cd" * 32
POD, STATIC = "a8b1c5d2-7e4f-4c3b-9a1d-0f5e6c7b8a90", "33d556edd3ae8ef21980288cef77ae8b"
EVIL = "</script><img src=x onerror=document.title='owned'>"


def ran(pid: int, cgroups: str, name: str = "") -> Process:
    return replace(process(pid=pid), cgroups=f"0::{cgroups}\n".encode(), container_name=name.encode())


PROCESSES = [
    ran(1, f"/docker/{ID}", "/web.1"),
    ran(2, f"/kubepods/pod{POD}/{OTHER}", f"web-7d9f_shop_app-{OTHER}.log"),
    ran(3, "/system.slice/nginx.service"),
    ran(4, "/"),
    ran(5, f"/kubepods/pod{STATIC}/{THIRD}"),
    process(pid=6),
    ran(7, f"/docker/{'ab' * 32}", EVIL),
]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = [Row(pid=pid, sequence=pid, duration_ns=(100 + pid) * MS) for pid in range(1, 8)]
    return with_page(tmp_path_factory.mktemp("workloads") / "run.cap", capture(rows, PROCESSES, threshold_ns=0))


@pytest.fixture
def page(browser: Browser, recorded: Path) -> Browser:
    browser.open(recorded.with_suffix(".html"))
    return browser


@pytest.mark.parametrize(
    ("container", "pod"),
    [
        ("web.1", ""),
        ("web*", ""),
        ("web?1", ""),
        ("n**x.service", ""),
        ("app", ""),
        (ID[:12], ""),
        (THIRD, ""),
        ("", "web-7d9f"),
        ("", "shop/web-*"),
        ("", "**"),
        ("", STATIC),
        ("app", "shop/*"),
    ],
)
def test_a_filter_means_what_it_means_on_the_command_line(
    page: Browser, recorded: Path, container: str, pod: str
) -> None:
    page.enter("#container", container)
    page.enter("#pod", pod)

    arguments = [
        word for name, value in (("--container", container), ("--pod", pod)) if value for word in (name, value)
    ]
    assert totals(page) == summed(said(recorded, "-t", "0", *arguments)["calls"])
    assert totals(page)[0] > 0
    lines = ended(recorded, "-t", "0", "-o", recorded.parent, "-f", *arguments).stdout.splitlines()
    (left_out,) = [line.removeprefix("left out: ") for line in lines if line.startswith("left out: ")]
    assert f"Left out: {left_out}." in page.texts("#note")[0]


@pytest.mark.parametrize("container", ["web", "web.1x", ID[:11], "(", "[a"])
def test_what_no_container_is_called_matches_nothing(page: Browser, container: str) -> None:
    page.enter("#container", container)

    assert totals(page)[0] == 0


def test_the_table_has_each_container_once_and_filters_by_it(page: Browser) -> None:
    names = page.texts("#by-workload tbody th")
    others = [EVIL, "web.1", "nginx.service", "none", "not known"]
    assert sorted(names) == sorted([*others, "shop/web-7d9f: app", f"{STATIC}: cdcdcdcdcdcd"])

    page.click("#by-workload button[title='Only shop/web-7d9f: app']")

    assert totals(page)[0] == 1
    assert page.run("return [arguments[0].value, arguments[1].value]", page.find("#container"), page.find("#pod")) == [
        "app",
        "shop/web-7d9f",
    ]


def test_a_call_says_where_it_ran_and_nothing_of_it_becomes_markup(page: Browser) -> None:
    page.enter("#calls-search", "7d9f")
    page.click("#calls-table .open")
    assert f"Container: app ({OTHER[:12]}), Pod: shop/web-7d9f" in page.texts("#calls-table .opened p")
    assert page.run("return document.title") != "owned"


def test_a_page_without_containers_has_no_such_filters(browser: Browser, tmp_path: Path) -> None:
    browser.open(with_page(tmp_path / "run.cap", capture([Row()])).with_suffix(".html"))

    assert browser.run("return [...document.querySelectorAll('.of-workloads')].every((part) => part.hidden)")
