"""Check that the parts of a line of a stack trace are those of the whole line."""

from __future__ import annotations

import pytest

from httpreport.languages.stack_trace import Frame, FrameKind, Incomplete, StackTrace, Unnamed
from httpreport.symbols.line_parts import LineParts, line_parts
from httpreport.symbols.trace_lines import trace_lines

LIBC = "/usr/lib/libc.so.6"
CASES = [
    (Frame(1, LIBC, 1, "send", 0, "sysdeps/send.c", 26), ("send", "send.c:26", LIBC, "")),
    (Frame(1, LIBC, 1, "send", 0, "send.c"), ("send", "send.c", LIBC, "")),
    (Frame(1, LIBC, 1, "send", 0, "a/b.c", 3, inlined=True), ("send", "b.c:3", LIBC, "inlined")),
    (Frame(1, LIBC, 0x10, unnamed=Unnamed.STRIPPED), ("libc.so.6+0x10", "", LIBC, Unnamed.STRIPPED.value)),
    (
        Frame(0, name="ask", file="/srv/a b (1)/orders.py", line=6, kind=FrameKind.PYTHON),
        ("ask", "orders.py:6", "", ""),
    ),
    (Frame(0, name="ask", file="file:///srv/x.js:6", kind=FrameKind.JAVASCRIPT), ("ask", "x.js:6", "", "")),
    (Frame(0, name="ask", file="/srv/x.py", first_line=4, kind=FrameKind.PYTHON), ("ask", "x.py, from line 4", "", "")),
]


@pytest.mark.parametrize(("frame", "expected"), CASES)
def test_a_frame_has_its_function_file_and_module(frame: Frame, expected: tuple[str, ...]) -> None:
    (parts,) = line_parts(StackTrace((frame,)))

    assert parts[1:] == expected
    assert [parts.text] == list(trace_lines(StackTrace((frame,))))


def test_what_is_no_frame_of_a_module_is_the_whole_line() -> None:
    unknown = Frame(0x1234, unnamed=Unnamed.ANONYMOUS)
    plumbing = Frame(0, name="2 frames of plumbing: libc.so.6", kind=FrameKind.PLUMBING)
    trace = StackTrace((plumbing, unknown), incomplete=Incomplete.NOT_CODE, hidden=3)

    assert list(line_parts(trace)) == [LineParts(line, line) for line in trace_lines(trace)]


def test_control_characters_are_escaped() -> None:
    frame = Frame(1, "/\x1b]0;", 1, "se\nnd", 0, "\u202e/x\x07.c", 1)

    (parts,) = line_parts(StackTrace((frame,)))

    assert all(part.isprintable() for part in parts)
