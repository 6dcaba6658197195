"""Check what the duration of a call is, how it is judged, and what every output that lists calls says of it."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from httpcapture import JudgedBy, Lost, Outcome, Record
from httpreport.cli.main import main
from httpreport.outputs.page.data import page_data
from httpreport.report.report import Report
from httpreport.report.warnings import Cause
from support.recordings import MS, Row, capture, completion
from support.redactions import redacted
from support.reports import aggregated, json_text, named, no_binary, reported, text_lines, written

FAST_FIRST_BYTE = Row(duration_ns=MS)
LOST_END: list[Record] = [Lost(1, {"completion_ring_full": 1})]
TLS = Row(request_head=b"\x17\x03\x03", response_head=b"\x17\x03\x03")
NO_END = Row(judged_by=JudgedBy.FIRST_BYTE, response_head=b"HTTP/1.1 101 Swi")


def json_call(report: Report) -> dict[str, Any]:
    (call,) = json.loads(json_text(report, "run.cap"))["calls"]
    assert isinstance(call, dict)
    return call


def csv_call(report: Report) -> dict[str, str]:
    (call,) = csv.DictReader(io.StringIO(written(named("csv"), report).decode()))
    return call


def page_call(report: Report) -> dict[str, Any]:
    page = page_data(aggregated(report))
    (row,) = page.rows
    return dict(zip(page.row_fields, row))


def phases(report: Report) -> str:
    return text_lines(report, "run.cap")[-1]


def seconds(report: Report) -> list[float]:
    return [duration / 1e9 for duration in report.recording.calls["duration"].tolist()]


def test_a_download_whose_first_byte_is_fast_is_slow() -> None:
    slow_body = completion(FAST_FIRST_BYTE, 2399 * MS, 100, 4_000_000)

    kept = reported(capture([FAST_FIRST_BYTE], completions=[slow_body]), milliseconds=2400)

    assert seconds(kept) == [2.4]
    assert json_call(kept)["duration_ns"] == 2400 * MS
    assert (json_call(kept)["first_byte_ns"], json_call(kept)["received"]) == (MS, 4_000_000)
    assert csv_call(kept)["duration_ns"] == str(2400 * MS)
    assert "Duration: 2400.00 ms, Size: 4000100 bytes" in text_lines(kept, "run.cap")
    assert phases(kept).endswith("Received: 2399.00 ms, First byte: 1.00 ms, Total: 2400.00 ms")
    assert not reported(capture([FAST_FIRST_BYTE], completions=[slow_body]), milliseconds=2401).recording.kept


def test_the_row_of_a_call_tells_how_far_its_response_had_come() -> None:
    row = replace(FAST_FIRST_BYTE, response_ns=299 * MS)

    assert seconds(reported(capture([row]), milliseconds=300)) == [0.3]
    assert seconds(reported(capture([row], completions=[completion(row, 699 * MS, 1, 1)]))) == [0.7]
    assert seconds(reported(capture([row], completions=[completion(row, MS, 1, 1)]))) == [0.3]


def test_without_an_answer_a_call_ends_when_its_end_was_seen() -> None:
    row = Row(outcome=Outcome.RESET, response_ns=700 * MS)

    report = reported(capture([row]))

    assert seconds(report) == [0.25]
    assert (json_call(report)["first_byte_ns"], json_call(report)["duration_at_least"]) == (None, False)
    assert phases(report) == "Sent: 0.00 ms, Waited: 250.00 ms, Received: nothing, Total: 250.00 ms"


def test_no_completion_lengthens_a_call_with_impossible_times() -> None:
    row = Row(duration_ns=-MS)

    report = reported(capture([row], completions=[completion(row, 500 * MS, 1, 1)]))

    assert seconds(report) == [0]
    assert report.recording.impossible.backwards == 1


@pytest.mark.parametrize(
    "data",
    [
        capture(records=LOST_END),
        capture(end=False),
        capture([Row(outcome=Outcome.IN_FLIGHT)]),
    ],
    ids=["lost", "cut off", "in flight"],
)
def test_a_call_whose_end_was_not_seen_took_at_least_so_long(data: bytes) -> None:
    report = reported(data)

    assert json_call(report)["duration_at_least"] is True
    assert csv_call(report)["duration_at_least"] == "yes"
    assert (page_call(report)["at_least"], page_call(report)["total_at_least"]) == (True, True)
    assert phases(report).endswith("Total: at least 250.00 ms")


@pytest.mark.parametrize("data", [capture(), capture(completions=[completion(Row(), MS, 1, 1)], records=LOST_END)])
def test_a_call_whose_end_was_seen_is_not_marked(data: bytes) -> None:
    report = reported(data)

    assert json_call(report)["duration_at_least"] is False
    assert not page_call(report)["at_least"]
    assert "at least" not in phases(report)


def test_a_call_without_an_end_is_judged_by_its_first_byte_and_marked() -> None:
    later = [completion(NO_END, 5000 * MS, 7, 9)]

    report = reported(capture([NO_END], completions=later), milliseconds=250)

    assert seconds(report) == [0.25]
    call = json_call(report)
    assert (call["duration_ns"], call["judged_by"], call["duration_at_least"]) == (250 * MS, "first_byte", False)
    assert (call["kind"], call["response_ns"], call["response_end_known"]) == ("websocket", None, False)
    assert (call["sent"], call["received"]) == (7, 9)
    assert csv_call(report)["judged_by"] == "first_byte"
    assert (page_call(report)["has_end"], page_call(report)["at_least"]) == (False, False)
    assert phases(report).endswith("Received: no end can be told, First byte: 250.00 ms, Total: to the first byte")
    assert not reported(capture([NO_END], completions=later), milliseconds=251).recording.kept


def test_with_first_byte_all_calls_are_judged_by_it_and_the_outputs_say_so() -> None:
    rows = [replace(Row(), sequence=1), replace(FAST_FIRST_BYTE, sequence=2)]
    data = capture(rows, completions=[completion(rows[0], 50 * MS, 1, 1), completion(rows[1], 999 * MS, 1, 1)])

    report = reported(data, milliseconds=250, first_byte=True)

    assert seconds(report) == [0.25]
    document = json.loads(json_text(report, "run.cap"))
    assert document["selection"]["judged_by"] == "first_byte"
    assert (document["calls"][0]["duration_ns"], document["calls"][0]["first_byte_ns"]) == (300 * MS, 250 * MS)
    lines = text_lines(report, "run.cap")
    assert "1 call of 250 ms or more to the first byte, out of 2, 0 lost, the longest first" in lines
    assert "Duration: 250.00 ms, Size: 2 bytes" in lines
    assert phases(report).endswith("First byte: 250.00 ms, Total: 300.00 ms")
    assert page_data(aggregated(report)).first_byte
    assert reported(data, milliseconds=2000, first_byte=True).recording.available.unreached_ns == 250 * MS


def test_a_late_stack_is_marked_where_it_is_shown() -> None:
    report = reported(capture([replace(Row(), stack_is_late=1)]))

    late = "Stack trace (taken when the call became slow, while the response went on):"
    assert late in text_lines(report, "run.cap")
    assert json_call(report)["stack_is_late"] is True
    assert csv_call(report)["stack_is_late"] == "yes"
    assert page_call(report)["stack_is_late"] is True


def test_a_first_byte_that_is_a_guess_is_marked() -> None:
    report = reported(capture([replace(TLS, first_byte_is_guess=1)]))

    assert "First byte: 250.00 ms (a guess)" in phases(report)
    assert json_call(report)["first_byte_is_guess"] is True
    assert csv_call(report)["first_byte_is_guess"] == "yes"
    assert page_call(report)["first_byte_is_guess"] is True


@pytest.mark.parametrize(("row", "duration"), [(Row(), 0.3), (TLS, 0.25), (replace(TLS, outcome=Outcome.EOF), 0.25)])
def test_in_an_older_capture_only_http_has_an_end(row: Row, duration: float) -> None:
    report = reported(capture([row], completions=[completion(row, 50 * MS, 1, 1)], older=True))

    assert seconds(report) == [duration]
    assert report.recording.calls["t3_known"].tolist() == [row is not TLS]
    assert (json_call(report)["judged_by"] == "first_byte") == (row is TLS)
    assert json.loads(json_text(report, "run.cap"))["capture"]["judged_by"] == "first_byte"


def test_of_an_older_capture_some_calls_are_listed_like_all() -> None:
    rows = [replace(Row(), sequence=number, duration_ns=number * 100 * MS) for number in range(4)]
    ends = [completion(row, 50 * MS, 1, 1) for row in rows]

    assert seconds(reported(capture(rows, completions=ends, older=True), milliseconds=200)) == [0.25, 0.35]


def test_of_an_older_capture_a_warning_says_what_may_be_missing() -> None:
    def causes(**options: Any) -> list[Cause]:
        threshold_ns = options.pop("threshold_ns", 100 * MS)
        data = capture(older=True, threshold_ns=threshold_ns)
        return [warning.cause for warning in reported(data, milliseconds=None, **options).warnings]

    assert causes() == [Cause.FIRST_BYTE]
    assert causes(first_byte=True) == []
    assert causes(threshold_ns=0) == []
    assert reported(capture(), milliseconds=None).warnings == []


@pytest.mark.parametrize("older", [False, True])
@pytest.mark.parametrize("row", [Row(), TLS, NO_END, replace(Row(), stack_is_late=1, response_ns=9, is_encrypted=1)])
def test_a_redacted_capture_has_the_same_durations_and_marks(row: Row, older: bool) -> None:
    data = capture([row], completions=[completion(row, 50 * MS, 1, 1)], older=older)
    names = ("duration_ns", "duration_at_least", "judged_by", "first_byte_ns", "first_byte_is_guess", "stack_is_late")

    calls = [json_call(reported(one)) for one in (data, redacted(data, no_binary))]

    before, after = ([call[name] for name in (*names, "encrypted", "kind", "status")] for call in calls)
    assert before == after


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [*map(str, arguments), "--jobs", "1"])


def test_a_comparison_of_both_rules_is_of_first_bytes_and_says_so(tmp_path: Path) -> None:
    ends = [completion(Row(), 500 * MS, 1, 1)]
    old, new = tmp_path / "old.cap", tmp_path / "new.cap"
    old.write_bytes(capture([Row()], completions=ends, older=True))
    new.write_bytes(capture([Row()], completions=ends))

    mixed, alike = (json.loads(run(new, "--baseline", before, "--json").stdout) for before in (old, new))

    assert (mixed["judged_by"], alike["judged_by"]) == ("first_byte", "whole")
    assert [warning["cause"] for warning in mixed["warnings"]] == ["first_bytes"]
    assert alike["warnings"] == []
    assert [mixed["peers"][0][side]["slowest_ns"] for side in ("before", "after")] == [250 * MS] * 2
    assert [alike["peers"][0][side]["slowest_ns"] for side in ("before", "after")] == [750 * MS] * 2


def test_calls_are_filtered_by_encryption(tmp_path: Path) -> None:
    path = tmp_path / "run.cap"
    rows = [replace(Row(), sequence=1, is_encrypted=1), replace(Row(), sequence=2), replace(TLS, sequence=3)]
    path.write_bytes(capture(rows))

    def kept(*options: str) -> list[int]:
        document = json.loads(run(path, "--json", *options).stdout)
        return sorted(call["sequence"] for call in document["calls"])

    assert (kept("--encrypted", "yes"), kept("--encrypted", "no")) == ([1, 3], [2])
    assert kept("--encrypted", "yes", "--encrypted", "no") == kept() == [1, 2, 3]
    path.write_bytes(capture(rows, older=True))
    assert kept("--encrypted", "yes") == [3]
    assert run(path, "--json", "--encrypted", "no").exit_code == 1
