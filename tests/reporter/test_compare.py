"""Check that a comparison shows for both sides what their own reports show, and the differences that pprof computes."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
from collections import Counter, defaultdict
from collections.abc import Sequence
from fractions import Fraction
from functools import reduce
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from httpcapture import End, Record
from httpreport.cli.main import main
from httpreport.compare.changes import compare
from httpreport.outputs.comparison_folded import folded
from httpreport.report.aggregate import Aggregate, aggregate_of
from support.generated import ROWS
from support.recordings import MS, STARTED_NS, TEXT, Row, capture, process, stack
from support.reports import folded_lines, reported, weights

SVG = "{http://www.w3.org/2000/svg}"
STACKS = {256: (TEXT + 8, TEXT + 64), 512: (TEXT + 8, TEXT + 128, TEXT + 64), 768: (TEXT + 256, TEXT + 64)}
RECORDS: list[Record] = [process(), *(stack(*addresses, id=id) for id, addresses in STACKS.items())]


def lasting(nanoseconds: int, rows: list[Row], **meta: Any) -> bytes:
    """Return a capture of a recording of this length."""
    end = End(STARTED_NS + nanoseconds, "signal", True, len(rows), len(rows), 0, {})
    return capture(rows, [*RECORDS, stack(TEXT, id=1), stack(TEXT, 9, id=2)], end=end, **meta)


def calls(count: int, milliseconds: int, process: bytes = b"nova-api", **fields: Any) -> list[Row]:
    return [
        Row(duration_ns=milliseconds * MS + number, sequence=number, comm=process, process=process, **fields)
        for number in range(count)
    ]


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [*map(str, arguments), "--jobs", "1"])


@pytest.fixture
def captures(tmp_path: Path) -> tuple[Path, Path]:
    """Return captures before and after, 10 s each: nova-api waits twice as long for one peer and is no longer called by
    another; nginx is as fast as before; old-agent is gone and new-agent is new."""
    same = calls(4, 150, process=b"nginx", stack=512)
    before = [*same, *calls(10, 200), *calls(2, 200, role=2, peer="::2"), *calls(1, 900, process=b"old-agent")]
    after = [*same, *calls(10, 400), *calls(3, 300, process=b"new-agent", stack=768)]
    paths = tmp_path / "old.cap", tmp_path / "new.cap"
    for path, rows in zip(paths, (before, after)):
        path.write_bytes(lasting(10_000 * MS, rows))
    return paths


SIDES = st.lists(st.tuples(st.integers(1, 1 << 40), st.lists(ROWS, max_size=5)), min_size=1, max_size=3)


@given(SIDES, SIDES)
def test_every_column_of_the_folded_stacks_is_that_of_its_side_alone(
    before: list[tuple[int, list[Row]]], after: list[tuple[int, list[Row]]]
) -> None:
    """The old side is scaled by the ratio of the lengths, rounded down."""
    aggregates, alone = [], []
    for side in (before, after):
        reports = [reported(lasting(*each)) for each in side]
        aggregates.append(reduce(Aggregate.merge, [aggregate_of(report, "a.cap") for report in reports]))
        alone.append(Counter[str]())
        for report in reports:
            alone[-1].update(weights(folded_lines(report)))
    ratio = Fraction(*(sum(nanoseconds for nanoseconds, _ in side) for side in (after, before)))

    lines = list(folded(compare(*aggregates)))

    assert lines == sorted(lines, key=lambda line: line.rsplit(" ", 2)[0].encode())
    read = {stack: (int(old), int(new)) for stack, old, new in (line.rsplit(" ", 2) for line in lines)}
    assert read == {key: (int(alone[0][key] * ratio), alone[1][key]) for key in {**alone[0], **alone[1]}}


def test_the_difference_in_each_function_is_what_pprof_says(captures: tuple[Path, Path], tmp_path: Path) -> None:
    """The recordings have the same length, so their times need no scaling."""
    profiles = []
    for path in captures:
        profiles.append(str(path.with_suffix(".pb.gz")))
        run(path, "--pprof", profiles[-1])
    options = ["-top", "-cum", "-nodefraction=0", "-edgefraction=0", "-nodecount=9999", "-unit=ns"]
    command = [shutil.which("go") or "go", "tool", "pprof", *options, "-diff_base", *profiles]
    said = subprocess.run(command, check=True, capture_output=True, text=True, cwd=tmp_path).stdout
    nodes = re.findall(r"^ *(-?\d+)(?:ns)? +\S+ +\S+ +(-?\d+)(?:ns)? +\S+  (.*)$", said, re.MULTILINE)
    flat: Counter[str] = Counter()
    cumulated: Counter[str] = Counter()

    for change in json.loads(run(captures[1], "--baseline", captures[0], "--json").stdout)["stacks"]:
        _, *frames = change["frames"]
        flat[frames[-1]] += change["added_ns"]
        cumulated.update(dict.fromkeys(frames, change["added_ns"]))

    assert {name: (int(own), int(both)) for own, both, name in nodes} == {
        name: (flat[name], time) for name, time in cumulated.items() if time or flat[name]
    }
    assert len(nodes) == 3


def test_slower_processes_come_first_and_new_or_gone_ones_are_listed(
    captures: tuple[Path, Path], tmp_path: Path
) -> None:
    out = tmp_path / "out"

    result = run(captures[1], "--baseline", captures[0], "-o", out)

    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert f"before: {captures[0]}: 17 calls of 100 ms or more, 0 lost, 10 s on web-1 from " in lines[0]
    assert "processes: new new-agent; gone old-agent" in lines
    assert "stacks: 2 in both recordings (77% of the time before, 84% after), 1 new, 1 gone" in lines
    assert lines[6].startswith("requests of nova-api: 10 requests of 100 ms or more took 4 s in all")
    assert lines[7] == "  why       not said of fewer than 30 requests"
    rows = [" ".join(line.split()) for line in lines[10:20]]
    assert rows == [
        "before 10 1.00 200 ms 200 ms 200 ms 200 ms 200 ms/s nova-api to 192.168.1.20:80",
        "after 10 1.00 400 ms 400 ms 400 ms 400 ms 400 ms/s",
        "change 0.0% +100.0% +100.0% +100.0% +100.0% +100.0%",
        "new 3 0.30 300 ms 300 ms 300 ms 300 ms 90 ms/s new-agent to 192.168.1.20:80",
        "before 4 0.40 150 ms 150 ms 150 ms 150 ms 60 ms/s nginx to 192.168.1.20:80",
        "after 4 0.40 150 ms 150 ms 150 ms 150 ms 60 ms/s",
        "change 0.0% 0.0% 0.0% 0.0% 0.0% 0.0%",
        "gone 2 0.20 200 ms 200 ms 200 ms 200 ms 40 ms/s nova-api:40000 from ::2",
        "gone 1 0.10 900 ms 900 ms 900 ms 900 ms 90 ms/s old-agent to 192.168.1.20:80",
        "",
    ]
    assert [" ".join(line.split(" lib ")[0].split()) for line in lines[21:25]] == [
        "240 ms/s 400 ms/s +160 ms/s +66.7% nova-api:",
        "0 ms/s 90 ms/s +90 ms/s new new-agent:",
        "60 ms/s 60 ms/s 0 ms/s 0.0% nginx:",
        "90 ms/s 0 ms/s -90 ms/s gone old-agent:",
    ]
    assert sorted(os.listdir(out)) == ["stacks.diff.folded"]
    assert (out / "stacks.diff.folded").stat().st_mode & 0o777 == 0o600
    assert f"next: flamegraph.pl --countname us {out}/stacks.diff.folded > {out}/stacks.diff.svg" in lines


def test_a_longer_recording_is_no_change(tmp_path: Path) -> None:
    """One side is twice as long with twice the calls, in two parts on either side of a rotation."""
    for name, rows in (("old", calls(3, 200)), ("new.1", calls(3, 200)), ("new.2", calls(3, 200))):
        (tmp_path / f"{name}.cap").write_bytes(lasting(10_000 * MS, rows))

    said = run(tmp_path / "new.1.cap", tmp_path / "new.2.cap", "--baseline", tmp_path / "old.cap", "-o", tmp_path)

    assert "time waited: 60 ms/s before, 60 ms/s after (0.0%)" in said.stdout
    assert set(re.findall(r"[+-]?\d+\.\d%", said.stdout)) == {"0.0%"}
    assert (tmp_path / "stacks.diff.folded").read_text().endswith("+0x1008 1200000 1200000\n")
    run(
        tmp_path / "new.1.cap",
        tmp_path / "new.2.cap",
        "--baseline",
        tmp_path / "old.cap",
        "-o",
        tmp_path,
        "--count",
        "-f",
    )
    assert (tmp_path / "stacks.diff.folded").read_text().endswith("+0x1008 6 6\n")


def test_the_filters_are_applied_to_both(captures: tuple[Path, Path]) -> None:
    arguments = ("-t", "180", "-p", "nova-api", "--role", "client")
    document = json.loads(run(captures[1], "--baseline", captures[0], "--json", *arguments).stdout)

    for path, side in zip(captures, ("before", "after")):
        alone = json.loads(run(path, "--json", *arguments).stdout)
        times = [call["duration_ns"] for call in alone["calls"]]
        assert document[side]["captures"][0]["kept"] == len(times) == 10
        ((calls, time_ns, slowest_ns),) = [list(peer[side].values())[:3] for peer in document["peers"]]
        assert (calls, time_ns, slowest_ns) == (len(times), sum(times), max(times))
    assert [peer["process"] for peer in document["peers"]] == ["nova-api"]


@pytest.mark.parametrize(
    ("recorded", "arguments", "cause", "words"),
    [
        (
            ({"threshold_ns": 300 * MS}, {}),
            (),
            "thresholds",
            "of 100 and 300 ms: only calls of 300 ms or more are compared",
        ),
        (({}, {"threshold_ns": 300 * MS}), ("-t", "50"), "thresholds", "compare with -t 300"),
        (({"process_filters": (b"nova*",)}, {}), (), "filters", "(before: nova*; after: all)"),
        (({"host": "web-2"}, {}), (), "hosts", "the two sides are of different hosts (before: web-2; after: web-1)"),
        (({"end": False}, {}), (), "length", "not per second, so the longer recording has more of both"),
        (({}, {"limits": {"stack_pages": 4}}), (), "stacks", "--stack fp before only"),
    ],
)
def test_what_was_recorded_otherwise_is_a_warning_with_its_consequence(
    tmp_path: Path, recorded: Sequence[dict[str, Any]], arguments: tuple[str, ...], cause: str, words: str
) -> None:
    paths = tmp_path / "old.cap", tmp_path / "new.cap"
    for path, meta in zip(paths, recorded):
        path.write_bytes(capture(calls(3, 400), RECORDS, **meta))

    said = run(paths[1], "--baseline", paths[0], "-o", tmp_path, *arguments)
    document = json.loads(run(paths[1], "--baseline", paths[0], "--json", *arguments).stdout)

    assert said.exit_code == 0
    (line,) = [line for line in said.stdout.splitlines() if line.startswith("warning: ") and words in line]
    ((found, text),) = [warning.values() for warning in document["warnings"]]
    assert (found, line) == (cause, f"warning: {text}")
    if arguments == () and cause == "thresholds":
        assert document["before"]["captures"][0]["selection"] == "calls of 300 ms or more"


def test_a_capture_and_itself_differ_in_nothing_and_are_warned_of_in_nothing(captures: tuple[Path, Path]) -> None:
    document = json.loads(run(captures[0], "--baseline", captures[0], "--json").stdout)

    assert document["warnings"] == []
    assert {change["added_ns"] for change in (*document["peers"], *document["stacks"])} == {0}
    assert all(change["before"] == change["after"] for change in (*document["peers"], *document["stacks"]))


def test_losses_of_either_side_are_warnings_and_refused_when_strict(
    captures: tuple[Path, Path], tmp_path: Path
) -> None:
    lossy = tmp_path / "lossy.cap"
    end = End(STARTED_NS + 10_000 * MS, "signal", True, 1, 1, 0, {"call_ring_full": 7})
    lossy.write_bytes(capture(calls(1, 200), RECORDS, end=end))

    for one, other in ((lossy, captures[0]), (captures[0], lossy)):
        said = run(one, "--baseline", other, "-o", tmp_path, "-f", "--strict")
        assert said.exit_code == 3
        assert said.stdout.count("lost calls: 7 (") == 1
        assert said.stdout.count(", 0 lost, ") == 1
    assert run(captures[1], "--baseline", captures[0], "-o", tmp_path, "-f", "--strict").exit_code == 0


def test_a_side_that_cannot_be_read_is_a_failure_and_a_part_of_one_is_named(
    captures: tuple[Path, Path], tmp_path: Path
) -> None:
    notes, gone = tmp_path / "notes.txt", tmp_path / "gone.cap"
    notes.write_text("no capture")

    for one, other in ((captures[0], notes), (notes, captures[0]), (captures[0], gone), (captures[0], "-")):
        failed = run(one, "--baseline", other, "-o", tmp_path)
        assert (failed.exit_code, failed.stdout, failed.stderr.count("\n")) == (1, "", 1)
        assert failed.stderr.startswith("httpreport: ")
    said = run(captures[0], "--baseline", captures[0], "--baseline", notes, "-o", tmp_path)
    assert said.exit_code == 0
    assert f"warning: left out: {notes}: not a capture" in said.stdout
    assert run(captures[0], "--baseline", captures[0], "--baseline", notes, "--json", "--strict").exit_code == 3


def test_what_has_no_comparison_says_so(captures: tuple[Path, Path], tmp_path: Path) -> None:
    for option in ("--csv", "--pprof", "--speedscope"):
        refused = run(captures[1], "--baseline", captures[0], option, tmp_path / "out")
        assert (refused.exit_code, (tmp_path / "out").exists()) == (1, False)
        assert (
            refused.stderr == f"httpreport: {option} cannot show a comparison: leave it out, or leave out --baseline\n"
        )
    for options in (["--info"], ["--verify"], ["--redact", str(tmp_path / "out")]):
        refused = run(captures[1], "--baseline", captures[0], *options)
        assert (refused.exit_code, refused.stdout, (tmp_path / "out").exists()) == (2, "", False)


@pytest.mark.parametrize("option", [[], ["--count"]])
def test_a_box_of_the_picture_is_as_wide_as_after_and_as_red_or_blue_as_it_changed(
    captures: tuple[Path, Path], tmp_path: Path, option: list[str]
) -> None:
    result = run(captures[1], "--baseline", captures[0], *option, "--svg", tmp_path / "diff.svg", "-o", tmp_path)
    assert result.exit_code == 0, result.output
    weights: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for line in (tmp_path / "stacks.diff.folded").read_text().splitlines():
        names, *both = line.rsplit(" ", 2)
        for name in ("all", *names.split(";")):
            weights[name] = [sum(pair) for pair in zip(weights[name], map(int, both))]

    image = ET.fromstring((tmp_path / "diff.svg").read_text())
    widths: dict[str, float] = defaultdict(float)
    shades: dict[str, str] = {}
    for box in image.findall(f"{SVG}g"):
        rectangle, (name, times, _) = box.find(f"{SVG}rect"), (box.findtext(f"{SVG}title") or "").split("\n")
        assert rectangle is not None
        widths[name] += float(rectangle.attrib["width"])
        shades[name] = rectangle.attrib["fill"]
        if not option:
            text = box.findtext(f"{SVG}text") or times
            assert f"({text.split()[0]})" in times or text == times

    assert {element.tag.removeprefix(SVG) for element in image.iter()} == {"svg", "g", "title", "rect", "text"}
    assert widths.keys() == {name for name, (_, after) in weights.items() if after}
    for name, width in widths.items():
        assert width == pytest.approx(weights[name][1] * widths["all"] / weights["all"][1], abs=0.2)
    hues = {
        name: "red" if shade[1:3] > shade[5:7] else "blue" if shade[1:3] < shade[5:7] else ""
        for name, shade in shades.items()
    }
    assert hues["new-agent"] == hues["lib nova.so+0x1100"] == "red"
    assert (hues["nova-api"], hues["nginx"]) == (("blue" if option else "red"), "")
