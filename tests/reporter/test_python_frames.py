"""Check where Python frames go among native frames, and what is shown of them."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from httpcapture import Code, Record, Stack, WalkStatus
from httpreport.languages.jit_map import JIT
from httpreport.languages.merge import ProgramFrames, merged, places
from httpreport.languages.python import CPYTHON
from httpreport.languages.python_stack import runs
from httpreport.languages.runs import Run
from httpreport.languages.stack_trace import Frame, FrameKind, FramesProblem, Incomplete, StackTrace, Unnamed
from httpreport.symbols.trace_lines import trace_lines
from httpreport.unwind import Found
from support.recordings import PROCESS_START_NS, STARTED_NS, Row, capture, process
from support.reports import folded_lines, json_text, reported, text_lines

LOOP = CPYTHON.loop
BYTECODE = 0x1000
GENERATOR = 1


def native(*names: str) -> StackTrace:
    """Return a native stack trace; a name in brackets is inlined into the next one."""
    return StackTrace(tuple(Frame(1, "/bin/p", name=name.strip("[]"), inlined="[" in name) for name in names))


def run(*names: str, is_whole: bool = True) -> Run:
    return Run(tuple(Frame(0, name=name, file="a.py", kind=FrameKind.PYTHON) for name in names), None, is_whole)


def shown(trace: StackTrace) -> list[str]:
    marks = {FrameKind.NATIVE: "", FrameKind.PYTHON: "py ", FrameKind.INTERPRETER: "- "}
    return [marks[frame.kind] + (frame.name or "") for frame in trace.frames]


def test_each_run_takes_the_place_of_its_loop_by_count() -> None:
    trace = native("send", LOOP, "call", LOOP, "main")
    found = merged(CPYTHON, trace, [run("get", "key"), run("<module>")], None)
    assert shown(found) == ["send", "py get", "py key", f"- {LOOP}", "- call", "py <module>", f"- {LOOP}", "main"]
    assert found.python_problem is None


def test_each_run_takes_the_place_of_its_loop_whatever_that_is_called() -> None:
    trace = native("send", "python+0x10", "call", "[inlined]", "python+0x20", "main")
    found = merged(CPYTHON, trace, [run("get"), run("<module>")], [1, 3])
    expected = ["send", "py get", "- python+0x10", "- call", "py <module>", "- inlined", "- python+0x20", "main"]
    assert shown(found) == expected


def test_frames_of_the_interpreter_are_hidden_and_counted() -> None:
    found = merged(CPYTHON, native("send", LOOP, "call", LOOP, "main"), [run("get"), run("<module>")], None)
    hidden = found.without_interpreter()
    assert shown(hidden) == ["send", "py get", "py <module>", "main"]
    assert hidden.hidden == 3
    assert list(trace_lines(hidden))[-1] == "[3 frames of the interpreter hidden; --frames all shows what is hidden]"
    assert found.without_interpreter().without_interpreter() == hidden


@pytest.mark.parametrize("names", [("send", LOOP, "main"), ("send", LOOP, LOOP, LOOP)])
def test_counts_that_contradict_each_other_leave_the_native_frames(names: Sequence[str]) -> None:
    trace = native(*names)
    found = merged(CPYTHON, trace, [run("get"), run("<module>")], None)
    assert found == replace(trace, python_problem=FramesProblem.CONTRADICTION)
    assert list(trace_lines(found))[-1] == f"[{FramesProblem.CONTRADICTION.text(FrameKind.PYTHON)}]"


@pytest.mark.parametrize("by_place", [[2, 1], [1, 1], [1, None], [None, 1], [1, 9]])
def test_places_that_contradict_each_other_leave_the_native_frames(by_place: list[Optional[int]]) -> None:
    trace = native("send", "a", "b", "main")
    assert merged(CPYTHON, trace, [run("get"), run("<module>")], by_place).frames == trace.frames


def test_trampolines_of_functions_are_frames_of_the_interpreter() -> None:
    made = Frame(1, JIT, name="py::<module>:a.py")
    trace = native("send", LOOP, "main")
    trace = replace(trace, frames=(*trace.frames[:2], made, trace.frames[2]))
    assert shown(merged(CPYTHON, trace, [run("<module>")], None))[2:] == [f"- {LOOP}", "- py::<module>:a.py", "main"]


def test_fewer_loops_than_runs_contradict_each_other_where_callers_in_between_may_be_missing() -> None:
    trace = replace(native("send", LOOP, "main"), incomplete=Incomplete.CALLERS_SKIPPED)
    found = merged(CPYTHON, trace, [run("get"), run("<module>")], None)
    assert found == replace(trace, python_problem=FramesProblem.CONTRADICTION)


@pytest.mark.parametrize(
    ("module", "found"),
    [("/bin/p", Found.FRAME_POINTER_PAST), (None, Found.FRAME_POINTER), (JIT, Found.FRAME_POINTER)],
)
def test_native_frames_beyond_loops_that_may_be_missing_are_left_out(module: Optional[str], found: Found) -> None:
    callee, caller = Frame(1, module, name="send"), Frame(2, "/bin/p", name="main")
    trace = StackTrace((callee, caller._replace(found=found)), incomplete=Incomplete.STACK_ENDED)
    cut = merged(CPYTHON, trace, [run("get")], None)
    assert (shown(cut), cut.incomplete) == (["send", "py get"], Incomplete.NO_CFI)
    whole = replace(trace, frames=(callee, caller._replace(found=Found.CFI)))
    assert shown(merged(CPYTHON, whole, [run("get")], None)) == ["send", "main", "py get"]


def test_frames_beyond_the_end_of_a_native_stack_trace_go_behind_it() -> None:
    trace = replace(native("send", LOOP), incomplete=Incomplete.STACK_ENDED)
    found = merged(CPYTHON, trace, [run("get"), run("main"), run("<module>")], None)
    assert shown(found) == ["send", "py get", f"- {LOOP}", "py main", "py <module>"]
    assert shown(merged(CPYTHON, trace, [run("get"), run("main")], [1, None])) == [
        "send",
        "py get",
        f"- {LOOP}",
        "py main",
    ]


@pytest.mark.parametrize("by_place", [None, [1, None]])
def test_frames_that_are_cut_off_leave_the_native_ones_beyond(by_place: Optional[list[Optional[int]]]) -> None:
    trace = native("send", LOOP, "call", LOOP, "main", LOOP, "start")
    found = merged(CPYTHON, trace, [run("get"), run("deep", is_whole=False)], by_place)
    assert shown(found) == [
        *("send", "py get", f"- {LOOP}", "- call"),
        *("py deep", f"- {LOOP}", "main", LOOP, "start"),
    ]


names = st.lists(st.sampled_from(["f", "g", LOOP, "[h]"]), max_size=8)


@given(names, st.lists(st.lists(st.sampled_from("abc"), max_size=3), max_size=4), st.booleans(), st.booleans())
def test_no_frame_is_lost_or_moved(
    frames: list[str], python: list[list[str]], is_whole: bool, is_complete: bool
) -> None:
    trace = replace(native(*frames, "main"), incomplete=None if is_complete else Incomplete.STACK_ENDED)
    made = [run(*names, is_whole=is_whole or names is not python[-1]) for names in python]
    found = merged(CPYTHON, trace, made, None)
    kinds = {FrameKind.NATIVE, FrameKind.INTERPRETER}
    assert [frame.name for frame in found.frames if frame.kind in kinds] == [frame.name for frame in trace.frames]
    of_python = [frame.name for frame in found.frames if frame.kind is FrameKind.PYTHON]
    assert of_python == ([] if found.python_problem else [frame.name for one in made for frame in one.frames])


def code(first_traceable: int = 0) -> Code:
    """Return a code object of two instructions, in lines 55 and 56."""
    table = bytes((0x80, 0, 0xD8, 8, 9))
    texts = (b"checkout", 1, b"/srv/app/views.py", 1)
    return Code(12345, PROCESS_START_NS, 0x9000, 5, "", *texts, 55, table, BYTECODE, 4, first_traceable)


def stack(*frames: tuple[int, int, int, int, int], version: int, status: int = WalkStatus.WHOLE) -> Stack:
    """Return a stack with these Python frames: address, code, instruction, cookie and flags."""
    python = b"".join(struct.pack("<5Q", *frame) for frame in frames)
    return Stack(
        *(256, 12345, PROCESS_START_NS, STARTED_NS + 1, struct.pack("<Q", 0x7F0000000008)),
        python=python,
        python_version=version,
        python_status=status,
    )


ONE = (1, 0x9000, BYTECODE + 2, 5, 1)


@pytest.mark.parametrize(
    ("version", "flags", "expected"),
    [
        (0x30A, (0, 0, 0), [(1, True), (1, True), (1, True)]),
        (0x30B, (0, 1, 1), [(2, True), (1, True)]),
        (0x30B, (1, 0, 0), [(1, True), (2, False)]),
        (0x30C, (0, 0, 3), [(2, True)]),
        (0x30E, (0, 4, 0), [(1, True), (1, False)]),
        (0x30F, (0, 0, 3, 3), [(2, True)]),  # the last one is in the thread's state
        (0x30F, (0, 3, 3, 0, 3), [(1, True), (1, True)]),
    ],
)
def test_runs_end_as_each_version_marks_them(
    version: int, flags: tuple[int, ...], expected: list[tuple[int, bool]]
) -> None:
    frames = [(0x7000 + number, 0x9000, BYTECODE + 2, 5, each) for number, each in enumerate(flags)]
    found = list(runs(stack(*frames, version=version), {(0x9000, 5): code()}))
    assert [(len(each.frames), each.is_whole) for each in found] == expected
    is_entry = [version >= 0x30C and each >= 3 for each in flags]
    entries = [0x7000 + number for number in range(len(flags)) if is_entry[number] and not is_entry[number - 1]]
    assert [each.entry for each in found if each.entry is not None] == entries


def test_an_entry_lies_in_the_native_frame_whose_part_of_the_stack_has_it() -> None:
    found = [run("a")._replace(entry=entry) for entry in (1008, 1016, 1050, 990)]
    assert places(replace(stack(version=0x30C), memory_address=1000), found, [0, 16, 40]) == (0, 1, None, None)


@pytest.mark.parametrize(
    ("frame", "codes", "unnamed"),
    [
        ((1, 0x9000, BYTECODE + 2, 6, 1), [code()], Unnamed.CODE_NOT_RECORDED),  # another cookie
        ((1, 0x9000, BYTECODE + 40, 5, 1), [code()], Unnamed.CODE_GONE),  # not in this code object
        ((1, 0x9000, BYTECODE + 2, 5, 1), [replace(code(), problem="freed")], Unnamed.CODE_GONE),
        ((1, 0x9000, BYTECODE + 2, 5, 1), [], Unnamed.CODE_NOT_RECORDED),
    ],
)
def test_a_frame_has_no_name_but_that_of_its_own_code_object(
    frame: tuple[int, int, int, int, int], codes: list[Code], unnamed: Unnamed
) -> None:
    (found,) = runs(stack(frame, version=0x30B), {(each.address, each.cookie): each for each in codes})
    assert [(one.name, one.unnamed) for one in found.frames] == [(None, unnamed)]


def test_frames_that_python_does_not_show_are_none() -> None:
    not_yet, generator = (1, 0x9000, BYTECODE - 2, 5, 1), (1, 0x9000, BYTECODE - 2, 5, 1 | GENERATOR << 8)
    codes = {(0x9000, 5): code(first_traceable=1)}
    assert [len(each.frames) for each in runs(stack(not_yet, generator, version=0x30B), codes)] == [0, 1]


@given(st.binary(max_size=200), st.integers(0, 0xFFFF), st.binary(max_size=20), st.integers(0, 9))
def test_no_recorded_bytes_make_it_raise(python: bytes, version: int, text: bytes, width: int) -> None:
    made = replace(stack(version=version), python=python)
    words = struct.unpack_from("<5Q", python.ljust(40, b"\0"))
    hostile = replace(code(), name=text, name_width=width, filename=text, filename_width=width, table=text)
    list(runs(made, {(words[1], words[3]): hostile}))


def report_lines(*records: Record) -> tuple[list[str], list[str], Any]:
    data = capture([Row(stack=256)], [process(b""), *records])
    report = reported(data, milliseconds=None)
    lines = text_lines(report, "run.cap")
    start = lines.index("Stack trace:") + 1
    return lines[start : start + 3], folded_lines(report), json.loads(json_text(report, "run.cap"))


def test_a_frame_reads_the_same_in_every_output() -> None:
    lines, folded, document = report_lines(code(), stack(ONE, version=0x30B))
    assert lines[1] == "    checkout (/srv/app/views.py:56)"
    assert "checkout (/srv/app/views.py:56);" in folded[0]
    (trace,) = document["stacks"]
    python = trace["frames"][-1]
    wanted = {"name": "checkout", "file": "/srv/app/views.py", "line": 56, "kind": "python", "module": None}
    assert {name: python[name] for name in wanted} == wanted
    assert (trace["hidden"], trace["python_problem"]) == (0, None)


def test_frames_are_missing_if_only_the_native_ones_show_that_the_thread_ran_python() -> None:
    """As in an interpreter that is not the thread's first one, of a process that is known by its executable only."""
    without, native = ProgramFrames(CPYTHON, (), None, None), [Frame(1, name="send"), Frame(2, name="main")]
    trace = StackTrace((*native[:1], Frame(3, name=LOOP), *native[1:]))
    assert without.finish(trace).python_problem is FramesProblem.OTHER_STATE
    assert without.finish(trace).frames == trace.frames
    assert without.finish(StackTrace(tuple(native))).python_problem is None


def test_what_is_wrong_with_python_frames_is_said() -> None:
    for status, problem in (
        (WalkStatus.CUT, FramesProblem.CUT),
        (WalkStatus.OTHER_STATE, FramesProblem.OTHER_STATE),
        (WalkStatus.FAULT, FramesProblem.FAULT),
        (99, FramesProblem.UNKNOWN),
    ):
        lines, _, document = report_lines(stack(version=0x30B, status=status))
        assert f"    [{problem.text(FrameKind.PYTHON)}]" in lines
        assert document["stacks"][0]["python_problem"] == problem.name.lower()
