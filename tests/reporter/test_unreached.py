"""Check reports without calls: a result where no call is slow enough, a failure where no call matches the filters."""

from __future__ import annotations

import json
import os
import re
from fractions import Fraction
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from httpcapture import Record
from httpreport.cli.main import main
from httpreport.outputs.output import Destination
from httpreport.outputs.registry import outputs_to
from httpreport.report.unreached import sentence
from support.recordings import MS, TEXT, Row, capture, process, stack

STACKS: list[Record] = [process(), stack(TEXT)]
FILES = ["stack_traces.txt", "stacks.folded"]


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [*map(str, arguments), "--jobs", "1"])


def written(path: Path, *calls: tuple[str, float], threshold_ms: int = 0, host: str = "web-1") -> Path:
    """Return a capture with a client's call of each of these processes, of so many milliseconds."""
    rows = [
        Row(sequence=number, process=name.encode(), comm=name.encode(), duration_ns=round(milliseconds * MS))
        for number, (name, milliseconds) in enumerate(calls)
    ]
    path.write_bytes(capture(rows, STACKS, threshold_ns=threshold_ms * MS, host=host))
    return path


@pytest.fixture
def run_cap(tmp_path: Path) -> Path:
    return written(tmp_path / "run.cap", ("nova-api", 146.25), ("nova-api", 20), ("nginx", 250), ("cinder", 0.0035))


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Return a folder with files of an earlier report."""
    folder = tmp_path / "out"
    folder.mkdir()
    for name in (*FILES, "stacks.diff.folded", "written"):
        (folder / name).write_text("earlier")
    return folder


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("-p nova-api -t 300", "No call of nova-api took 300 ms; the slowest took 146 ms"),
        ("-p nova* -t 146.251", "No call of nova* took 146.251 ms; the slowest took 146 ms"),
        ("-p nova-api -p nginx -t 300", "No call of nova-api or nginx took 300 ms; the slowest took 250 ms"),
        ("-p a -p cinder -p b -t 0.5", "No call of a, cinder or b took 0.5 ms; the slowest took 3.5 us"),
        ("-t 1234567", "No call took 1234567 ms; the slowest took 250 ms"),
        (
            "--role client -p nginx -t 1000",
            "No call of nginx that passes the filters (role client) took 1000 ms; the slowest took 250 ms",
        ),
        (
            "--since +0s --kind http -t 1000",
            "No call that passes the filters (kind http, since +0s) took 1000 ms; the slowest took 250 ms",
        ),
    ],
)
def test_that_no_call_is_slow_enough_is_a_result(options: str, said: str, run_cap: Path, out: Path) -> None:
    result = run(run_cap, *options.split(), "-o", out, "-f")

    assert (result.exit_code, result.stderr) == (0, "")
    first, second, *_ = result.stdout.splitlines()
    assert first.startswith(f"{run_cap}: 0 calls of ") and first.endswith(", out of 4, 0 lost")
    assert second == said
    assert "warning: " not in result.stdout
    assert (out / "stacks.folded").read_text() == ""
    text = (out / "stack_traces.txt").read_text()
    assert f"\n{said}\n" in text and "PID: " not in text


ONE_LINE_A_CALL = ("--joined", "--otlp")  # or a stack trace


@pytest.mark.parametrize("option", [output.option for output in outputs_to(Destination.FILE)])
def test_outputs_without_calls_are_written(option: str, run_cap: Path, out: Path) -> None:
    result = run(run_cap, "-p", "nova-api", "-t", "300", option, out / "written", "-f")

    assert result.exit_code == 0
    written = (out / "written").read_bytes()
    assert written != b"earlier"
    assert (written == b"") == (option in ONE_LINE_A_CALL)
    assert f"wrote {out}/written\n" in result.stdout


def test_a_page_and_a_document_without_calls_say_how_slow_the_slowest_was(run_cap: Path, tmp_path: Path) -> None:
    arguments = (run_cap, "-p", "nova-api", "-t", "300")
    run(*arguments, "--html", tmp_path / "page.html")

    document = json.loads(run(*arguments, "--json").stdout)

    assert "No call of nova-api took 300 ms; the slowest took 146 ms" in (tmp_path / "page.html").read_text()
    assert (document["calls"], document["warnings"], document["ledger"]["unreached_ns"]) == ([], [], 146_250_000)
    assert json.loads(run(run_cap, "--json").stdout)["ledger"]["unreached_ns"] is None


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("-p nova", "no call of nova is in the capture; processes in the capture: nova-api (2, slowest 146 ms), "),
        ("-p nova -t 999", "no call of nova is in the capture; processes in the capture: nova-api (2, "),
        ("--pid 7", "no call that passes the filters (pid 7) is in the capture; "),
        ("--peer ::1", "peers in the capture: 192.168.1.20:80 (4, slowest 250 ms)"),
        ("--since +1h", "calls in the capture began from 2023-11-14T22:13:20"),
        ("--role server", "roles in the capture: client (4, slowest 250 ms)"),
        ("--outcome reset -p nginx", "outcomes in the capture: answered (4, slowest 250 ms)"),
        ("--kind tls", "kinds in the capture: http (4, slowest 250 ms)"),
    ],
)
@pytest.mark.parametrize("output", ["-o", "--json", *(output.option for output in outputs_to(Destination.FILE))])
def test_a_filter_that_matches_no_call_replaces_no_file_and_lists_the_existing_values(
    output: str, options: str, said: str, run_cap: Path, out: Path
) -> None:
    place = {"-o": [out], "--json": []}.get(output, [out / "written"])

    result = run(run_cap, *options.split(), output, *place, "-f")

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("httpreport: no call ") and result.stderr.count("\n") == 1
    assert said in result.stderr
    assert {path.read_text() for path in out.iterdir()} == {"earlier"}


def test_what_else_may_be_the_reason_comes_first(tmp_path: Path, out: Path) -> None:
    run_cap = tmp_path / "run.cap"
    run_cap.write_bytes(capture([Row()], STACKS, process_filters=(b"nova*",), end=False))

    result = run(run_cap, "-p", "nginx", "-t", "50", "-o", out, "-f")

    *warnings, error = result.stderr.splitlines()
    assert result.exit_code == 1
    assert [line.split(": ")[0] for line in warnings] == ["warning"] * 3
    assert "the capture is cut off" in warnings[0]
    assert "-t 50 is below the capture's threshold of 100 ms" in warnings[1]
    assert "-p nginx is outside the capture's own filter (nova*)" in warnings[2]
    assert error.startswith(
        "httpreport: no call of nginx is in the capture, which has only calls of at least 100 ms; processes in "
    )


def test_an_empty_capture_is_a_result_unless_something_is_looked_for_in_it(tmp_path: Path, out: Path) -> None:
    empty = written(tmp_path / "run.cap")

    assert run(empty, "-o", out).exit_code == 1
    failed = run(empty, "-o", out, "-f", "-p", "nginx")
    assert (failed.exit_code, failed.stderr) == (1, "httpreport: the capture holds no call\n")
    assert (out / "stacks.folded").read_text() == "earlier"
    assert run(empty, "-o", out, "-f", "-t", "5").exit_code == 0
    assert (out / "stacks.folded").read_text() == ""


def test_of_several_captures_the_slowest_of_all_counts(run_cap: Path, tmp_path: Path, out: Path) -> None:
    """One of them has no call of that name, and the report says so."""
    other = written(tmp_path / "other.cap", ("nova-api", 199.96), host="web-2")
    without = written(tmp_path / "without.cap", ("nginx", 500))
    arguments = (run_cap, other, without, "-p", "nova-api", "-t", "200")

    result = run(*arguments, "-o", out, "-f")

    assert result.exit_code == 0
    said = "No call of nova-api took 200 ms; the slowest took 199 ms"
    assert result.stdout.count(said) == 1 and (out / "stack_traces.txt").read_text().count(f"\n{said}\n") == 1
    (warning,) = (line for line in result.stdout.splitlines() if line.startswith("warning: "))
    assert warning.startswith(f"warning: {without}: no call of nova-api is in the capture; processes in the capture: ")
    document = json.loads(run(*arguments, "--json").stdout)
    assert [one["ledger"]["unreached_ns"] for one in document["reports"]] == [146_250_000, 199_960_000, None]


def test_of_several_captures_one_with_slow_calls_is_enough(run_cap: Path, tmp_path: Path, out: Path) -> None:
    other = written(tmp_path / "other.cap", ("nova-api", 400))

    result = run(run_cap, other, "-p", "nova-api", "-t", "300", "-o", out, "-f")

    assert result.exit_code == 0
    assert "No call" not in result.stdout and "warning" not in result.stdout
    assert (out / "stacks.folded").read_text() == "nova-api;lib nova.so+0x1000 400000\n"


def test_a_filter_that_matches_no_call_of_several_captures_is_a_failure(
    run_cap: Path, tmp_path: Path, out: Path
) -> None:
    other = written(tmp_path / "other.cap", ("swift", 400))

    for output in (("-o", out), ("--json",), ("--csv", out / "written")):
        result = run(run_cap, other, "-p", "nova", *output, "-f")

        assert (result.exit_code, result.stdout) == (1, "")
        first, second, last = result.stderr.splitlines()
        assert first.startswith(f"warning: {other}: no call of nova is in the capture; ") and "swift (1, " in first
        assert second.startswith(f"warning: {run_cap}: no call of nova is in the capture; ")
        assert last == "httpreport: no call of nova is in the captures: no output was written"
        assert {path.read_text() for path in out.iterdir()} == {"earlier"}


def test_a_comparison_with_calls_on_one_side_is_a_result(run_cap: Path, tmp_path: Path, out: Path) -> None:
    """`swift` is new, and `nginx` is slow only on the old side."""
    after = written(tmp_path / "after.cap", ("swift", 400), ("nginx", 30))

    new = run(after, "--baseline", run_cap, "-p", "swift", "-o", out, "-f")
    faster = run(after, "--baseline", run_cap, "-p", "nginx", "-t", "200", "-o", out, "-f")

    assert (new.exit_code, faster.exit_code) == (0, 0)
    assert f"warning: {run_cap}: no call of swift is in the capture; processes in the capture: " in new.stdout
    assert "processes: new swift\n" in new.stdout
    assert "\nafter: No call of nginx took 200 ms; the slowest took 30 ms\n" in faster.stdout
    assert "before: No call" not in faster.stdout and "warning: " not in faster.stdout
    assert (out / "stacks.diff.folded").read_text() == "nginx;lib nova.so+0x1000 250000 0\n"


def test_a_comparison_without_slow_calls_is_a_result(run_cap: Path, out: Path) -> None:
    arguments = (run_cap, "--baseline", run_cap, "-p", "nginx", "-t", "300")

    result = run(*arguments, "-o", out, "-f")
    document = json.loads(run(*arguments, "--json").stdout)

    assert result.exit_code == 0
    assert result.stdout.count(": No call of nginx took 300 ms; the slowest took 250 ms\n") == 2
    assert (out / "stacks.diff.folded").read_text() == ""
    assert {document[side]["captures"][0]["unreached_ns"] for side in ("before", "after")} == {250 * MS}


@pytest.mark.parametrize("output", ["-o", "--json", "--svg", "--html"])
def test_a_comparison_that_matches_no_call_is_a_failure(output: str, run_cap: Path, out: Path) -> None:
    place = {"-o": [out], "--json": []}.get(output, [out / "written"])

    result = run(run_cap, "--baseline", run_cap, "-p", "nova", output, *place, "-f")

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.splitlines()[-1] == "httpreport: no call of nova is in the captures: no output was written"
    assert {path.read_text() for path in out.iterdir()} == {"earlier"}


def test_no_folder_or_file_is_made_for_nothing(run_cap: Path, tmp_path: Path) -> None:
    before = sorted(os.listdir(tmp_path))

    assert run(run_cap, "-p", "nova", "--csv", tmp_path / "new").exit_code == 1
    assert sorted(os.listdir(tmp_path)) == before


@given(st.integers(0, 1 << 62), st.integers(1, 1 << 62))
def test_the_slowest_call_never_reads_as_slow_as_the_threshold(slowest_ns: int, more_ns: int) -> None:
    said = sentence("call", [slowest_ns + more_ns], slowest_ns)

    found = re.fullmatch(r"No call took ([0-9.]+) ms; the slowest took ([0-9.,]+) (s|ms|us|ns)", said)
    assert found
    unit_ns = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}[found[3]]
    shown_ns = Fraction(found[2].replace(",", "")) * unit_ns
    assert shown_ns <= slowest_ns <= shown_ns * Fraction(101, 100)
    assert Fraction(found[1]) * 1_000_000 == slowest_ns + more_ns
