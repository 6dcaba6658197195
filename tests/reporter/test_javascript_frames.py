"""Check where JavaScript frames go among native frames, and which lines they have.

data/javascript_lines.jsonl has functions of programs of Node 18 to 24 as httprec has recorded them, with an offset in
the bytecode and the line that V8 itself gave for it (CallSite.getLineNumber).
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from httpcapture import Code, Stack
from httpreport.languages.javascript import FRAME, JavaScriptFrames, Placed, places
from httpreport.languages.javascript_lines import line_of
from httpreport.languages.stack_trace import Frame, FrameKind, StackTrace, Unnamed
from httpreport.symbols.trace_lines import trace_lines
from support.recordings import PROCESS_START_NS, STARTED_NS, Row, capture, process
from support.reports import reported

DATA = Path(__file__).parent / "data" / "javascript_lines.jsonl"
INTERPRETER = "Builtins_InterpreterEntryTrampoline"


def code(**fields: Any) -> Code:
    return Code(4242, PROCESS_START_NS, 0x1000, 7, "", **fields)


@pytest.mark.parametrize("told", list(map(json.loads, DATA.read_text().splitlines())), ids=lambda told: told["name"])
def test_the_line_of_an_instruction_is_that_of_v8(told: dict[str, Any]) -> None:
    table, ends = base64.b64decode(told["table"]), base64.b64decode(told["line_ends"])
    function = code(first_line=told["first_line"], position=told["position"], table=table, line_ends=ends)
    assert line_of(function, told["offset"]) == told["line"]


@given(st.binary(max_size=64), st.binary(max_size=64), st.integers(0, (1 << 32) - 1), st.integers(0, (1 << 64) - 1))
def test_any_bytes_give_a_line_or_none(table: bytes, ends: bytes, first: int, offset: int) -> None:
    line = line_of(code(first_line=first, position=first, table=table, line_ends=ends), offset)
    assert line is None or 0 < line < 1 << 31


def stack(*frames: tuple[int, int, int, int], **fields: Any) -> Stack:
    made = Stack(1, 4242, PROCESS_START_NS, STARTED_NS, bytes(8), memory_address=0x7000, v8_version=0xB03)
    return replace(made, v8=b"".join(FRAME.pack(*frame) for frame in frames), **fields)


def test_a_frame_ends_above_its_frame_pointer() -> None:
    depths = (0, 0x40, 0x80, 0xC0)
    frames = [(0x7000 + depth, 0, 0, 0) for depth in (0x30, 0x38, 0x70, 0xB0, 0xF0, 0)]
    assert list(places(stack(*frames), depths)) == [0, None, 1, 2, None, None]


def test_a_redacted_stack_has_the_numbers_of_native_frames() -> None:
    assert list(places(stack((3, 0, 0, 0), (0, 0, 0, 0), end="whole"), ())) == [2, None]


def shown(trace: StackTrace) -> list[str]:
    marks = {FrameKind.NATIVE: "", FrameKind.JAVASCRIPT: "js ", FrameKind.INTERPRETER: "- "}
    return [marks[frame.kind] + (frame.name or frame.label) for frame in trace.frames]


def native(*names: str) -> StackTrace:
    """Return a native stack trace; a name in brackets is inlined, and "jit" is code without a name and a file."""
    return StackTrace(
        tuple(
            Frame(1, unnamed=Unnamed.ANONYMOUS)
            if name == "jit"
            else Frame(1, "/bin/node", 1, name=name.strip("[]"), inlined="[" in name)
            for name in names
        )
    )


def finished(trace: StackTrace, found: Sequence[tuple[int, Frame, int | None]]) -> StackTrace:
    return JavaScriptFrames(tuple(Placed(*each) for each in found)).finish(trace)


def function(name: str) -> Frame:
    return Frame(0, name=name, file="a.js", first_line=5, kind=FrameKind.JAVASCRIPT)


UNPROVEN = Frame(0, unnamed=Unnamed.FUNCTION_MOVED, kind=FrameKind.JAVASCRIPT)


def test_each_function_is_shown_before_the_frame_that_runs_it() -> None:
    trace = native("write", "[inlined]", "Builtins_Call", INTERPRETER, "node::Call", INTERPRETER, "main")
    found = finished(trace, [(2, function("send"), 7), (4, function("all"), 8)])
    expected = ["write", "inlined", "- Builtins_Call", "js send", f"- {INTERPRETER}", "- node::Call", "js all"]
    assert shown(found) == [*expected, f"- {INTERPRETER}", "main"]
    assert [frame.label for frame in found.without_interpreter().frames][2:4] == ["send (a.js:7)", "all (a.js:8)"]


def test_compiled_code_has_no_line_but_that_where_its_function_begins() -> None:
    found = finished(native("write", "jit", "main"), [(1, function("hot"), 7)])
    assert [frame.label for frame in found.without_interpreter().frames] == ["write", "hot (a.js, from line 5)", "main"]


@pytest.mark.parametrize("name", [INTERPRETER, "jit"])
def test_a_function_that_nothing_proves_has_no_name_but_the_reason(name: str) -> None:
    found = finished(native("write", name, "main"), [(1, UNPROVEN, None)]).without_interpreter()
    assert shown(found) == ["write", f"js [{Unnamed.FUNCTION_MOVED.value}]", "main"]
    assert f"    JavaScript function [{Unnamed.FUNCTION_MOVED.value}]" in ["    " + line for line in trace_lines(found)]


@pytest.mark.parametrize("name", ["Builtins_ArrayMap", "node::Start"])
def test_what_has_a_name_of_its_own_is_no_unproven_function(name: str) -> None:
    trace = native("write", name, "main")
    assert finished(trace, [(1, UNPROVEN, None)]) == trace


def test_a_name_in_a_jit_map_stays_where_nothing_proves_another_one() -> None:
    trace = StackTrace((Frame(1, "/bin/node", 1, name="write"), Frame(1, "[JIT]", name="JS:*hot /a.js:1:2")))
    assert finished(trace, [(1, UNPROVEN, None)]) == trace


def test_a_stack_without_functions_stays_as_it_is() -> None:
    trace = native("Builtins_Call", "main")
    assert finished(trace, []) == trace


def test_a_file_is_shown_by_its_path() -> None:
    url = code(name=b"f", filename=b"file:///srv/app/sch%C3%B6n.mjs", first_line=3)
    stacked = stack((2, 0x1000, 0, 7), end="whole", frames=struct.pack("<2Q", 0x401000, 0x402000), found=bytes(2))
    report = reported(capture([Row(stack=1)], [process(), url, replace(stacked, maps=1)]))
    (trace,) = report.traces
    assert [frame.file for frame in trace.frames if frame.kind is FrameKind.JAVASCRIPT] == ["/srv/app/schön.mjs"]
