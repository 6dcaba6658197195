"""Check that the summary fits a narrow terminal, says where and when was recorded, and tells facts when they matter."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from httpcapture import End
from httpreport.compare.changes import compare
from httpreport.outputs.comparison_terminal import print_comparison
from httpreport.outputs.latency_table import WIDE
from httpreport.outputs.output import Reported, Spooled, Style
from httpreport.outputs.terminal import print_summary, report
from httpreport.report.aggregate import Aggregate
from httpreport.report.time_span import place_and_time
from support.recordings import MS, STARTED_NS, Row, capture
from support.reports import aggregated, reported

ROWS = [Row(duration_ns=(100 + number) * MS, sequence=number, peer="10.0.0.1") for number in range(30)]
SECOND = 1_000_000_000


def whole(**values: Any) -> Aggregate:
    made = aggregated(reported(capture(ROWS)))
    return replace(made, captures=(replace(made.captures[0], **values),))


def summary(aggregate: Aggregate, width: int, style: Style) -> list[str]:
    out = Console(record=True, file=io.StringIO(), width=width)
    print_summary(out, aggregate, style)
    return out.export_text().splitlines()


@pytest.mark.parametrize("width", [60, 78, 100, WIDE, 160])
def test_no_line_of_a_table_is_wider_than_the_terminal(width: int) -> None:
    lines = summary(whole(), width, Style())
    heads = [line.split() for line in lines if line.split()[:1] == ["calls"]]
    assert [("p99" in head, "p90" in head, "max" in head) for head in heads] == [(True, width >= WIDE, width >= WIDE)]
    first = next(place for place, line in enumerate(lines) if line.split()[:1] == ["calls"])
    assert all(len(line) <= width for line in lines[first:])


def test_the_facts_about_stack_traces_are_told_if_asked_for_or_if_something_was_lost() -> None:
    def has_facts(aggregate: Aggregate, style: Style) -> bool:
        lines = summary(aggregate, 78, style)
        return any(line.startswith("stack traces: ") for line in lines)

    assert not has_facts(whole(), Style())
    assert has_facts(whole(), Style(facts=True))
    assert has_facts(whole(complete=False), Style())


@pytest.mark.parametrize(
    ("after_s", "said"),
    [
        (10, "web-1, 14 Nov 2023, 22:13:20 to 22:13:30 UTC"),
        (2 * 3600, "web-1, 14 Nov 2023, 22:13:20 to 15 Nov 2023, 00:13:20 UTC"),
        (None, "web-1, from 14 Nov 2023, 22:13:20 UTC to a time that is not known"),
    ],
)
def test_the_span_of_a_recording_names_the_day_once(after_s: int | None, said: str) -> None:
    end = after_s is not None and End(STARTED_NS + after_s * SECOND, "signal", True, 30, 30, 0, {})
    assert place_and_time(aggregated(reported(capture(ROWS, end=end)))) == said


def test_a_time_beyond_the_calendar_is_not_known() -> None:
    far = whole(started="unknown", ended="unknown")
    assert place_and_time(far) == "web-1, at a time that is not known"


def test_no_line_ends_with_blanks() -> None:
    pattern = re.compile(r" +$", re.MULTILINE)
    for terminal in (False, True):
        out = Console(file=io.StringIO(), width=78, force_terminal=terminal)
        (written,) = report(Reported(whole(), Spooled(()), Style(), out))
        assert not pattern.search(re.sub(r"\x1b\[[0-9;]*m", "", written.decode()))


def test_a_narrow_comparison_has_one_line_for_each_peer() -> None:
    slower = [replace(row, duration_ns=2 * row.duration_ns) for row in ROWS]
    others = [Row(duration_ns=100 * MS, sequence=99, peer="10.0.0.2")]
    sides = [aggregated(reported(capture(rows))) for rows in ([*ROWS, *others], slower)]
    out = Console(record=True, file=io.StringIO(), width=78)

    print_comparison(out, compare(*sides))

    lines = out.export_text().splitlines()
    rows = [line.split() for line in lines if "nova-api to 10.0.0." in line]
    (first, second) = [" ".join(row) for row in rows]
    assert re.fullmatch(r"22\d ms 11\d ms \+100.\d% 3.00 0.0% \+\d+ ms/s nova-api to 10.0.0.1:80", first)
    assert second == "- 100 ms gone 0.00 gone -10 ms/s nova-api to 10.0.0.2:80"
