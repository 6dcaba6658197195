"""Check the formats of other tools: read back by those tools or by their published definitions, each is the report."""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
from collections import Counter, defaultdict
from pathlib import Path

import jsonschema
import pytest

from httpcapture import StackStatus
from httpreport.outputs.firefox import firefox
from httpreport.outputs.flame_svg import svg
from httpreport.outputs.pprof import pprof
from httpreport.outputs.speedscope import speedscope
from httpreport.outputs.svg_tree import MARGIN, WIDTH
from httpreport.report.report import Report
from httpreport.report.samples import Sample, Weight
from support.firefox_profiler import tracks
from support.recordings import MS, TEXT, Row, capture, process, stack
from support.reports import aggregated, folded_lines, named, reported, written

DATA = Path(__file__).parent / "data"
HOSTILE = [b"</title><x a='", b"a;b 7", b"\x1b[31m\n", b"=1+1", b"\xff\xfe&<>", "\u202eevil".encode(), b'a,b"c', b""]
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def real() -> Report:
    """Return the calls of a Python client and its server."""
    return reported((DATA / "python_http.cap").read_bytes())


@pytest.fixture(scope="module")
def hostile() -> Report:
    """Return processes and threads whose names would break out of any of the formats, with and without stacks."""
    rows = [
        Row(duration_ns=(place + 1) * MS, comm=name, process=name, stack=place % 2 + 1, stack_status=status)
        for status in (StackStatus.RECORDED, StackStatus.FAULT)
        for place, name in enumerate(HOSTILE)
    ]
    return reported(capture(rows, [process(), stack(TEXT, id=1), stack(TEXT, TEXT + 9, id=2)]))


@pytest.fixture(params=["real", "hostile"])
def report(request: pytest.FixtureRequest) -> Report:
    value: Report = request.getfixturevalue(request.param)
    return value


def samples_of(report: Report) -> list[Sample]:
    return aggregated(report).samples


def total_ns(report: Report) -> int:
    calls = report.recording.calls
    return int((calls["t3"] - calls["t0"]).sum())


@pytest.mark.parametrize("weight", Weight)
def test_speedscope_follows_its_own_schema_and_loses_nothing(report: Report, weight: Weight) -> None:
    document = json.loads("".join(speedscope(samples_of(report), weight, "run.cap", "httpreport")))
    jsonschema.validate(document, json.loads((DATA / "speedscope.schema.json").read_text()))
    expected = total_ns(report) if weight is Weight.TIME else len(report.recording.calls)
    assert sum(sum(profile["weights"]) for profile in document["profiles"]) == expected
    assert all(profile["endValue"] == sum(profile["weights"]) for profile in document["profiles"])
    frames = document["shared"]["frames"]
    read = [[frames[number]["name"] for number in one] for each in document["profiles"] for one in each["samples"]]
    assert sorted(read) == sorted([place.label for place in sample.stack.frames] for sample in samples_of(report))


@pytest.mark.parametrize("weight", Weight)
def test_the_firefox_profiler_reads_back_every_stack_with_its_weight(
    report: Report, weight: Weight, tmp_path: Path
) -> None:
    profile, made = tmp_path / "profile.json", samples_of(report)
    profile.write_text("".join(firefox(made, weight, "run.cap", "httpreport", 10**18)))
    expected: defaultdict[tuple[str, ...], float] = defaultdict(float)
    for sample in made:
        called = (sample.of, *(place.label for place in sample.stack.frames))
        expected[called] += weight.of(sample.totals) / (1e6 if weight is Weight.TIME else 1)
    read: defaultdict[tuple[str, ...], float] = defaultdict(float)
    for name, weight_type, stacks in tracks(profile):
        assert weight_type == ("tracing-ms" if weight is Weight.TIME else "samples")
        for path, value in stacks:
            found = (name, *path)
            read[found] += value
    assert read == pytest.approx(expected)
    modules = {place.module for sample in made for place in sample.stack.frames} - {None}
    assert {library["path"] for library in json.loads(profile.read_text())["libs"]} == modules


def test_the_firefox_profiler_takes_a_profile_of_no_calls_too(tmp_path: Path) -> None:
    profile = tmp_path / "profile.json"
    profile.write_text("".join(firefox((), Weight.TIME, "run.cap", "httpreport", 10**18)))
    assert tracks(profile) == [("[no calls]", "tracing-ms", [])]


def test_pprof_reads_back_every_sample_with_its_stack(report: Report, tmp_path: Path) -> None:
    (tmp_path / "run.pb.gz").write_bytes(pprof(samples_of(report), 1_700_000_000 * 10**9))
    command = [shutil.which("go") or "go", "tool", "pprof", "-raw", "run.pb.gz"]
    raw = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    part = re.search(r"calls/count time/nanoseconds\[dflt\]\n(.*)Locations\n(.*)Mappings\n", raw, re.DOTALL)
    assert part, raw
    values = re.findall(r"^ +(\d+) +(\d+): ((?:\d+ )*)$", part[1], re.MULTILINE)
    assert sum(int(calls) for calls, _, _ in values) == len(report.recording.calls)
    assert sum(int(time) for _, time, _ in values) == total_ns(report)
    assert len(values) == len(samples_of(report))
    lines = Counter(len(locations.split()) for _, _, locations in values)
    ours = Counter(sum(not place.inlined for place in sample.stack.frames) for sample in samples_of(report))
    assert lines == ours
    functions = {place.label.split()[0] for sample in samples_of(report) for place in sample.stack.frames}
    assert all(function in part[2] for function in functions)


def test_the_svg_is_well_formed_and_its_boxes_are_as_wide_as_the_folded_stacks(report: Report) -> None:
    image = ET.fromstring("\n".join(svg(samples_of(report), Weight.TIME, "run <1> & 2")))
    assert image.findtext(f"{SVG}title") == "run <1> & 2"
    widths: dict[str, float] = defaultdict(float)
    for box in image.findall(f"{SVG}g"):
        rectangle = box.find(f"{SVG}rect")
        assert rectangle is not None
        widths[(box.findtext(f"{SVG}title") or "").split("\n")[0]] += float(rectangle.attrib["width"])
    weights: Counter[str] = Counter()
    for line in folded_lines(report):
        names, _, weight = line.rpartition(" ")
        for name in names.split(";"):
            weights[name] += int(weight)
    scale = (WIDTH - 2 * MARGIN) / sum(int(line.rpartition(" ")[2]) for line in folded_lines(report))
    shared = set(weights) & set(widths)
    assert len(shared) >= len(weights) - len(HOSTILE)  # folding writes some of the hostile names otherwise
    for name in shared:
        assert widths[name] == pytest.approx(weights[name] * scale, abs=1)


def test_an_svg_has_no_script_and_links_nowhere(hostile: Report) -> None:
    image = ET.fromstring("\n".join(svg(samples_of(hostile), Weight.COUNT, "run.cap")))
    assert {element.tag.removeprefix(SVG) for element in image.iter()} == {"svg", "g", "title", "rect", "text"}
    assert not [name for element in image.iter() for name in element.attrib if name.startswith("on") or "href" in name]


def test_an_svg_of_no_calls_is_a_picture_too() -> None:
    image = ET.fromstring("\n".join(svg(aggregated(reported(capture([]))).samples, Weight.TIME, "run.cap")))
    assert len(image.findall(f"{SVG}g")) <= 1


def test_a_line_of_the_table_for_each_call(report: Report) -> None:
    made = written(named("csv"), report, "=run.cap").decode().splitlines()
    rows = list(csv.DictReader(made))
    assert sum(int(row["duration_ns"]) for row in rows) == total_ns(report)
    durations = [int(row["duration_ns"]) for row in rows]
    assert durations == sorted(durations, reverse=True)
    assert [int(row["pid"]) for row in rows] == [call.pid for call, _, _ in report.calls()]
    assert not [value for row in rows for value in row.values() if value.startswith(("=", "+", "-", "@"))]
    assert all(value.isprintable() for row in rows for value in row.values())


def test_a_cell_of_the_table_is_empty_where_a_call_has_no_response() -> None:
    report = reported(
        capture([Row(outcome=outcome, sequence=outcome, duration_ns=(9 - outcome) * MS) for outcome in (0, 1, 4)])
    )
    made = written(named("csv"), report).decode().splitlines()
    assert [row["response_ns"] for row in csv.DictReader(made)] == ["0", "", ""]
