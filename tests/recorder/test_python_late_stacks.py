"""Check stacks of Python programs that are taken late in a call: frames of another moment must not join them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import NamedTuple

import pytest

from httpcapture import Calls, Reader, Role
from httpreport.calls.filters import Selection
from httpreport.capture.loader import load
from httpreport.languages.stack_trace import FrameKind, FramesProblem, StackTrace
from httpreport.report.report import make_report
from httpreport.symbols.binary_lookup import Binaries
from support.head_records import heads_of
from support.recorders import needs_a_recorder
from workload.recorder import recording

PROGRAM = Path(__file__).parents[1] / "workload" / "python_late.py"


class Call(NamedTuple):
    path: bytes
    role: int
    is_late: bool
    trace: StackTrace

    @property
    def functions(self) -> list[str | None]:
        return [frame.name for frame in self.trace.frames if frame.kind is FrameKind.PYTHON]


def traced(capture: Path) -> list[Call]:
    """Return the calls of a capture with their stack traces."""
    with capture.open("rb") as file:
        rows = [row for calls in Reader(file) if isinstance(calls, Calls) for row in rows_of(calls)]
        file.seek(0)
        reader = Reader(file)
        selection = Selection.of(reader.meta, 0, ())
        loaded = load(reader, selection)
        report = make_report(loaded, selection, Binaries().find)
    traces, trace_of = report.traces, report.trace_of_stack
    return [
        Call(heads_of(loaded.heads, *key)[0].split()[1], role, late, traces[trace_of[0, stack]])
        for key, role, late, stack in rows
    ]


def rows_of(calls: Calls) -> Iterator[tuple[tuple[int, int], int, bool, int]]:
    connections, sequences = calls.columns["connection"].cast("Q"), calls.columns["sequence"].cast("I")
    stacks = calls.columns["stack"].cast("Q")
    roles, late = bytes(calls.columns["role"]), bytes(calls.columns["stack_is_late"])
    for row in range(calls.rows):
        yield (connections[row], sequences[row]), roles[row], bool(late[row]), stacks[row]


@pytest.mark.parametrize("stack", ["dwarf", "fp"])
def test_a_stack_has_the_python_frames_of_its_own_moment_or_none(stack: str, tmp_path: Path) -> None:
    needs_a_recorder()
    capture = tmp_path / "run.cap"
    command = [sys.executable, str(PROGRAM)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as program:
        assert program.stdin and program.stdout
        options = ("-t", "100", "-q", "-p", Path(sys.executable).name[:15], "--stack", stack)
        with recording(capture, *options, "--probes", "tracepoint"):
            program.stdin.write(b"call\n")
            program.stdin.flush()
            assert program.stdout.readline() == b"called\n"
        program.stdin.write(b"end\n")
    calls = [call for call in traced(capture) if call.path in {b"/rest", b"/large"}]
    assert {(call.path, call.role) for call in calls} == set(product((b"/rest", b"/large"), (Role.CLIENT, Role.SERVER)))
    for call in calls:
        if (call.path, call.role) == (b"/rest", Role.SERVER):  # becomes slow where it sends the rest
            assert call.functions[:2] == ["send_rest", "serve"]
            assert call.trace.python_problem is None
        else:
            assert call.is_late
            assert not call.functions
            assert call.trace.python_problem is FramesProblem.NOT_WALKED
