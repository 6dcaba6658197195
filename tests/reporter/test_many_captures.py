"""Check that a report over many captures adds up the reports over each, in any order, by any number of processes."""

from __future__ import annotations

import csv
import gzip
import io
import itertools
import json
import random
import re
from collections import Counter
from collections.abc import Iterator
from functools import reduce
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from httpcapture import End, Lost, Record
from httpreport.cli import parallel
from httpreport.common import tuning
from httpreport.report import sorted_spool
from httpreport.report.aggregate import Aggregate, aggregate_of
from httpreport.report.folding import folded
from httpreport.report.report import naming
from httpreport.report.sorted_spool import Entry, Spool, merged
from support.command_line import run
from support.generated import ROWS
from support.recordings import MS, STARTED_NS, TEXT, Row, capture, completion, process, stack
from support.reports import folded_lines, reported, weights

CAPTURES = st.lists(
    st.builds(
        lambda host, rows: capture(rows, [process(), stack(TEXT, id=1), stack(TEXT, 9, id=2)], host=host),
        st.sampled_from(["web-1", "web-2"]),
        st.lists(ROWS, max_size=5),
    ),
    max_size=5,
)


@given(CAPTURES, st.randoms(use_true_random=False))
def test_totals_equal_those_of_the_captures_reported_one_by_one(captures: list[bytes], chance: random.Random) -> None:
    reports = [reported(data) for data in captures]
    aggregates = [aggregate_of(report, f"{place}.cap") for place, report in enumerate(reports)]

    chance.shuffle(aggregates)
    middle = len(aggregates) // 2
    halves = (reduce(Aggregate.merge, half, Aggregate()) for half in (aggregates[:middle], aggregates[middle:]))
    whole = Aggregate.merge(*halves)

    several = len({report.recording.meta.host for report in reports}) > 1
    expected: Counter[str] = Counter()
    for report in reports:
        host = f"{report.recording.meta.host};" if several else ""
        expected.update({host + text: weight for text, weight in weights(folded_lines(report)).items()})
    assert weights(folded(whole.samples)) == expected
    for name in ("kept", "recorded"):
        assert sum(getattr(facts, name) for facts in whole.captures) == sum(
            getattr(report.recording, name) for report in reports
        )
    kept = sum(report.recording.kept for report in reports)
    for totals in ([*whole.stacks.values()], [latencies.totals for latencies in whole.peers.values()]):
        durations = [
            int(time) for report in reports for time in report.recording.calls["t2"] - report.recording.calls["t0"]
        ]
        assert (sum(each.calls for each in totals), sum(each.time_ns for each in totals)) == (kept, sum(durations))
    assert whole.naming.frames == sum(naming(report).frames for report in reports)
    assert [facts.file for facts in whole.captures] == [
        facts.file for facts in reduce(Aggregate.merge, reversed(aggregates), Aggregate()).captures
    ]


@pytest.fixture
def fleet(tmp_path: Path) -> Path:
    """Return the captures of two hosts, one with two parts and one with a single capture, and a file that is no
    capture."""
    folder = tmp_path / "fleet"
    folder.mkdir()
    for place, (host, milliseconds) in enumerate([("web-2", 300), ("web-1", 200), ("web-1", 400)]):
        rows = [Row(duration_ns=(milliseconds + n) * MS, sequence=n) for n in range(3)]
        (folder / f"{place}.cap").write_bytes(capture(rows, [process(), stack(TEXT)], host=host))
    (folder / "notes.txt").write_text("no capture, and not meant as one")
    return folder


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_folder_is_one_report_by_host(fleet: Path, tmp_path: Path, jobs: int) -> None:
    out = tmp_path / "out"

    result = run(fleet, "-o", out, "--jobs", str(jobs))

    assert result.exit_code == 0, result.output
    assert (out / "stacks.folded").read_text().splitlines() == [
        "web-1;nova-api;lib nova.so+0x1000 1806000",
        "web-2;nova-api;lib nova.so+0x1000 903000",
    ]
    text = (out / "stack_traces.txt").read_text()
    durations = [line.split(" ms")[0] for line in text.splitlines() if line.startswith("Duration: ") and " ms" in line]
    assert durations == [f"Duration: {ms}.00" for ms in (402, 401, 400, 302, 301, 300, 202, 201, 200)]
    assert text.count(f"\nHost: web-2, Capture: {fleet}/0.cap\n") == 3
    assert "web-1: 6 calls of 100 ms or more, 0 lost, 2 captures\n" in result.stdout
    assert sorted(path.name for path in out.iterdir()) == ["stack_traces.txt", "stacks.folded"]


def test_a_capture_that_cannot_be_read_is_named_and_the_others_go_on(fleet: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = (fleet, fleet / "notes.txt", tmp_path / "gone.cap", "-o", out, "-f")

    result = run(*arguments)

    assert result.exit_code == 0
    assert f"warning: left out: {fleet}/notes.txt: not a capture" in result.stdout
    assert f"warning: left out: cannot read {tmp_path}/gone.cap: No such file" in result.stdout
    assert "web-1: 6 calls of 100 ms or more, 0 lost, " in result.stdout
    assert (out / "stack_traces.txt").read_text().startswith(f"Warning: left out: {fleet}/notes.txt: ")
    assert run(*arguments, "--strict").exit_code == 3
    assert run(fleet, "-o", out, "-f", "--strict").exit_code == 0
    nothing = run(fleet / "notes.txt", tmp_path / "gone.cap", "-o", out, "-f")
    assert (nothing.exit_code, nothing.stderr.count("\n")) == (1, 1)


def test_the_json_of_several_is_that_of_each(fleet: Path) -> None:
    several = json.loads(run(fleet, fleet / "notes.txt", "--json").stdout)

    assert [one["file"] for one in several["unreadable"]] == [f"{fleet}/notes.txt"]
    each = [json.loads(run(fleet / f"{n}.cap", "--json").stdout) for n in range(3)]
    answers = [one.pop("answer") for one in each]  # of several captures, there is one for each host
    assert several["reports"] == each
    assert {one["host"] for one in several["answers"]} == {one["host"] for one in answers}


HOUR_NS = 3_600_000_000_000


@pytest.fixture
def rotated(tmp_path: Path) -> Path:
    """Return a recording of four parts of an hour each, in which the second and the last lost calls."""
    folder = tmp_path / "rotated"
    folder.mkdir()
    for number in range(1, 5):
        after = (number - 1) * HOUR_NS
        began, rows = STARTED_NS + after, [Row(start_ns=after, duration_ns=(100 * number + n) * MS) for n in range(3)]
        lost = {"call_ring_full": number} if number % 2 == 0 else {}
        end = End(began + HOUR_NS, "rotated" if number < 4 else "SIGINT", True, 3, 3, 0, lost)
        realtime = 1_700_000_000 * 10**9 + after
        times: dict[str, Any] = {"started_monotonic_ns": began, "started_realtime_ns": realtime}
        records: list[Record] = [process(), stack(TEXT), Lost(began + 60 * 1000 * MS, lost)]
        data = capture(rows, records, end=end, run="4f", part=number, **times)
        (folder / f"run.{number:05}.cap").write_bytes(data)
    return folder


def said_of(*captures: Path) -> tuple[list[str], list[str]]:
    """Return the summary up to the tables, without warnings, and the warnings."""
    folder = str(captures[0].parent if captures[0].is_file() else captures[0])
    result = run(*captures, "--csv", f"{folder}/../run.csv", "-f")
    assert result.exit_code == 0, result.output
    lines = result.stdout.replace(f"{folder}/", "").split("\n\n")[0].splitlines()
    warned = [line.removeprefix("warning: ") for line in lines if line.startswith("warning: ")]
    return [line for line in lines if not line.startswith("warning: ")], warned


def said_of_options(folder: Path, *options: str) -> list[str]:
    """Return the warnings of a report with these options."""
    lines = (
        run(folder, *options, "--csv", folder.parent / "run.csv", "-f").stdout.replace(f"{folder}/", "").splitlines()
    )
    return [line.removeprefix("warning: ") for line in lines if line.startswith("warning: ")]


def test_the_parts_of_a_recording_are_one(rotated: Path, tmp_path: Path) -> None:
    summary, warned = said_of(rotated)
    assert summary[0] == "web-1: 12 calls of 100 ms or more, recording of 4 parts"
    assert warned == [
        "run.00001.cap to run.00004.cap: lost calls: 6 (the recorder could not keep up, "
        "2023-11-14T23:14:20 to 2023-11-15T01:14:20 UTC): slow calls may be missing. "
        "Next time raise -t or --call-ring, or give -p"
    ]
    assert run(rotated, "-o", tmp_path, "--html", tmp_path / "run.html").exit_code == 0
    text = (tmp_path / "stack_traces.txt").read_text()
    kept = "12 calls of 100 ms or more"
    assert "run.00004.cap: recording of 4 parts, recorded on web-1 (Linux 6.1.0-18-amd64 x86_64) by httprec" in text
    assert f"{kept}\n12 calls, the longest first\n" in text
    assert "<title>recording of 4 parts - slow HTTP calls on web-1</title>" in (tmp_path / "run.html").read_text()


def test_missing_parts_of_a_recording_are_reported_with_the_consequence(rotated: Path) -> None:
    first, second, third, fourth = sorted(rotated.iterdir())

    def missing(*captures: Path) -> list[str]:
        return [line for line in said_of(*captures)[1] if "lost calls" not in line]

    assert missing(first) == ["only part 1 of the recording: calls of later parts are missing here"]
    assert missing(third) == ["only part 3 of the recording: calls of earlier and later parts are missing here"]
    assert missing(fourth) == ["only part 4 of the recording: calls of earlier parts are missing here"]
    assert missing(third, second) == [
        "run.00002.cap to run.00003.cap: only parts 2 to 3 of the recording: calls of earlier and later parts are "
        "missing here"
    ]
    assert missing(fourth, first) == [
        "run.00001.cap to run.00004.cap: the given files lack parts 2 to 3: calls of 2023-11-14T23:13:20 to "
        "2023-11-15T01:13:20 UTC are missing in all figures"
    ]
    assert run(first, third, "-o", rotated, "--strict").exit_code == 3
    again = rotated / "copy.cap"
    again.write_bytes(third.read_bytes())
    assert missing(*sorted(rotated.glob("*.cap"))) == [
        "run.00001.cap to run.00004.cap: part 3 was given 2 times (copy.cap, run.00003.cap): "
        "its calls are counted as often"
    ]


def test_a_warning_shared_by_all_parts_is_reported_once(rotated: Path) -> None:
    assert [line for line in said_of_options(rotated, "-t", "50") if "threshold" in line] == [
        "run.00001.cap to run.00004.cap: -t 50 is below the capture's threshold of 100 ms: "
        "calls shorter than 100 ms are not listed: they were recorded without stacks and what they "
        "ask for, or not at all"
    ]
    for options in (
        ["-t", "300"],
        ["-t", "3000"],
        ["-t", "3000", "--since", "+90m"],
    ):  # no call of the first part passes
        assert not [line for line in said_of_options(rotated, *options) if "no call" in line]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--since", "+1h"], 9),
        (["--since", "+30m", "--until", "+90m"], 3),
        (["--until", "+1s"], 3),
        (["--since", "23:00"], 9),  # of the day before: the third part began at 00:13:20
        (["--until", "23:59"], 6),
        (["--since", "2023-11-15T00:00"], 6),
    ],
)
def test_a_time_counts_from_the_first_part_of_a_recording(rotated: Path, options: list[str], expected: int) -> None:
    """The parts begin at 22:13:20 and then an hour apart, with all their calls at the beginning."""
    summary = run(rotated, *options, "--csv", rotated.parent / "run.csv").stdout
    assert re.search(rf"^web-1: {expected} calls? of 100 ms or more \(.*\), out of 12, ", summary, re.MULTILINE)


def test_a_time_that_counts_from_the_start_does_not_follow_the_wall_clock(tmp_path: Path) -> None:
    """Between the two parts, the host's clock was set by two hours, or the host slept."""
    for number, realtime in ((1, 1_700_000_000 * 10**9), (2, 1_700_000_000 * 10**9 + 3 * HOUR_NS)):
        after = (number - 1) * HOUR_NS
        times: dict[str, Any] = {"started_monotonic_ns": STARTED_NS + after, "started_realtime_ns": realtime}
        (tmp_path / f"run.{number}.cap").write_bytes(capture([Row(start_ns=after)], run="4f", part=number, **times))

    def kept(*options: str) -> str:
        said = run(tmp_path, *options, "--csv", tmp_path / "run.csv", "-f").stdout
        return "".join(re.findall(r"^web-1: (\d+) calls? ", said, re.MULTILINE))

    assert (kept("--since", "+59m"), kept("--since", "+61m"), kept("--until", "+61m")) == ("1", "", "2")
    assert (kept("--since", "2023-11-15T01:13"), kept("--until", "2023-11-15T01:13")) == ("1", "1")


def test_a_time_counts_from_the_first_part_that_is_here_and_from_each_recording(rotated: Path, fleet: Path) -> None:
    (rotated / "run.00001.cap").unlink()
    until = ["--until", "+1s"]
    assert ", out of 9" in run(rotated, *until, "--csv", rotated.parent / "run.csv").stdout
    summary = run(rotated, fleet, *until, "--csv", rotated.parent / "both.csv").stdout
    assert "web-1: 9 calls of " in summary and ", out of 15" in summary
    assert "web-2: 3 calls of " in summary


def test_recordings_of_one_host_are_distinguished(rotated: Path, fleet: Path) -> None:
    summary, _ = said_of(rotated, fleet)
    assert summary[:2] == [
        "web-1: 18 calls of 100 ms or more, 3 recordings in 6 captures",
        "web-2: 3 calls of 100 ms or more, 0 lost, 1 capture",
    ]


def test_a_response_that_goes_on_in_the_next_part_is_one_call(tmp_path: Path) -> None:
    """It has a completion in both parts (FORMAT.md)."""
    row = Row()
    (tmp_path / "run.1.cap").write_bytes(capture([row], completions=[completion(row, 5 * MS, 112, 900)], run="4f"))
    later = capture([], completions=[completion(row, 50 * MS, 112, 9000)], run="4f", part=2)
    (tmp_path / "run.2.cap").write_bytes(later)

    assert run(tmp_path, "-o", tmp_path).exit_code == 0

    assert (tmp_path / "stacks.folded").read_text() == "nova-api;[no stack: missing in the capture] 255000\n"
    text = (tmp_path / "stack_traces.txt").read_text()
    assert text.count("Duration: 255.00 ms") == 1
    assert "Received: 5.00 ms" in text


@pytest.mark.parametrize("jobs", [1, 2])
def test_each_output_of_several_has_what_it_has_of_each(fleet: Path, tmp_path: Path, jobs: int) -> None:
    def written(*captures: Path) -> dict[str, bytes]:
        paths = {name: tmp_path / f"run.{name}" for name in ("csv", "speedscope", "svg", "pprof")}
        options = [part for name, path in paths.items() for part in (f"--{name}", path)]
        result = run(*captures, *options, "-f", "--jobs", str(jobs))
        assert result.exit_code == 0, result.output
        assert set(map(str, tmp_path.iterdir())) == {str(fleet), *map(str, paths.values())}
        return {name: path.read_bytes() for name, path in paths.items()}

    each, whole = [written(fleet / f"{n}.cap") for n in range(3)], written(fleet)

    head, *lines = whole["csv"].splitlines()
    assert {one["csv"].splitlines()[0] for one in each} == {head}
    assert sorted(lines) == sorted(line for one in each for line in one["csv"].splitlines()[1:])
    rows = list(csv.DictReader(io.StringIO(whole["csv"].decode())))
    assert [int(row["duration_ns"]) for row in rows] == [
        ms * MS for ms in (402, 401, 400, 302, 301, 300, 202, 201, 200)
    ]
    assert (rows[0]["host"], rows[0]["capture"]) == ("web-1", f"{fleet}/2.cap")
    profiles = json.loads(whole["speedscope"])["profiles"]
    weights = [sum(json.loads(one["speedscope"])["profiles"][0]["weights"]) for one in each]
    assert {one["name"]: sum(one["weights"]) for one in profiles} == {
        "web-1: nova-api": weights[1] + weights[2],
        "web-2: nova-api": weights[0],
    }
    boxes = re.findall(r"<g><title>([^<\n]*)", whole["svg"].decode())
    assert boxes.count("web-1") == boxes.count("web-2") == 1
    assert boxes.count("nova-api") == 2
    assert b"web-" not in each[0]["svg"]
    profile = gzip.decompress(whole["pprof"])
    assert all(text in profile for text in (b"process", b"nova-api", b"host", b"web-1", b"web-2"))


def test_standard_input_is_no_part_of_several(fleet: Path) -> None:
    assert "standard input cannot be one of several" in run("-", fleet).stderr


def test_a_capture_that_is_given_twice_is_read_once(fleet: Path) -> None:
    assert parallel.captures_of([str(fleet), str(fleet / "1.cap")]) == [str(fleet / f"{n}.cap") for n in range(3)]


def test_more_spools_than_can_be_open_are_merged_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "SPOOLS_MERGED_AT_ONCE", 3)
    entries = [
        (duration, start, f"{duration} {start} caf\u00e9\n")
        for duration, start in itertools.product(range(9), range(-2, 3))
    ]
    random.Random(1).shuffle(entries)
    paths = [tmp_path / f"{n}.calls" for n in range(10)]
    for place, path in enumerate(paths):
        with Spool(path) as one:
            for entry in sorted(entries[place::10], key=lambda entry: (-entry[0], entry[1])):
                one.add(*entry[:2], entry[2:])

    open_now, most = 0, 0

    def counted(path: Path) -> Iterator[Entry]:
        nonlocal open_now, most
        open_now += 1
        most = max(most, open_now)
        yield from entries_of(path)
        open_now -= 1

    entries_of = sorted_spool.entries
    monkeypatch.setattr(sorted_spool, "entries", counted)

    texts = list(merged(paths))

    assert texts == [(text,) for *_, text in sorted(entries, key=lambda entry: (-entry[0], entry[1]))]
    assert most == 3
