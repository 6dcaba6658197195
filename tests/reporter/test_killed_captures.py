"""Check that a capture whose reading kills the process is named, and that the report covers the others."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from httpreport.cli import parallel
from httpreport.common.errors import OUT_OF_MEMORY
from httpreport.outputs.output import SpoolSink
from httpreport.report.aggregate import Aggregate, Request, aggregate
from support.command_line import run
from support.recordings import MS, TEXT, Row, capture, process, stack
from workload.waiting import HANG_S, wait_until

COUNT = 4
TEXT_FILE = "stack_traces.txt"
EXPORTS = ("csv", "svg", "speedscope", "pprof", "firefox")
DEATH = (
    "the process that read it was killed twice (SIGKILL), maybe for lack of memory: "
    "report it alone, with a higher -t or a narrower -p"
)


def killing(path: str, request: Request, sinks: Sequence[SpoolSink]) -> Aggregate:
    """Aggregate a capture; if it has a file `.kills` beside it, be killed at the very end, after everything was
    written."""
    made = aggregate(path, request, sinks)
    if Path(path).with_suffix(".kills").exists():
        for sink in sinks:
            with open(sink.path, "ab") as end:
                end.write(b"\0 cut off in the mid")
        os.kill(os.getpid(), signal.SIGKILL)
    return made


def killing_once(path: str, request: Request, sinks: Sequence[SpoolSink]) -> Aggregate:
    kills = Path(path).with_suffix(".kills")
    if kills.exists():
        kills.rename(kills.with_suffix(".killed"))
        os.kill(os.getpid(), signal.SIGKILL)
    return aggregate(path, request, sinks)


def crashing(path: str, request: Request, sinks: Sequence[SpoolSink]) -> Aggregate:
    if Path(path).with_suffix(".kills").exists():
        os._exit(7)
    return aggregate(path, request, sinks)


def lacking_memory(path: str, request: Request, sinks: Sequence[SpoolSink]) -> Aggregate:
    """Raise MemoryError in the middle of writing, for a capture with a file `.kills` beside it."""
    if Path(path).with_suffix(".kills").exists():
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("httpreport.report.aggregate.aggregate_of", _lack)
            return aggregate(path, request, sinks)
    return aggregate(path, request, sinks)


def _lack(*_: object, **__: object) -> None:
    raise MemoryError


@pytest.fixture
def fleet(tmp_path: Path) -> Path:
    folder = tmp_path / "fleet"
    folder.mkdir()
    for place in range(COUNT):
        rows = [Row(duration_ns=(100 + place * 10 + n) * MS, sequence=n) for n in range(3)]
        data = capture(rows, [process(), stack(TEXT + place)], host=f"web-{place % 2}")
        (folder / f"{place}.cap").write_bytes(data)
    return folder


@pytest.fixture(autouse=True)
def no_process_is_left() -> Iterator[None]:
    yield
    assert multiprocessing.active_children() == []


def written(out: Path, jobs: int, *captures: Path) -> dict[str, bytes]:
    """Return every file of a report, and the summary with all facts."""
    out.mkdir()
    exports = [part for name in EXPORTS for part in (f"--{name}", out / name)]
    result = run(*captures, "-v", "-o", out, *exports, "--html", out / "html", "--jobs", str(jobs))
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in out.iterdir()) == sorted([*EXPORTS, "html", TEXT_FILE, "stacks.folded"])
    return {**{path.name: path.read_bytes() for path in out.iterdir()}, "summary": result.stdout.encode()}


def without(data: bytes, *, warnings_of: list[Path], out: Path) -> bytes:
    """Return a text without these warnings and without the name of the folder."""
    for path in warnings_of:
        for head in ("Warning: ", "warning: "):
            data = data.replace(f"{head}left out: {path}: {DEATH}\n".encode(), b"")
    return data.replace(bytes(out), b"")


@pytest.mark.parametrize("killers", [[0], [COUNT - 1], [1, 3]], ids=["first", "last", "two"])
@pytest.mark.parametrize("jobs", [1, 2])
def test_the_report_is_that_of_the_others(
    fleet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killers: list[int], jobs: int
) -> None:
    captures = [fleet / f"{place}.cap" for place in range(COUNT)]
    killed = [captures[place] for place in killers]
    others = [path for path in captures if path not in killed]
    expected = written(tmp_path / "expected", 1, *others)
    for path in killed:
        path.with_suffix(".kills").touch()
    monkeypatch.setattr(parallel, "aggregate", killing)

    made = written(tmp_path / "made", jobs, *captures)

    page = made.pop("html")
    assert expected.pop("html").count(b"left out") + len(killed) == page.count(b"left out")
    for name, data in made.items():
        there = without(data, warnings_of=killed, out=tmp_path / "made")
        assert there == without(expected[name], warnings_of=[], out=tmp_path / "expected"), name
    assert made["summary"].count(b"left out") == made[TEXT_FILE].count(b"left out") == len(killed)


def test_strict_fails_and_json_names_the_killed_capture(
    fleet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (fleet / "1.kills").touch()
    monkeypatch.setattr(parallel, "aggregate", killing)

    result = run(fleet, "--json", "--strict", "--jobs", "2")

    document = json.loads(result.stdout)
    assert document["unreadable"] == [{"file": f"{fleet}/1.cap", "reason": f"{fleet}/1.cap: {DEATH}"}]
    files = [report["capture"]["file"] for report in document["reports"]]
    assert files == [f"{fleet}/{place}.cap" for place in (0, 2, 3)]
    assert (result.exit_code, result.stderr) == (3, f"warning: left out: {fleet}/1.cap: {DEATH}\n")


@pytest.mark.parametrize("jobs", [1, 2])
def test_no_report_is_made_if_all_workers_are_killed(
    fleet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jobs: int
) -> None:
    for place in range(COUNT):
        (fleet / f"{place}.kills").touch()
    monkeypatch.setattr(parallel, "aggregate", killing)

    result = run(fleet, "-o", tmp_path / "out", "--jobs", str(jobs))

    reasons = "; ".join(f"{fleet}/{place}.cap: {DEATH}" for place in range(COUNT))
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", f"httpreport: {reasons}\n")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_capture_that_can_be_read_alone_is_not_left_out(
    fleet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jobs: int
) -> None:
    """As if memory sufficed for one capture at a time only."""
    expected = written(tmp_path / "expected", 1, fleet)
    for place in (0, 2):
        (fleet / f"{place}.kills").touch()
    monkeypatch.setattr(parallel, "aggregate", killing_once)

    made = written(tmp_path / "made", jobs, fleet)

    assert len(list(fleet.glob("*.killed"))) == 2
    for name, data in made.items():
        assert data.replace(bytes(tmp_path / "made"), b"") == expected[name].replace(bytes(tmp_path / "expected"), b"")


def test_the_status_of_a_process_that_ends_by_itself_is_reported(fleet: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (fleet / "2.kills").touch()
    monkeypatch.setattr(parallel, "aggregate", crashing)

    result = run(fleet, "--csv", fleet / "csv")

    why = "the process that read it ended twice (status 7): check the capture with --verify"
    assert f"warning: left out: {fleet}/2.cap: {why}\n" in result.stdout


def test_a_capture_that_exhausts_the_memory_leaves_nothing_half_written(
    fleet: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (fleet / "2.kills").touch()
    monkeypatch.setattr(parallel, "aggregate", lacking_memory)

    result = run(fleet, "--csv", fleet / "csv", "--jobs", "2")

    why = OUT_OF_MEMORY
    assert f"warning: left out: {fleet}/2.cap: {why}\n" in result.stdout
    assert (fleet / "csv").read_text().count("\n") == 1 + 3 * (COUNT - 1)
    assert "2.cap" not in (fleet / "csv").read_text()


@pytest.mark.parametrize("side", ["before", "after"])
def test_a_comparison_is_of_the_others(fleet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, side: str) -> None:
    (fleet / "2.kills").touch()
    whole = tmp_path / "whole"
    whole.mkdir()
    (whole / "run.cap").write_bytes((fleet / "0.cap").read_bytes())
    before, after = (fleet, whole) if side == "before" else (whole, fleet)
    monkeypatch.setattr(parallel, "aggregate", killing)

    result = run(after, "--baseline", before, "-o", tmp_path / "out")

    assert result.exit_code == 0, result.output
    assert f"warning: left out: {fleet}/2.cap: {DEATH}\n" in result.stdout
    assert f"{side}: {COUNT - 1} captures: 9 calls of 100 ms or more, 0 lost, " in result.stdout
    assert run(after, "--baseline", before, "-o", tmp_path / "out", "-f", "--strict").exit_code == 3


def slow(path: str, request: Request, sinks: Sequence[SpoolSink]) -> Aggregate:
    """Aggregate all captures; for the first, write everything but never return."""
    made = aggregate(path, request, sinks)
    if path.endswith("/0.cap"):
        with subprocess.Popen(["sleep", "100"]) as child:
            try:
                Path(path).with_suffix(".began").touch()
                time.sleep(100)
            finally:
                child.kill()
    return made


@pytest.mark.parametrize("send", [os.kill, os.killpg], ids=["to the command", "to all processes, as a terminal does"])
@pytest.mark.parametrize("jobs", [1, 2])
def test_an_interrupt_leaves_no_process_and_no_file(
    fleet: Path, tmp_path: Path, send: Callable[[int, int], None], jobs: int
) -> None:
    out = tmp_path / "out"
    program = (
        f"import sys; sys.path[:0] = {sys.path!r}\n"
        "from httpreport.cli import parallel\n"
        "from httpreport.cli.main import main\n"
        "from test_killed_captures import slow\n"
        "parallel.aggregate = slow\n"
        "main()\n"
    )
    arguments = [str(fleet), "-o", str(out), "--csv", str(out / "csv"), "--jobs", str(jobs)]
    command = subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    wait_until("the first task", (fleet / "0.began").exists)
    assert next(out.glob(".httpreport.*/*"), None) is not None

    send(command.pid, signal.SIGINT)
    stdout, stderr = command.communicate(timeout=HANG_S)

    assert (command.returncode, stdout, stderr.strip()) == (1, "", "Aborted!")
    assert list(out.iterdir()) == []
    wait_until("the end of all processes", lambda: not group_exists(command.pid))


def group_exists(group: int) -> bool:
    with suppress(ProcessLookupError):
        os.killpg(group, 0)
        return True
    return False
