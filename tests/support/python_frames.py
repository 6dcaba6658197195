"""Compare the Python frames of a capture with what the interpreter noted (workload/python_driver.py)."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from httpcapture import Calls, Reader, Role
from httpreport.calls.filters import Selection
from httpreport.capture.loader import load
from httpreport.languages.stack_trace import FrameKind, FramesProblem, StackTrace
from httpreport.report.frame_choice import FOLDED, FrameChoice, Frames
from httpreport.report.report import Report, make_report
from httpreport.symbols.binary import FindBinary
from httpreport.symbols.binary_lookup import Binaries

SIDES = {"client": Role.CLIENT, "server": Role.SERVER}
REQUEST_SIZE = 8
REPLACED = "exec, replaced"  # the situation in which code takes the place of other code


class Recorded(NamedTuple):
    """Hold the notes of both sides and the report of their capture."""

    notes: dict[str, list[dict[str, Any]]]
    report: Report
    stacks: dict[tuple[int, bytes], int]  # by role, and first bytes of the request
    capture: Path
    find_binary: FindBinary

    def traces(self, side: str = "client") -> Iterator[tuple[str, list[list[Any]], StackTrace]]:
        """Yield the situation, the noted frames and the stack trace of each call of one side. Those that were lost are
        counted."""
        lost = 0
        for note in self.notes[side]:
            trace = self.trace(side, note["request"])
            if trace is None:
                lost += 1
            else:
                yield note["situation"], note["frames"], trace
        assert lost <= sum(self.report.recording.lost.values())

    def trace(self, side: str, request: str) -> StackTrace | None:
        """Return the stack trace of a call by the first bytes of its request, None if it or its stack was lost."""
        stack = self.stacks.get((SIDES[side], request.encode()))
        return None if not stack else self.report.traces[self.report.trace_of_stack[0, stack]]


def read(capture: Path, *, all_frames: bool = False) -> Recorded:
    """Report a capture, with the notes beside it, as on a machine that has no binaries. With `all_frames`, frames of
    the interpreter are not hidden."""
    nothing = capture.parent / "nothing"
    nothing.mkdir(exist_ok=True)
    find_binary = Binaries(root=str(nothing)).find
    with capture.open("rb") as file:
        stacks = dict(pair for calls in Reader(file) if isinstance(calls, Calls) for pair in stacks_by_request(calls))
        file.seek(0)
        reader = Reader(file)
        selection = Selection.of(reader.meta, 0, ())
        choice = FrameChoice(Frames.ALL) if all_frames else FOLDED
        report = make_report(load(reader, selection), selection, find_binary, choice)
    notes = {side: [json.loads(line) for line in (capture.parent / side).read_text().splitlines()] for side in SIDES}
    return Recorded(notes, report, stacks, capture, find_binary)


def stacks_by_request(calls: Calls) -> Iterator[tuple[tuple[int, bytes], int]]:
    roles, heads = bytes(calls.columns["role"]), bytes(calls.columns["request_head"])
    stacks = calls.columns["stack"].cast("Q")
    size = len(heads) // calls.rows
    return (((roles[row], heads[size * row :][:REQUEST_SIZE]), stacks[row]) for row in range(calls.rows))


def python_frames(trace: StackTrace) -> list[list[Any]]:
    """Return [function, file, line] of each Python frame, as they are noted."""
    return [[frame.name, frame.file, frame.line] for frame in trace.frames if frame.kind is FrameKind.PYTHON]


def assert_frames_are_those_noted(recorded: Recorded, side: str, but: Collection[str] = ()) -> None:
    """Raise AssertionError unless every stack trace has all frames that the interpreter named, and no other, but for
    code that is replaced in place. Where the outermost function is one of `but`, there may be none, because they
    contradict the native frames."""
    for situation, frames, trace in recorded.traces(side):
        if situation == REPLACED:
            continue
        root = frames[-1][0].rpartition(".")[2]
        if not (root in but and trace.python_problem is FramesProblem.CONTRADICTION):
            assert trace.python_problem is None, situation
            assert python_frames(trace) == frames, situation


def assert_replaced_code_has_its_own_name_or_none(recorded: Recorded, least: int) -> None:
    """Raise AssertionError if code that was replaced in place, of which there are at least `least` calls, is shown
    under the name of another."""
    replaced = [(frames, trace) for situation, frames, trace in recorded.traces() if situation == REPLACED]
    assert len(replaced) > least
    for frames, trace in replaced:
        (function, *callers), (found, *found_callers) = frames, python_frames(trace)
        assert found in (function, [None, None, None])
        assert found_callers == callers
