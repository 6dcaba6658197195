"""Compare the page in a browser with what httpreport prints about the same capture, threshold and processes.

Screenshots are left in the folder that the environment variable SCREENSHOTS names, else in pytest's own.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver.common.keys import Keys

from httpcapture import Record
from httpcapture.durations import duration_text
from support.browser import Browser
from support.duration_cases import CASES
from support.pages import (
    CONTRAST,
    EVIL,
    command_line,
    flame,
    mixed_capture,
    peer_of,
    said,
    shown_frames,
    stacks,
    summed,
    totals,
)
from support.recordings import MS, TEXT, Row, capture, process, stack

pytest_plugins = "support.browser_fixtures"
REAL = Path(__file__).parent / "data" / "python_http.cap"


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("mixed") / "run.cap"
    path.write_bytes(mixed_capture())
    return path


@pytest.fixture(scope="module")
def page_of_mixed(mixed: Path) -> Path:
    command_line(mixed, "-t", "0", "--html", mixed.with_suffix(".html"))
    return mixed.with_suffix(".html")


@pytest.fixture
def mixed_page(browser: Browser, page_of_mixed: Path) -> Browser:
    browser.open(page_of_mixed)
    return browser


def test_the_threshold_means_what_t_means(browser: Browser, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    command_line(REAL, "--html", page)
    browser.open(page)
    durations = [call["duration_ns"] / MS for call in said(REAL)["calls"]]
    counts = set()

    for threshold in ("0", "300", str(durations[3]), f"{durations[3] + 1e-6:.6f}", "400"):
        browser.enter("#threshold", threshold)
        expected = said(REAL, "-t", threshold)
        assert totals(browser) == summed(expected["calls"]), threshold
        counts.add(len(expected["calls"]))

    assert len(counts) > 4


def test_durations_read_as_they_do_on_the_terminal(mixed_page: Browser) -> None:
    durations, texts = zip(*CASES)
    script = (resources.files("httpreport.outputs.page") / "format.js").read_text()
    assert mixed_page.run(f"{script} return arguments[0].map((ns) => duration(ns))", durations) == list(texts)


def test_the_slider_moves_the_threshold_from_the_floor_to_the_slowest_call(mixed_page: Browser, mixed: Path) -> None:
    slowest = said(mixed, "-t", "0")["calls"][0]["duration_ns"]

    seen = []
    for keys in ([Keys.END], [Keys.PAGE_DOWN] * 2, [Keys.PAGE_DOWN], [Keys.HOME, Keys.PAGE_UP], [Keys.HOME]):
        mixed_page.press("#slider", *keys)
        threshold = str(mixed_page.find("#threshold").get_property("value"))
        seen.append((totals(mixed_page), summed(said(mixed, "-t", threshold)["calls"])))

    assert [shown for shown, _ in seen] == [expected for _, expected in seen]
    assert (seen[0][0], seen[-1][0][0]) == ((1, slowest), 60)
    assert len({shown for shown, _ in seen}) == len(seen)


@pytest.mark.parametrize(
    "name",
    [
        "nova-api",
        "pool-1",
        "Nova-api",
        "nova",
        "fifteen-bytes-x-and-more",
        "*api",
        "*-*",
        "?ova-api",
        "[mn]ova*",
        "[!n]*",
        "[]]*",
        "[!]n]*",
        "a[[]1]",
        "a[1]",
        "[",
        "*[0-9]*",
        "[z-a]*",
        "[^]*",
        "[\\^]*",
        "*\\",
        "*</script>*",
        ".*",
        "nova.api",
        "(nova|pool)*",
    ],
)
def test_the_process_filter_means_what_p_means(mixed_page: Browser, mixed: Path, name: str) -> None:
    mixed_page.enter("#process", name)

    assert totals(mixed_page) == summed(said(mixed, "-t", "0", "-p", name)["calls"])


def test_filters_act_together_and_on_everything(mixed_page: Browser, mixed: Path) -> None:
    mixed_page.enter("#threshold", "300")
    mixed_page.enter("#process", "*a*")
    mixed_page.run(
        "const role = arguments[0]; role.value = 'client'; role.dispatchEvent(new Event('input'))",
        mixed_page.find("#role"),
    )
    mixed_page.enter("#peer", "10.0.0.2")

    calls = [
        call
        for call in said(mixed, "-t", "300", "-p", "*a*")["calls"]
        if call["role"] == "client" and call["destination"]["address"] == "10.0.0.2"
    ]
    assert 1 < len(calls) < 20
    assert totals(mixed_page) == summed(calls)
    for table, key in (("#by-process", lambda call: call["process"]), ("#by-peer", peer_of)):
        shown = mixed_page.texts(f"{table} tbody .calls")
        names = mixed_page.texts(f"{table} tbody th")
        expected = [key(call) for call in calls]
        assert {name: int(count) for name, count in zip(names, shown)} == {
            name: expected.count(name) for name in expected
        }
    assert flame(mixed_page)["value"] == summed(calls)[1]
    assert mixed_page.texts("#calls-table .open") == [duration_text(call["duration_ns"]) for call in calls]
    assert f"{len(calls)} call" in str(mixed_page.find("#latency svg").get_attribute("aria-label"))

    mixed_page.click("#filters [type=reset]")
    assert totals(mixed_page)[0] == 60


def test_each_peer_is_a_filter_and_its_host_stands_for_all_ports(mixed_page: Browser, mixed: Path) -> None:
    calls = said(mixed, "-t", "0")["calls"]
    expected = [peer_of(call) for call in calls]

    for peer in mixed_page.texts("#by-peer tbody th"):
        mixed_page.enter("#peer", peer)
        assert totals(mixed_page)[0] == sum(peer in (name, name.rpartition(":")[0].strip("[]")) for name in expected)
    mixed_page.enter("#peer", "2001:db8::7")
    assert totals(mixed_page)[0] == sum("2001:db8::7" in name for name in expected)


def test_a_click_on_a_process_filters_for_it_and_another_one_for_all(mixed_page: Browser, mixed: Path) -> None:
    """This includes a process whose name would be a pattern, and one whose name cannot be typed."""
    calls = said(mixed, "-t", "0")["calls"]

    for name in mixed_page.texts("#by-process tbody th"):
        button = f"[title={json.dumps(f'Only {name}')}]"
        mixed_page.click(f"#by-process {button}")
        assert totals(mixed_page) == summed([call for call in calls if name in (call["process"], call["comm"])])
        assert mixed_page.run("return document.activeElement.title") == f"Only {name}"
        mixed_page.click(f"#by-process {button}")
        assert totals(mixed_page)[0] == len(calls)


def test_quantiles_are_durations_that_were_recorded(mixed_page: Browser, mixed: Path) -> None:
    """By definition, at least that share of the calls is no longer, and no shorter duration has that property."""
    durations: dict[str, list[int]] = {}
    for call in said(mixed, "-t", "0")["calls"]:
        durations.setdefault(call["process"], []).append(call["duration_ns"])

    for row in mixed_page.run(
        "return [...document.querySelectorAll('#by-process tbody tr')].map((r) => r.innerText.split('\\t'))"
    ):
        of_process = durations[row[0]]
        for text, percent in zip(row[3:6], (50, 90, 99)):
            enough = [
                ns for ns in of_process if 100 * sum(other <= ns for other in of_process) >= percent * len(of_process)
            ]
            assert text == duration_text(min(enough))


@pytest.mark.parametrize("merge", ["root", "leaf"])
def test_the_flame_graph_is_what_stacks_folded_says(
    mixed_page: Browser, mixed: Path, tmp_path: Path, merge: str
) -> None:
    command_line(mixed, "-t", "250", "-o", tmp_path)
    expected = {}
    for line in (tmp_path / "stacks.folded").read_text().splitlines():
        stack, weight = line.rsplit(" ", 1)
        names = stack.split(";")
        expected[tuple(names if merge == "root" else names[::-1])] = int(weight)

    mixed_page.enter("#threshold", "250")
    mixed_page.click(f"[name=merge][value={merge}]")
    shown = {tuple(name.replace(";", ":") for name in path): weight for path, weight in stacks(flame(mixed_page))}

    assert shown.keys() == expected.keys()
    assert len(shown) == 10
    for path, microseconds in expected.items():
        assert 0 <= shown[path] - microseconds * 1000 < 60 * 1000  # each call is rounded down to a microsecond


def test_a_frame_is_as_wide_as_its_share_of_the_time_and_says_its_name_at_once(mixed_page: Browser) -> None:
    mixed_page.enter("#threshold", "250")

    frames = mixed_page.run(
        """return [...document.querySelectorAll("#flame .frame")].map((frame) => [frame.__data__.data,
            Number(frame.querySelector("rect").getAttribute("width")), frame.querySelector("div").textContent])"""
    )
    per_ns = mixed_page.run("return document.getElementById('flame').clientWidth") / totals(mixed_page)[1]
    assert len(frames) > 20
    for data, width, label in frames:
        assert width == pytest.approx(data["value"] * per_ns)
        assert label == data["name"]


def test_the_flame_graph_zooms_by_click_and_by_key_and_back(mixed_page: Browser) -> None:
    whole = shown_frames(mixed_page)

    mixed_page.click("#flame .frame[name='pool-1'], #flame .frame[name='a[1]']")
    zoomed = shown_frames(mixed_page)
    assert zoomed[0] == "a[1]"
    assert set(zoomed) < set(whole)
    mixed_page.enter("#threshold", "200")  # another threshold keeps the zoom
    assert shown_frames(mixed_page)[0] == "a[1]"
    mixed_page.click("#flame-reset")
    mixed_page.enter("#threshold", "0")
    assert sorted(shown_frames(mixed_page)) == sorted(whole)

    mixed_page.press("#flame", Keys.HOME, Keys.ARROW_DOWN, Keys.ARROW_RIGHT)
    name = str(mixed_page.find("#flame .current").get_attribute("name"))
    assert mixed_page.texts("#flame-at")[0].startswith(f"{name}: ")
    mixed_page.press("#flame", Keys.ENTER)
    assert shown_frames(mixed_page)[0] == name
    mixed_page.press("#flame", Keys.ESCAPE)
    assert sorted(shown_frames(mixed_page)) == sorted(whole)


def test_a_search_marks_frames_and_says_their_share_of_the_time(
    mixed_page: Browser, mixed: Path, tmp_path: Path
) -> None:
    command_line(mixed, "-t", "0", "-o", tmp_path)
    lines = [line.rsplit(" ", 1) for line in (tmp_path / "stacks.folded").read_text().splitlines()]
    found = sum(int(weight) for path, weight in lines if "+0x80" in path)
    share = 100 * found / sum(int(weight) for _, weight in lines)

    mixed_page.enter("#flame-search", "+0X80")
    marked = mixed_page.texts("#flame .frame:has([fill='var(--found)']) .d3-flame-graph-label")
    assert 0 < share < 100
    assert mixed_page.texts("#flame-found") == [f"{len(marked)} frames, {share:.1f}% of the time"]
    assert all("+0x80" in name for name in marked)
    mixed_page.enter("#flame-search", "")
    assert mixed_page.texts("#flame-found") == [""]
    assert not mixed_page.texts("#flame .frame:has([fill='var(--found)'])")


def test_a_call_opens_to_the_stack_traces_that_the_text_has(mixed_page: Browser, mixed: Path, tmp_path: Path) -> None:
    command_line(mixed, "-t", "0", "-o", tmp_path)
    blocks = (tmp_path / "stack_traces.txt").read_text().split("\n\n")[1:26]
    both_sides = [place for place, block in enumerate(blocks, 1) if "Receive stack trace" in block]
    assert 1 <= len(both_sides) < len(blocks)

    for place in (1, both_sides[0]):
        opens = f"#calls-table tbody tr:nth-child({place}) .open"
        block = blocks[place - 1].splitlines()
        mixed_page.press(opens, Keys.ENTER)
        assert titles(mixed_page, ".opened .stack li") == [line.strip() for line in block if line.startswith("    ")]
        stack_ids = re.findall(r"Stack ID:? ([1-9]\d*)", blocks[place - 1])
        assert re.findall(r"Stack ID (\d+)", "\n".join(mixed_page.texts(".opened .quiet"))) == stack_ids != []
        assert mixed_page.texts(".opened p")[0].startswith(block[0].split(",")[0].replace("PID: ", "PID "))
        mixed_page.press(opens, Keys.ENTER)
        assert not mixed_page.texts(".opened")


def titles(browser: Browser, selector: str) -> list[str]:
    found: list[str] = browser.run("return [...document.querySelectorAll(arguments[0])].map((e) => e.title)", selector)
    return found


def test_a_frame_is_short_and_a_run_of_frames_names_its_module_once(browser: Browser, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    command_line(REAL, "--frames", "all", "--html", page)
    browser.open(page)
    browser.press("#calls-table .open", Keys.ENTER)

    frames = browser.run(
        """return [...document.querySelectorAll(".opened .stack li")].map((line) => [line.title,
            ...["function", "place", "module"].map((part) => line.querySelector(`.${part}`)?.textContent ?? "")])"""
    )
    before = ""
    for title, function, place, module in frames:
        parts = re.fullmatch(r"(.*?) \((/[^:)]*)(?:: .*?)?\)(?: (\S*/)?([^/ ]+:\d+))?.*", title)
        if not parts:
            assert (function, place, module) == ("", "", "") or title.startswith(function)
            before = ""
            continue
        assert function == parts[1]
        assert module == ("" if parts[2] == before else parts[2].rpartition("/")[2])
        assert place == (parts[4] or "")
        before = parts[2]
    assert len([module for *_, module in frames if module]) < len(frames) / 2


def test_the_calls_come_before_the_code_and_nothing_covers_them(browser: Browser, page_of_mixed: Path) -> None:
    browser.open(page_of_mixed)
    tops = browser.run("return ['calls', 'flame'].map((id) => document.getElementById(id).getBoundingClientRect().top)")
    assert tops[0] < tops[1]

    browser.run("document.querySelector('.skip').click()")
    bar, head = browser.run(
        """return [document.getElementById("filters").getBoundingClientRect().bottom,
            document.querySelector("#calls-table thead").getBoundingClientRect().top]"""
    )
    assert 0 < bar <= head
    assert bar < 80


def test_each_field_that_is_set_is_a_chip_that_removes_it(mixed_page: Browser, mixed: Path) -> None:
    mixed_page.enter("#process", "nova-api")
    mixed_page.enter("#peer", "10.0.0.2")
    assert mixed_page.texts("#chips li") == ["Process or thread nova-api \u00d7", "Peer 10.0.0.2 \u00d7"]

    mixed_page.press("#more-filters summary", Keys.ESCAPE)
    assert not mixed_page.find("#peer").is_displayed()
    mixed_page.click("#chips li:nth-child(2) button")

    assert totals(mixed_page) == summed(said(mixed, "-t", "0", "-p", "nova-api")["calls"])
    assert mixed_page.texts("#chips li") == ["Process or thread nova-api \u00d7"]


def test_where_no_call_passes_the_page_says_which_filter_to_remove(mixed_page: Browser, mixed: Path) -> None:
    mixed_page.enter("#process", "nova-api")
    mixed_page.enter("#threshold", "290")
    mixed_page.enter("#peer", "no peer")

    passing = summed(said(mixed, "-t", "290", "-p", "nova-api")["calls"])
    assert mixed_page.texts("#note button") == [f"Without Peer no peer: {passing[0]} calls"]
    mixed_page.click("#note button")
    assert totals(mixed_page) == passing


def test_an_opened_call_has_a_direction_only_if_its_role_is_known(mixed_page: Browser) -> None:
    words = {
        "client": r"Sent: .*, waited: .*, received: .*[^)]",
        "server": r"Received: .*, waited: .*, sent: .*[^)]",
        "unknown": r"Request: .*, waited: .*, response: .* \(which side sent the request is not known\)",
    }
    roles = mixed_page.texts("#calls-table td.role")
    assert {*roles} == {*words}

    for role, phases in words.items():
        opens = f"#calls-table tbody tr:nth-child({roles.index(role) + 1}) .open"
        mixed_page.press(opens, Keys.ENTER)
        assert re.fullmatch(phases, mixed_page.texts(".opened p.name")[-1])
        mixed_page.press(opens, Keys.ENTER)


def test_calls_are_sorted_and_searched(mixed_page: Browser, mixed: Path) -> None:
    calls = said(mixed, "-t", "0")["calls"]

    mixed_page.click("#calls-table th.start button")
    assert mixed_page.texts("#calls-table td.start") == sorted(call["start"][11:23] for call in calls)[:25]
    mixed_page.click("#more")
    assert len(mixed_page.texts("#calls-table td.start")) == 50
    mixed_page.enter("#calls-search", "[2001:DB8::7]:8001")
    found = [
        call
        for call in calls
        if "2001:db8::7" in str(call) and 8001 in (call["source"]["port"], call["destination"]["port"])
    ]
    assert len(mixed_page.texts("#calls-table .open")) == len(found) > 1
    mixed_page.enter("#calls-search", "no such call")
    (empty,) = mixed_page.texts("#calls-table tbody")
    assert empty.startswith('No call matches "no such call". ')


def test_the_pointer_reads_the_nearest_mark_wherever_it_is_in_the_picture(browser: Browser, tmp_path: Path) -> None:
    (tmp_path / "run.cap").write_bytes(capture([Row(duration_ns=250 * MS)]))
    command_line(tmp_path / "run.cap", "--html", tmp_path / "report.html")
    browser.open(tmp_path / "report.html")

    for across, down in ((0.1, 0.1), (0.9, 0.9)):
        browser.run(
            "const svg = document.querySelector('#latency svg'), box = svg.getBoundingClientRect();"
            "svg.dispatchEvent(new PointerEvent('pointermove',"
            "{ clientX: box.left + arguments[0] * box.width, clientY: box.top + arguments[1] * box.height }));",
            *(across, down),
        )
        (said,) = browser.texts("#latency-at")
        assert said.endswith("1 call, 250 ms")


def test_the_table_says_how_many_calls_it_leaves_out(browser: Browser, tmp_path: Path) -> None:
    rows = [
        Row(duration_ns=(number + 1) * MS, sequence=number, process=b"ab"[number % 2 :][:1]) for number in range(5_300)
    ]
    (tmp_path / "run.cap").write_bytes(capture(rows))
    command_line(tmp_path / "run.cap", "-t", "0", "--html", tmp_path / "report.html")

    browser.open(tmp_path / "report.html")
    browser.enter("#process", "a")

    assert totals(browser)[0] == 2_650
    assert browser.texts("#calls-said") == [
        "2,650 calls. The table has the 5,000 slowest calls of the page; 150 that pass the filters are left out."
    ]


def test_hostile_names_are_text(mixed_page: Browser) -> None:
    assert mixed_page.texts("#where") == [EVIL]
    assert mixed_page.driver.title.endswith(f"slow HTTP calls on {EVIL}")
    assert EVIL[:15] in mixed_page.texts("#by-process tbody th")
    assert "\\x1b[31m\\xff;" in mixed_page.texts("#by-process tbody th")
    mixed_page.click("#calls-table tr:nth-child(1) .open")
    assert any(EVIL in line for line in titles(mixed_page, ".stack li"))
    assert not mixed_page.texts("img, iframe, object, link, script[src]")
    assert any(text.startswith("Warning: lost calls: 4") for text in mixed_page.texts("#warnings li"))


@pytest.mark.parametrize("width", [1280, 360])
def test_names_of_any_length_and_direction_stay_in_their_place(browser: Browser, tmp_path: Path, width: int) -> None:
    long = ("w" * 3000 + "\u202e\u2066\n;\x1b[2J" + "\u05d0" * 800).encode() + b"\xff"
    maps = b"%x-%x r-xp 00000000 fe:01 77 /%s\n" % (TEXT, TEXT + 0x4000, long.replace(b"\n", b""))
    row = Row(process="\u05d0\u05d1\u202e;\n".encode(), peer="2001:db8:ffff:ffff:ffff:ffff:ffff:ffff")
    data = capture([row], [process(maps), stack(TEXT)], host=long.decode(errors="replace"), end=False)
    (tmp_path / "run.cap").write_bytes(data)
    command_line(tmp_path / "run.cap", "--html", tmp_path / "report.html")

    browser.open(tmp_path / "report.html", width=width)
    browser.click("#calls-table tr:nth-child(1) .open")

    assert browser.run("return document.documentElement.scrollWidth") <= width
    shown = str(browser.run("return document.body.innerText"))
    assert not set(shown) & set("\u202e\u2066\x1b")
    assert "\\u202e" in shown
    assert browser.texts("#by-process tbody th") == ["\u05d0\u05d1\\u202e;\\x0a"]


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return captures of two hosts, one of them in two parts, the first of which was cut off."""
    folder = tmp_path_factory.mktemp("fleet")
    for place, (host, part) in enumerate([("web-1", 1), ("web-1", 2), ("db-1 <b>", 1)]):
        rows = [
            Row(
                duration_ns=(101 + place + 3 * number) * MS,
                start_ns=number * 17 * MS,
                sequence=number,
                pid=1000 * place + number,
                process=(b"nova-api", b"nginx", b"only-%d" % place)[number % 3],
                peer=f"10.0.{place}.{number % 2}",
                stack=256 + number % 2,
            )
            for number in range(20)
        ]
        records: list[Record] = [process(), stack(TEXT + 8), stack(TEXT + 8, TEXT + 16 * (place + 1), id=257)]
        data = capture(rows, records, end=place != 0, host=host, run=f"run of {host}", part=part)
        (folder / f"{place}.cap").write_bytes(data)
    command_line(folder, "--html", folder / "report.html")
    return folder


def duration_of(call: Mapping[str, Any]) -> str:
    """Return the duration of a call in a JSON report as the page shows it."""
    at_least = "at least " if call["duration_at_least"] else ""
    return at_least + duration_text(call["duration_ns"])


@pytest.mark.parametrize(("host", "places"), [("", (0, 1, 2)), ("web-1", (0, 1)), ("db-1 <b>", (2,))])
def test_the_page_of_several_captures_says_what_the_command_line_says(
    browser: Browser, fleet: Path, tmp_path: Path, host: str, places: tuple[int, ...]
) -> None:
    browser.open(fleet / "report.html")
    browser.enter("#threshold", "130")
    browser.enter("#process", "n*")
    browser.run("const [e, value] = arguments; e.value = value; e.dispatchEvent(new Event('input'))",
                browser.find("#host"), host)  # fmt: skip

    of_each = [said(fleet / f"{place}.cap", "-t", "130", "-p", "n*")["calls"] for place in places]
    calls = sorted((call for each in of_each for call in each), key=lambda call: -call["duration_ns"])
    assert totals(browser) == summed(calls)
    assert browser.texts("#calls-table .open") == list(map(duration_of, calls))[:25]
    names = [call["process"] for call in calls]
    shown = dict(zip(browser.texts("#by-process tbody th"), map(int, browser.texts("#by-process tbody .calls"))))
    assert shown == {name: names.count(name) for name in names}
    captures = [fleet / f"{place}.cap" for place in places]
    command_line(*captures, "-t", "130", "-p", "n*", "-o", tmp_path)
    folded = [line.rsplit(" ", 1) for line in (tmp_path / "stacks.folded").read_text().splitlines()]
    above = f"{host};" if host else ""  # the page has the host even where only one passes
    expected = {above + path: int(weight) * 1000 for path, weight in folded}
    assert {";".join(path): weight for path, weight in stacks(flame(browser))} == expected
    assert len(expected) > 3


def test_a_page_of_several_captures_names_them_and_their_losses(browser: Browser, fleet: Path) -> None:
    browser.open(fleet / "report.html")

    assert browser.texts("#where") == ["db-1 <b>, web-1"]
    browser.click("#captures-said")
    origins = browser.texts("#origins li")
    assert [line.split(": ")[0] for line in origins] == ["2.cap", "0.cap to 1.cap"]
    (warning,) = browser.texts("#warnings li")
    assert warning.startswith("Warning: 0.cap: the capture is cut off ")
    hosts = dict(zip(browser.texts("#by-host tbody th"), browser.texts("#by-host tbody .calls")))
    assert hosts == {"db-1 <b>": "20", "web-1": "40"}
    browser.click("#by-host [title='Only web-1']")
    assert totals(browser)[0] == 40
    assert set(browser.texts("#calls-table td.host")) == {"web-1"}
    browser.click("#calls-table tr:nth-child(1) .open")
    assert "Host web-1, capture 1.cap" in browser.texts(".opened p")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
def test_a_page_of_several_hosts_is_readable(
    browser: Browser, fleet: Path, tmp_path: Path, scheme: str, width: int
) -> None:
    browser.open(fleet / "report.html", width=width, scheme=scheme)
    browser.click("#captures-said")

    look_at(browser, width, tmp_path, f"hosts-{scheme}-{width}.png")


def test_the_policy_would_stop_what_slipped_through(chromium: Browser, page_of_mixed: Path) -> None:
    chromium.open(page_of_mixed)
    refused = chromium.driver.execute_async_script(
        """const done = arguments[0], refused = [];
        addEventListener("securitypolicyviolation", (event) => {
          refused.push(event.effectiveDirective);
          if (refused.length === 4) done(refused.sort());
        });
        document.body.insertAdjacentHTML("beforeend", "<img src='x.png'><p onclick='document.title = 1'>x</p>");
        document.body.lastChild.click();
        const script = document.createElement("script");
        script.textContent = "document.title = 2";
        document.body.append(script);
        fetch("http://127.0.0.1:9/").catch(() => {});"""
    )
    assert refused == ["connect-src", "img-src", "script-src-attr", "script-src-elem"]
    chromium.messages(), chromium.requests()


def test_calls_without_duration_are_distinguished_from_no_calls(browser: Browser, tmp_path: Path) -> None:
    """The calls end before they begin, because of damage."""
    (tmp_path / "run.cap").write_bytes(capture([Row(duration_ns=-1)]))
    command_line(tmp_path / "run.cap", "-t", "0", "--html", tmp_path / "report.html")

    browser.open(tmp_path / "report.html")

    assert totals(browser) == (1, 0)
    assert browser.texts("#flame-at") == ["These calls took no time."]
    assert browser.texts("#calls-table .open") == ["0 ms"]


def test_no_calls_is_a_page_too(browser: Browser, tmp_path: Path) -> None:
    (tmp_path / "run.cap").write_bytes(capture(rows=[]))
    command_line(tmp_path / "run.cap", "--html", tmp_path / "report.html")

    browser.open(tmp_path / "report.html")
    browser.enter("#threshold", "300")
    browser.enter("#flame-search", "send")
    browser.press("#latency svg", Keys.ARROW_RIGHT)

    assert totals(browser) == (0, 0)
    assert browser.texts("#warnings li") == ["Warning: the capture holds no call"]
    assert browser.texts(".empty") == ["No calls match."] * 3


def test_a_filter_that_nothing_passes_lists_the_existing_values(mixed_page: Browser) -> None:
    mixed_page.enter("#process", "nothing")

    assert "nova-api" in mixed_page.texts("#note")[0]
    assert not mixed_page.find("#flame").is_displayed()
    mixed_page.enter("#process", "")
    assert mixed_page.find("#flame").is_displayed()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
def test_it_is_readable_wide_and_narrow_light_and_dark(
    browser: Browser, page_of_mixed: Path, tmp_path: Path, scheme: str, width: int
) -> None:
    browser.open(page_of_mixed, width=width, scheme=scheme)
    browser.click("#calls-table tr:nth-child(1) .open")
    browser.enter("#flame-search", "+0x80")

    look_at(browser, width, tmp_path, f"{scheme}-{width}.png")


def look_at(browser: Browser, width: int, tmp_path: Path, name: str) -> None:
    contrast, text = browser.run(CONTRAST)
    assert contrast >= 4.5, text
    assert browser.run("return document.documentElement.scrollWidth") <= width
    folder = Path(os.environ.get("SCREENSHOTS", tmp_path))
    folder.mkdir(exist_ok=True)
    browser.screenshot(folder / name, "body")


def test_everything_is_reached_by_the_tab_key_in_the_order_of_the_page(mixed_page: Browser) -> None:
    mixed_page.run("document.getElementById('more-filters').open = true")
    reached = []
    for _ in range(90):
        mixed_page.run("return document.activeElement").send_keys(Keys.TAB)
        reached.append(mixed_page.run("const e = document.activeElement; return e.id || e.closest('[id]')?.id"))
    wanted = [
        "slider",
        "threshold",
        "more-filters",
        "process",
        "role",
        "peer",
        "filters",
        "latency",
        "by-process",
        "by-peer",
        "calls-search",
        "calls-table",
        "flame-search",
        "flame",
    ]
    assert [place for place in dict.fromkeys(reached) if place in wanted] == wanted
