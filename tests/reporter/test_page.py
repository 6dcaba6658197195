"""Check that the page's data is the report's, however large, and that no recorded text becomes markup or script."""

from __future__ import annotations

import base64
import hashlib
import json
import random
import re
from functools import reduce
from html.parser import HTMLParser
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from httpcapture import JitMap, Role
from httpreport.outputs.page.columns import leb128
from httpreport.outputs.page.data import MOMENTS, Page, page_data
from httpreport.outputs.page.document import page
from httpreport.report import slowest
from httpreport.report.aggregate import Aggregate
from support.pages import peer_of
from support.recordings import MS, PROCESS_START_NS, STARTED_NS, TEXT, Row, capture, process, stack
from support.reports import aggregated, json_text, reported

EVIL = "</script><!--<script><img src=x onerror=alert(1)>"
EVIL_MAPS = b"%x-%x r-xp 00000000 fe:01 77 /%s\n" % (TEXT, TEXT + 0x1000, EVIL.encode())
ROWS = [
    Row(duration_ns=(100 + number % 7 * 40) * MS + number, start_ns=number * 9 * MS, sequence=number, process=name,
        comm=comm, role=role, peer=f"10.0.0.{number % 3}", peer_port=8000 + number % 2, stack_status=number % 2)
    for number, (name, comm, role) in enumerate(
        [(b"nova-api", b"worker", Role.CLIENT), (b"nginx", b"nginx", Role.SERVER), (b"", b"\xff;x", Role.UNKNOWN)] * 7
    )
]  # fmt: skip


def numbers(column: str) -> list[int]:
    """Return a column decoded as DWARF 5, appendix C, specifies."""
    found, value, shift = [], 0, 0
    for byte in base64.b64decode(column):
        value |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            found.append(value)
            value = shift = 0
    return found


def groups_of(data: Page) -> list[dict[str, int]]:
    """Return the group of each call."""
    columns = {name: numbers(column) for name, column in data.groups._asdict().items()}
    return [{name: column[group] for name, column in columns.items()} for group in numbers(data.columns.group)]


def durations(data: Page) -> list[int]:
    shorter = numbers(data.columns.shorter)
    return [2 * shorter[0] - sum(shorter[: place + 1]) for place in range(data.calls)]


def json_calls(data: bytes) -> list[dict[str, Any]]:
    calls: list[dict[str, Any]] = json.loads(json_text(reported(data), "run.cap"))["calls"]
    return calls


@given(st.lists(st.integers(0, (1 << 64) - 1)))
def test_any_numbers_survive_a_column(values: list[int]) -> None:
    assert numbers(base64.b64encode(leb128(np.array(values, np.uint64)).tobytes()).decode()) == values


def test_stack_traces_that_read_the_same_are_one_group() -> None:
    code = b"7e0000000000-7e0000001000 rwxp 00000000 00:00 0 \n"
    names = JitMap(12345, PROCESS_START_NS, STARTED_NS, 0, b"7e0000000000 1000 foo\n")
    stacks = [stack(0x7E00_0000_0010, id=1), stack(0x7E00_0000_0020, id=2)]
    rows = [Row(stack=1), Row(stack=2, sequence=1), Row(stack=1, sequence=2)]

    aggregate = aggregated(reported(capture(rows, [process(code), names, *stacks])))

    assert len(aggregate.slowest.groups) == 1
    assert aggregate.slowest.calls["group"].tolist() == [0, 0, 0]
    assert Aggregate().merge(aggregate).slowest.calls["group"].tolist() == [0, 0, 0]


def test_every_call_is_present_with_its_duration_group_and_start() -> None:
    recorded = capture(ROWS, [process(), stack(TEXT)])
    data, expected = page_data(aggregated(reported(recorded))), json_calls(recorded)

    groups = groups_of(data)

    assert durations(data) == [call["duration_ns"] for call in expected]
    names = [
        (data.names[group["process"]].text, data.names[group["thread"]].text, data.roles[group["role"]])
        for group in groups
    ]
    assert names == [(call["process"] or "[no name]", call["comm"], call["role"]) for call in expected]
    assert set(map(peer_of, expected)) == set(data.peers) == {data.peers[group["peer"]] for group in groups}
    first, last = (pick(call["t0_ns"] for call in expected) for pick in (min, max))
    starts = [(call["t0_ns"] - first) * (MOMENTS - 1) / (last - first) for call in expected]
    assert np.abs(np.array(numbers(data.columns.start)) - starts).max() <= 1
    assert round((data.last_ms - data.first_ms) * MS) == last - first
    assert [row[:3] for row in data.rows] == [[call["start"], call["pid"], call["tid"]] for call in expected]


def test_too_many_calls_are_cut_where_the_page_can_still_be_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """The page has all or none of the calls of one duration."""
    rows = [Row(duration_ns=length * MS, sequence=number) for number, length in enumerate((500, 400, 300, 300, 200))]
    report = reported(capture(rows))

    monkeypatch.setattr(slowest, "MOST_CALLS", 5)
    whole = page_data(aggregated(report))
    monkeypatch.setattr(slowest, "MOST_CALLS", 3)
    cut = page_data(aggregated(report))
    monkeypatch.setattr(slowest, "MOST_ROWS", 1)

    assert (whole.calls, whole.floor_ns, len(whole.warnings)) == (5, 0, len(report.warnings))
    assert (cut.calls, cut.floor_ns, cut.recorded) == (2, 300 * MS + 1, 5)
    assert durations(cut) == [500 * MS, 400 * MS]
    assert cut.warnings[-1] == "5 calls are too many for one page: it has the 2 slowest"
    assert len(page_data(aggregated(report)).rows) == 1


LISTS = st.lists(st.integers(1, 6), max_size=8)


@given(st.lists(LISTS, min_size=1, max_size=5), st.randoms(use_true_random=False))
def test_the_slowest_calls_of_all_come_from_those_of_each_in_any_merge_order(
    captures: list[list[int]], chance: random.Random
) -> None:
    reports = []
    for place, lengths in enumerate(captures):
        rows = [Row(duration_ns=n * MS, start_ns=place * 99 + at, pid=at, sequence=at) for at, n in enumerate(lengths)]
        recorded = reported(capture(rows, [process(), stack(TEXT + place // 2)], host=f"web-{place % 2}"))
        reports.append((recorded, f"{place}.cap"))
    every = sorted(
        ((n * MS, place, at) for place, one in enumerate(captures) for at, n in enumerate(one)), reverse=True
    )
    with mock.patch.multiple(slowest, MOST_CALLS=6, MOST_ROWS=3):
        values = [aggregated(*one) for one in reports]
        chance.shuffle(values)
        middle = len(values) // 2
        halves = (reduce(Aggregate.merge, half, Aggregate()) for half in (values[:middle], values[middle:]))
        data = page_data(Aggregate.merge(*halves))

    fitting = [length for length, *_ in every if len(every) <= 6 or length > every[6][0]]
    assert durations(data) == fitting
    assert data.floor_ns == (every[6][0] + 1 if len(every) > 6 else 0)
    expected = sorted(
        ((-n, place * 99 + at, f"web-{place % 2}", at, f"{place}.cap") for n, place, at in every if n in fitting)
    )
    groups = groups_of(data)
    assert [data.hosts[group["host"]] for group in groups] == [host for *_, host, _, _ in expected]
    place_of = {field: place for place, field in enumerate(data.row_fields)}
    shown = [(row[place_of["pid"]], row[place_of["capture"]]) for row in data.rows]
    assert shown == [(at, file) for *_, at, file in expected[:3]]
    lines = [data.lines[data.traces[group["trace"]].lines[0]] for group in groups]
    assert all(
        line.text.startswith(f"lib nova.so+0x{0x1000 + int(call[-1][0]) // 2:x} ")
        for line, call in zip(lines, expected)
    )
    assert any("too many for one page" in text for text in data.warnings) == (len(fitting) < len(every))


def test_a_page_distinguishes_captures_but_does_not_reveal_their_folders() -> None:
    files = ["/srv/of ann/a/run.cap", "/srv/of ann/b/run.cap"]
    whole = reduce(Aggregate.merge, (aggregated(reported(capture([Row()], run=file)), file) for file in files))

    data = page_data(whole)

    assert [line.split(": ")[0] for line in data.origins] == ["a/run.cap", "b/run.cap"]
    assert "of ann" not in json.dumps(data, default=vars)
    assert "of ann" not in json.dumps(page_data(aggregated(reported(capture([Row()])), files[0])), default=vars)


def test_an_empty_capture_has_a_page() -> None:
    data = page_data(aggregated(reported(capture(rows=[]))))

    assert (data.calls, data.group_count, data.rows, data.columns.shorter) == (0, 0, [], "")
    assert "the capture holds no call" in data.warnings


class Elements(HTMLParser):
    """Collect the names of all elements, and the text of each script."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.scripts: list[str] = []
        self.policy = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        if dict(attrs).get("http-equiv") == "Content-Security-Policy":
            self.policy = dict(attrs)["content"] or ""

    def handle_data(self, data: str) -> None:
        if self.names and self.names[-1] == "script" and data.strip():
            self.scripts.append(data)


def test_recorded_text_adds_no_element_and_the_policy_names_each_script() -> None:
    def made(text: str, maps: bytes) -> Elements:
        row = Row(comm=text.encode()[:15], process=text.encode()[:15])
        recorded = capture([row], [process(maps), stack(TEXT)], host=text, process_filters=(text.encode(),))
        return Elements(page(aggregated(reported(recorded), f"{text}.cap")))

    plain, evil = made("plain", EVIL_MAPS.replace(EVIL.encode(), b"plain")), made(EVIL, EVIL_MAPS)

    assert evil.names == plain.names
    assert "img" not in evil.names
    data, *scripts = evil.scripts
    assert json.loads(data)["hosts"] == [EVIL]
    allowed = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    assert re.findall(r"'sha256-(.*?)'", evil.policy) == allowed
    assert evil.policy.startswith("default-src 'none'; ")
