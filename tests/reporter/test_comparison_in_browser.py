"""Compare the page of a comparison in a browser with what httpreport prints and writes about it.

Screenshots are left in the folder that the environment variable SCREENSHOTS names, else in pytest's own.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver.common.keys import Keys

from httpcapture import End, Role
from support import stories
from support.browser import Browser
from support.pages import CONTRAST, EVIL, EVIL_MAPS, PROCESSES, STACKS, command_line, flame, shown_frames
from support.recordings import MS, STARTED_NS, TEXT, Row, capture, process, stack

pytest_plugins = "support.browser_fixtures"

OTHER = {256: (TEXT + 8, TEXT + 64), 512: (TEXT + 8, TEXT + 128, TEXT + 64), 768: (TEXT + 512, TEXT + 64)}


def side(seconds: int, count: int, slower: int, stacks: dict[int, tuple[int, ...]]) -> bytes:
    """Return calls of several processes, roles, peers and stacks, with those of nova-api slower by this factor."""
    rows = [
        Row(
            duration_ns=(100 + number**3 % 97) * MS * (slower if number % 6 < 2 else 1) + number,
            start_ns=number * 31 * MS,
            sequence=number,
            process=PROCESSES[number % 6][0],
            comm=PROCESSES[number % 6][1],
            role=PROCESSES[number % 6][2] if slower == 1 else Role.CLIENT,
            peer=("10.0.0.1", "10.0.0.2", "2001:db8::7")[number % 3],
            stack=list(stacks)[number // 6 % 3],
        )
        for number in range(count)
    ]
    records: list[Any] = [process(EVIL_MAPS), *(stack(*addresses, id=id) for id, addresses in stacks.items())]
    end = End(STARTED_NS + seconds * 1000 * MS, "signal", True, count, count, 0, {"call_ring_full": 4})
    return capture(rows, records, end=end, host=EVIL)


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the page, the text shown in the terminal, and stacks.diff.folded."""
    folder = tmp_path_factory.mktemp("compared")
    (folder / "old.cap").write_bytes(side(10, 60, 1, STACKS))
    (folder / "new.cap").write_bytes(side(12, 90, 2, OTHER))
    both = (folder / "new.cap", "--baseline", folder / "old.cap")
    said = command_line(*both, "--html", folder / "page.html", "-o", folder)
    (folder / "said.txt").write_text(said)
    return folder


@pytest.fixture
def page(browser: Browser, compared: Path) -> Browser:
    browser.open(compared / "page.html")
    return browser


def test_the_answer_is_what_the_terminal_says(page: Browser, compared: Path) -> None:
    texts = 'Array.from(document.querySelectorAll("#answers p, #answers dd")).map((part) => part.textContent)'
    shown = page.run(f"return {texts}")
    assert not page.run('return document.getElementById("answers").hidden')
    assert shown[0].startswith("requests of nova-api") and shown[1] == "not said, because calls may be missing"
    said = (compared / "said.txt").read_text()
    assert [text for text in shown if text not in said] == []


def paths(node: dict[str, Any], *path: str) -> dict[tuple[str, ...], tuple[int, int]]:
    """Return the own time of each path below the root, in ns: before and after."""
    own = tuple(node[side] - sum(child[side] for child in node["children"]) for side in ("before", "after"))
    found = {path: own} if any(own) else {}
    for child in node["children"]:
        found.update(paths(child, *path, child["name"]))
    return found


@pytest.mark.parametrize("merge", ["root", "leaf"])
@pytest.mark.parametrize("width", ["after", "before"])
def test_the_flame_graph_is_the_folded_stacks_with_both_weights(
    page: Browser, compared: Path, merge: str, width: str
) -> None:
    page.click(f"[name=side][value={width}]")
    page.click(f"[name=merge][value={merge}]")

    expected: dict[tuple[str, ...], tuple[int, int]] = {}
    for line in (compared / "stacks.diff.folded").read_text().splitlines():
        names, before, after = line.rsplit(" ", 2)
        labels = names.split(";")
        expected[tuple(labels if merge == "root" else labels[::-1])] = (int(before) * 1000, int(after) * 1000)
    tree = flame(page)
    shown = paths(tree)

    assert shown.keys() == expected.keys()
    for path, both in expected.items():
        assert shown[path] == pytest.approx(both, abs=60 * 1000)  # each call is rounded down to a microsecond
    per_ns = page.run("return document.getElementById('flame').clientWidth") / tree[width]
    frames = page.run(
        """return [...document.querySelectorAll("#flame .frame")].map((frame) => [frame.__data__.data.name,
            frame.__data__.data[arguments[0]], Number(frame.querySelector("rect").getAttribute("width"))])""",
        width,
    )
    assert len(frames) > 10
    assert all(shown_width == pytest.approx(value * per_ns) for _, value, shown_width in frames)


def test_a_frame_is_red_or_blue_as_d3_flame_graph_would_have_it_and_says_so(page: Browser) -> None:
    """d3-flame-graph's differential colours suit a light page only; ours leave changes of less than 5 % uncoloured."""
    page.click("[name=side][value=before]")
    frames = page.run(
        """return [...document.querySelectorAll("#flame .frame")].map((frame) => {
            const {before, after} = frame.__data__.data, rect = frame.querySelector("rect");
            const node = {data: {}, delta: after - before, value: Math.max(before, after)};
            const channels = (text) => text.match(/\\d+/g).map(Number);
            return [before, after, channels(flamegraph.colorMapper.differentialColorMapper(node)),
              channels(getComputedStyle(rect).fill), frame.querySelector("div").textContent];
        })"""
    )

    hues = set()
    for before, after, theirs, ours, text in frames:
        hue = ours[0] - ours[2]
        if abs(after - before) >= 0.05 * max(before, after):
            assert hue and (hue > 0) == (after > before)
        if abs(after - before) >= 0.2 * max(before, after):  # theirs are beside themselves with smaller ones
            assert (hue > 0) == (theirs[0] > theirs[2])
            hues.add(hue > 0)
        change = f"{100 * (after - before) / before:+,.1f}%" if after else "gone"
        assert text.startswith(f"{change} ")
    assert hues == {True, False}


def test_the_tables_say_what_the_terminal_says(page: Browser, compared: Path) -> None:
    said = (compared / "said.txt").read_text().splitlines()
    printed = [line.split() for line in said]
    first = next(place for place, row in enumerate(printed) if row[:2] == ["calls", "calls/s"])
    second = next(place for place, row in enumerate(printed) if row[:3] == ["before", "after", "change"])

    rows = page.run(
        """return [...document.querySelectorAll(".changes tr")].map((row) => {
            const cells = [...row.cells], name = cells[0].scope === "rowgroup" ? [cells.shift()] : [];
            return [...cells, ...name].map((cell) => cell.textContent).join(" ");
        })"""
    )
    assert [row.split() for row in rows[1:]] == [row for row in printed[first + 1 : second - 1] if "more" not in row]

    time = r"[\d.,]+ [mun]?s/s "
    stacks = [row[:8] for row in printed[second + 1 :] if re.match(f"{time}{time}[+-]", " ".join(row))]
    slower = sum(row[4].startswith("+") for row in stacks)
    assert 0 < slower < len(stacks) == 10
    shown = stack_rows(page)
    assert shown[:slower] == stacks[:slower]
    page.click("#stacks-table th button")
    assert stack_rows(page) == shown[::-1]
    assert shown[slower - len(stacks) :] == stacks[slower:]

    facts = next(place for place, line in enumerate(said) if line.startswith("before: "))
    assert page.texts("#facts li") == said[facts : facts + 5]
    assert page.texts("#warnings li") == [line.replace("warning", "Warning", 1) for line in said[:facts]]


def stack_rows(page: Browser) -> list[list[str]]:
    """Return the table of stacks with the terminal's columns, and only the first word of each stack."""
    rows = page.run(
        """return [...document.querySelectorAll("#stacks-table tbody tr")].map((row) =>
            [1, 2, 3, 0, 4].map((cell) => row.cells[cell].textContent).join(" "))"""
    )
    return [row.split()[:8] for row in rows]


def test_it_is_used_by_keyboard(page: Browser) -> None:
    page.press("#flame", Keys.HOME, Keys.ARROW_DOWN)
    name = str(page.find("#flame .current").get_attribute("name"))
    assert page.texts("#flame-at")[0].startswith(f"{name}: ")
    assert " before, " in page.texts("#flame-at")[0]
    page.press("#flame", Keys.ENTER)
    assert shown_frames(page)[0] == name
    page.press("#flame", Keys.ESCAPE)
    page.press("#stacks-table .open", Keys.ENTER)
    assert len(page.texts(".opened .stack li")) >= 2
    page.press("#stacks-table .open", Keys.ENTER)
    assert not page.texts(".opened")


def test_everything_is_reached_by_the_tab_key_in_the_order_of_the_page(page: Browser) -> None:
    reached = []
    for _ in range(12):
        page.run("return document.activeElement").send_keys(Keys.TAB)
        reached.append(page.run("const e = document.activeElement; return e.id || e.name || e.closest('[id]')?.id"))
    wanted = ["side", "merge", "flame-search", "flame", "stacks-search", "stacks-table"]
    assert [place for place in dict.fromkeys(reached) if place in wanted] == wanted


def test_stacks_and_frames_are_searched(page: Browser) -> None:
    whole = len(page.texts("#stacks-table tbody tr"))
    page.enter("#stacks-search", "+0X80")
    rows = page.texts("#stacks-table tbody tr")
    assert 0 < len(rows) < whole
    assert all("+0x80" in row for row in rows)
    page.enter("#stacks-search", "no such stack")
    assert page.texts("#stacks-table tbody") == ["No stack matches."]
    page.enter("#flame-search", "+0x80")
    assert page.texts("#flame-found")[0].endswith("% of the time")
    assert page.texts("#flame .frame:has([fill='var(--found)'])")


def test_many_peers_are_shown_when_asked_for(browser: Browser, tmp_path: Path) -> None:
    for name, slower in (("old", 1), ("new", 2)):
        rows = [
            Row(duration_ns=(200 + number * slower) * MS, sequence=number, peer=f"10.0.{number}.1", role=Role.SERVER)
            for number in range(30)
        ]
        (tmp_path / f"{name}.cap").write_bytes(capture(rows))
    command_line(tmp_path / "new.cap", "--baseline", tmp_path / "old.cap", "--html", tmp_path / "page.html")

    browser.open(tmp_path / "page.html")
    most = browser.texts(".changes .name")
    browser.click("#peers button")

    everyone = browser.texts(".changes .name")
    assert most == [f"nova-api:40000 from 10.0.{number}.1" for number in range(29, 19, -1)]
    assert everyone == [f"nova-api:40000 from 10.0.{number}.1" for number in range(29, -1, -1)]


def test_whose_self_time_grew_is_what_the_terminal_says(browser: Browser, tmp_path: Path) -> None:
    for name, data in zip(("old", "new"), stories.slow_service_since(1).recordings()):
        (tmp_path / f"{name}.cap").write_bytes(data)
    both = (tmp_path / "new.cap", "--baseline", tmp_path / "old.cap")
    said = command_line(*both, "--html", tmp_path / "page.html", "-o", tmp_path).splitlines()

    browser.open(tmp_path / "page.html")
    names, cells = browser.texts("#self-times .name"), browser.texts("#self-times td")

    first = next(row for row, line in enumerate(said) if "self time of each request" in line) + 1
    assert len(names) == 3
    for row, (name, line) in enumerate(zip(names, said[first:])):
        assert line.split() == " ".join([*cells[4 * row : 4 * row + 4], name]).split()


def test_hostile_names_are_text(page: Browser) -> None:
    assert any(EVIL in line for line in page.texts("#facts li"))
    assert any(EVIL[:15] in name for name in page.texts(".changes .name"))
    assert any("\\x1b[31m\\xff:" in text for text in page.texts("#stacks-table .leaves"))
    assert any(EVIL.rpartition("/")[2] in text for text in page.texts("#flame .frame"))
    assert not page.texts("img, iframe, object, link, script[src]")


def test_nothing_to_compare_is_a_page_too(browser: Browser, tmp_path: Path) -> None:
    (tmp_path / "run.cap").write_bytes(capture(rows=[]))
    command_line(tmp_path / "run.cap", "--baseline", tmp_path / "run.cap", "--html", tmp_path / "page.html")

    browser.open(tmp_path / "page.html")

    assert browser.texts("#flame-at") == ["No calls match."]
    assert browser.texts("#peers") == ["No calls match."]
    assert browser.texts("#stacks-table tbody") == ["No stack matches."]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
def test_it_is_readable_wide_and_narrow_light_and_dark(
    browser: Browser, compared: Path, tmp_path: Path, scheme: str, width: int
) -> None:
    browser.open(compared / "page.html", width=width, scheme=scheme)
    browser.click("#stacks-table .open")
    browser.enter("#flame-search", "+0x80")

    contrast, text = browser.run(CONTRAST)
    assert contrast >= 4.5, text
    assert browser.run("return document.documentElement.scrollWidth") <= width
    folder = Path(os.environ.get("SCREENSHOTS", tmp_path))
    folder.mkdir(exist_ok=True)
    browser.screenshot(folder / f"compared-{scheme}-{width}.png", "body")
