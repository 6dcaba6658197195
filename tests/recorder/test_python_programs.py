"""Record Python programs on this machine, and compare their frames with what the interpreter itself says of them.

Every CPython from 3.8 on that is on PATH, in pyenv's folder, or named in PYTHONS is taken (paths, separated by colons).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from httpcapture import Code, Reader
from httpreport.languages.stack_trace import FrameKind, FramesProblem
from support.capture_bytes import decompressed
from support.python_frames import (
    SIDES,
    Recorded,
    assert_frames_are_those_noted,
    assert_replaced_code_has_its_own_name_or_none,
    python_frames,
    read,
)
from support.recorders import needs_a_recorder
from support.redactions import redacted, traces
from support.reports import reported
from workload import python_driver

REPLACED = 1000


def interpreters() -> dict[str, str]:
    """Return the executables of the interpreters on this machine by their versions."""
    named = os.environ.get("PYTHONS", "").split(":")
    on_path = (shutil.which(f"python3.{minor}") for minor in range(8, 16))
    of_pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")).glob("versions/3.*/bin/python3")
    found: dict[str, str] = {}
    for candidate in filter(None, [*named, "/usr/bin/python3", *on_path, *map(str, of_pyenv)]):
        code = "import sys; print(*sys.version_info[:3], sys.implementation.name, sys.executable)"
        told = subprocess.run([candidate, "-c", code], capture_output=True, text=True, check=False).stdout.split()
        if len(told) == 5 and told[3] == "cpython" and (3, 8) <= (int(told[0]), int(told[1])) <= (3, 15):
            found.setdefault(f"{'.'.join(told[:3])} {os.path.realpath(told[4])}", told[4])
    return found


INTERPRETERS = interpreters()


def record(python: str, folder: Path, *options: str, replaced: int = 0) -> Recorded:
    """Record the situations in an interpreter."""
    capture = folder / "run.cap"
    python_driver.record(python, folder, {capture: ["--probes", "tracepoint", *options]}, replaced)
    return read(capture)


@pytest.fixture(scope="module")
def recorder() -> None:
    needs_a_recorder()


@pytest.fixture(scope="module", params=list(INTERPRETERS.values()), ids=list(INTERPRETERS))
def recorded(request: pytest.FixtureRequest, recorder: None, tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    """Return the recording of all situations in an interpreter."""
    return record(request.param, tmp_path_factory.mktemp("recorded"), replaced=REPLACED)


def test_every_frame_is_the_one_that_the_interpreter_names(recorded: Recorded) -> None:
    assert len(recorded.notes["client"]) > 30 + REPLACED
    for side in SIDES:
        assert_frames_are_those_noted(recorded, side)


def test_code_that_is_replaced_in_place_has_its_own_name_or_none(recorded: Recorded) -> None:
    assert_replaced_code_has_its_own_name_or_none(recorded, REPLACED // 2)


def test_a_redacted_capture_gives_the_same_stack_traces_without_folders(recorded: Recorded) -> None:
    redacted_data = redacted(recorded.capture.read_bytes(), recorded.find_binary)
    assert str(python_driver.HERE).encode() not in decompressed(redacted_data)
    report = reported(redacted_data, find_binary=recorded.find_binary)
    assert traces(report) == traces(recorded.report)


@pytest.mark.usefixtures("recorder")
def test_without_languages_nothing_of_python_is_recorded(tmp_path: Path) -> None:
    recorded = record(next(iter(INTERPRETERS.values())), tmp_path, "--languages", "none")
    with recorded.capture.open("rb") as file:
        assert not [record for record in Reader(file) if isinstance(record, Code)]
    assert {frame.kind for trace in recorded.report.traces for frame in trace.frames} == {FrameKind.NATIVE}
    assert {trace.python_problem for trace in recorded.report.traces} == {None}


@pytest.mark.usefixtures("recorder")
def test_frames_by_frame_pointer_get_those_of_python_too(tmp_path: Path) -> None:
    recorded = record(next(iter(INTERPRETERS.values())), tmp_path, "--stack", "fp")
    for _, frames, trace in recorded.traces():
        assert python_frames(trace) == frames or trace.python_problem is FramesProblem.CONTRADICTION


@pytest.mark.usefixtures("recorder")
def test_a_kernel_that_does_not_take_the_walk_is_recorded_without_it(tmp_path: Path) -> None:
    capture = tmp_path / "run.cap"
    program = "\n".join(
        (
            "from httprec import bpf_tails, main",
            "def refuse(*_, **how): raise OSError(7, 'processed 1000001 insns')",
            "bpf_tails.load_tail = refuse",
            "main.main()",
        )
    )
    options = ("-o", str(capture), "-d", "0", "-q", "--probes", "tracepoint", "--languages", "all")
    done = subprocess.run([sys.executable, "-c", program, *options], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    (said,) = (line for line in done.stderr.splitlines() if "Python" in line)
    assert said.startswith("httprec: no frames of Python and PHP are recorded, all else is: ")
    assert said.endswith("processed 1000001 insns")
    with capture.open("rb") as file:
        assert said.endswith(f": {Reader(file).meta.python_problem}")
