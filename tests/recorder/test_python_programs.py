"""Record Python programs on this machine, and compare their frames with what the interpreter itself says of them.

Every CPython from 3.8 on that is on PATH, in pyenv's folder, or named in PYTHONS is taken (paths, separated by colons).
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import zstandard

from httpcapture import Calls, Code, Reader
from httpreport.calls.filters import Selection
from httpreport.capture.loader import load
from httpreport.languages.stack_trace import FrameKind, PythonProblem, StackTrace
from httpreport.report.report import Report, make_report
from httpreport.symbols.binary import FindBinary
from httpreport.symbols.binary_lookup import Binaries
from support.recorders import needs_a_recorder
from support.redactions import redacted, traces
from support.reports import reported
from workload.recorder import recording

SITUATIONS = Path(__file__).parents[1] / "workload" / "python_situations.py"
REPLACED = 1000
ROOM = ("--stack-ring", "65536")  # KiB: the program sends faster than a busy machine takes stacks


def interpreters() -> dict[str, str]:
    """Return the executables of the interpreters on this machine by their versions."""
    named = os.environ.get("PYTHONS", "").split(":")
    on_path = (shutil.which(f"python3.{minor}") for minor in range(8, 15))
    of_pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")).glob("versions/3.*/bin/python3")
    found: dict[str, str] = {}
    for candidate in filter(None, [*named, "/usr/bin/python3", *on_path, *map(str, of_pyenv)]):
        code = "import sys; print(*sys.version_info[:3], sys.implementation.name, sys.executable)"
        told = subprocess.run([candidate, "-c", code], capture_output=True, text=True, check=False).stdout.split()
        if len(told) == 5 and told[3] == "cpython" and (3, 8) <= (int(told[0]), int(told[1])) <= (3, 14):
            found.setdefault(f"{'.'.join(told[:3])} {os.path.realpath(told[4])}", told[4])
    return found


INTERPRETERS = interpreters()


class Recorded(NamedTuple):
    notes: list[dict[str, Any]]
    report: Report
    stacks: dict[bytes, int]  # by first bytes of the request
    capture: Path
    find_binary: FindBinary

    def traces(self) -> Iterator[tuple[str, list[list[Any]], StackTrace]]:
        """Yield the situation, the noted frames and the stack trace of each call. Those that were lost are counted."""
        lost = 0
        for note in self.notes:
            stack = self.stacks.get(note["request"].encode())
            if stack is None:
                lost += 1
            else:
                yield note["situation"], note["frames"], self.report.traces[self.report.trace_of_stack[0, stack]]
        assert lost <= sum(self.report.recording.lost.values())


@contextmanager
def echo() -> Iterator[int]:
    """Yield the port of a server that sends back each byte."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve(connection: socket.socket) -> None:
            with connection:
                while data := connection.recv(64):
                    connection.sendall(data)

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


def record(python: str, folder: Path, *options: str, replaced: int = 0, all_frames: bool = False) -> Recorded:
    """Record the situations in an interpreter, and report them as on a machine that has no binaries."""
    capture, notes = folder / "run.cap", folder / "notes"
    with echo() as port:
        command = [python, str(SITUATIONS), str(notes), str(port), str(replaced)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as program:
            assert program.stdin and program.stdout
            name = os.path.basename(python)[:15]
            languages = () if "--languages" in options else ("--languages", "all")
            with recording(capture, "-t", "0", "-q", "-p", name, "--probes", "tracepoint", *languages, *ROOM, *options):
                program.stdin.write(b"begin\n")
                program.stdin.flush()
                assert program.stdout.readline() == b"noted\n"
            program.stdin.close()
        assert program.returncode == 0
    with capture.open("rb") as file:
        stacks = dict(pair for calls in Reader(file) if isinstance(calls, Calls) for pair in stacks_by_request(calls))
        file.seek(0)
        reader = Reader(file)
        selection = Selection.of(reader.meta, 0, ())
        recording_ = load(reader, selection)
        (folder / "nothing").mkdir()
        find_binary = Binaries(root=str(folder / "nothing")).find
        report = make_report(recording_, selection, find_binary, all_frames=all_frames)
    return Recorded(list(map(json.loads, notes.read_text().splitlines())), report, stacks, capture, find_binary)


def stacks_by_request(calls: Calls) -> Iterator[tuple[bytes, int]]:
    heads, stacks = bytes(calls.columns["request_head"]), calls.columns["stack"].cast("Q")
    size = len(heads) // calls.rows
    return ((heads[size * row : size * row + 8], stacks[row]) for row in range(calls.rows))


@pytest.fixture(scope="module")
def recorder() -> None:
    needs_a_recorder()


def python_frames(trace: StackTrace) -> list[list[Any]]:
    return [[frame.name, frame.file, frame.line] for frame in trace.frames if frame.kind is FrameKind.PYTHON]


@pytest.mark.usefixtures("recorder")
@pytest.mark.parametrize("python", INTERPRETERS.values(), ids=INTERPRETERS)
def test_every_frame_is_the_one_that_the_interpreter_names(python: str, tmp_path: Path) -> None:
    recorded = record(python, tmp_path)
    assert len(recorded.notes) > 30
    for situation, frames, trace in recorded.traces():
        assert trace.python_problem is None, situation
        assert python_frames(trace) == frames, situation


@pytest.mark.usefixtures("recorder")
@pytest.mark.parametrize("python", INTERPRETERS.values(), ids=INTERPRETERS)
def test_code_that_is_replaced_in_place_has_its_own_name_or_none(python: str, tmp_path: Path) -> None:
    recorded = record(python, tmp_path, replaced=REPLACED)
    replaced = [(frames, trace) for situation, frames, trace in recorded.traces() if situation == "exec, replaced"]
    assert len(replaced) > REPLACED / 2
    for frames, trace in replaced:
        (function, *callers), (found, *found_callers) = frames, python_frames(trace)
        assert found in (function, [None, None, None])
        assert found_callers == callers


@pytest.mark.usefixtures("recorder")
@pytest.mark.parametrize("python", INTERPRETERS.values(), ids=INTERPRETERS)
def test_a_redacted_capture_gives_the_same_stack_traces_without_folders(python: str, tmp_path: Path) -> None:
    recorded = record(python, tmp_path)
    redacted_data = redacted(recorded.capture.read_bytes(), recorded.find_binary)
    assert str(SITUATIONS.parent).encode() not in decompressed(redacted_data)
    report = reported(redacted_data, find_binary=recorded.find_binary)
    assert traces(report) == traces(recorded.report)


def decompressed(capture: bytes) -> bytes:
    """Return the chunks of a capture; texts of several bytes a character without the zeros."""
    with zstandard.ZstdDecompressor().stream_reader(capture, read_across_frames=True) as chunks:
        return chunks.read().replace(b"\0", b"")


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
        assert python_frames(trace) == frames or trace.python_problem is PythonProblem.CONTRADICTION
