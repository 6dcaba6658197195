"""Check what is shown of PHP frames, and where they go among native frames."""

from __future__ import annotations

import struct
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from httpcapture import UTF_8, Code, Stack, WalkStatus
from httpreport.languages.merge import ProgramFrames
from httpreport.languages.php import ZEND
from httpreport.languages.php_stack import INTERNAL, MAIN, runs
from httpreport.languages.stack_trace import Frame, FrameKind, FramesProblem, StackTrace, Unnamed
from support.recordings import PROCESS_START_NS

TOP, OF_OBJECT = 1 << 17, 8
INTERNAL_FUNCTION, FUNCTION = 1 << 32, 2 << 32
NAMES = {1: b"Shop::checkout", 2: b"", 3: b"curl_exec", 4: b"array_map"}


def frame(function: int, line: int = 0, flags: int = FUNCTION) -> bytes:
    return struct.pack("<5Q", function, 0, line, function, flags)


def stack(*frames: bytes, status: int = WalkStatus.WHOLE) -> Stack:
    return Stack(1, 12345, PROCESS_START_NS, 5, b"", php=b"".join(frames), php_version=0x802, php_status=status)


def code(address: int, problem: str = "") -> Code:
    file = b"/srv/shop.php" if address < 3 else b""
    made = Code(12345, PROCESS_START_NS, 0, address, problem, first_line=3)
    return made if problem else replace(made, name=NAMES[address], name_width=UTF_8, filename=file)


CODES = {(0, address): code(address) for address in NAMES}


def labels(made: Stack) -> list[list[str]]:
    """Return the labels of each run."""
    return [[one.label for one in run.frames] for run in runs(made, CODES)]


def test_a_run_goes_to_the_function_that_c_has_called() -> None:
    found = labels(stack(frame(3, flags=INTERNAL_FUNCTION), frame(1, 7), frame(2, 9, FUNCTION | TOP)))
    assert found == [[f"curl_exec ({INTERNAL})", "Shop::checkout (/srv/shop.php:7)", f"{MAIN} (/srv/shop.php:9)"]]


def test_a_function_of_php_that_calls_one_of_the_program_is_of_the_run_of_its_caller() -> None:
    made = stack(frame(1, 7, FUNCTION | TOP), frame(4, flags=INTERNAL_FUNCTION), frame(2, 9, FUNCTION | TOP))
    first, second = labels(made)
    assert first == ["Shop::checkout (/srv/shop.php:7)"]
    assert second == [f"array_map ({INTERNAL})", f"{MAIN} (/srv/shop.php:9)"]


def test_functions_of_php_that_no_function_of_the_program_has_called_are_left_out() -> None:
    assert labels(stack(frame(3, flags=INTERNAL_FUNCTION | TOP))) == []


def test_a_line_that_is_not_known_is_told_by_where_the_function_begins() -> None:
    assert labels(stack(frame(1, 0, FUNCTION | TOP))) == [["Shop::checkout (/srv/shop.php, from line 3)"]]


def test_a_frame_between_c_and_php_is_not_shown_but_one_of_a_generator_that_waits_is() -> None:
    made = stack(frame(1, 7, FUNCTION | TOP), frame(0, flags=0), frame(0, flags=OF_OBJECT), frame(1, 8, FUNCTION | TOP))
    assert [len(run) for run in labels(made)] == [1, 2]
    assert labels(made)[1][0] == f"[{Unnamed.GENERATORS.value}]"


@pytest.mark.parametrize("reason", [Unnamed.CODE_NOT_RECORDED, Unnamed.CODE_GONE])
def test_a_function_that_was_not_read_has_no_name_but_the_reason(reason: Unnamed) -> None:
    codes = {(0, 1): code(1, "gone")} if reason is Unnamed.CODE_GONE else {}
    (run,) = runs(stack(frame(1, 7, FUNCTION | TOP)), codes)
    assert [(one.name, one.line, one.unnamed) for one in run.frames] == [(None, None, reason)]


def test_frames_go_before_the_activation_of_the_loop_that_ran_them() -> None:
    made = stack(frame(1, 7, FUNCTION | TOP), frame(4, flags=INTERNAL_FUNCTION), frame(2, 9, FUNCTION | TOP))
    names = ("send", ZEND.loop, "call", ZEND.loop, "main")
    trace = StackTrace(tuple(Frame(1, "/usr/bin/php8.2", name=name) for name in names))
    found = ProgramFrames(ZEND, tuple(runs(made, CODES)), None, None).finish(trace)
    assert [one.name for one in found.frames] == [
        *("send", "Shop::checkout", ZEND.loop, "call", "array_map", MAIN, ZEND.loop, "main")
    ]
    assert [one.name for one in found.without_interpreter().frames] == [
        *("send", "Shop::checkout", "array_map", MAIN, "main")
    ]


def test_frames_that_contradict_the_native_ones_are_not_shown() -> None:
    trace = StackTrace((Frame(1, "/usr/bin/php8.2", name="main"),))
    found = ProgramFrames(ZEND, tuple(runs(stack(frame(1, 7, FUNCTION | TOP)), CODES)), None, None).finish(trace)
    assert found == replace(trace, php_problem=FramesProblem.CONTRADICTION)
    assert list(found.problems) == ["PHP frames are missing: they contradict the native frames"]


@given(st.binary(max_size=200), st.integers(0, 9), st.binary(max_size=20), st.integers(0, 9))
def test_no_recorded_bytes_make_it_raise(php: bytes, status: int, text: bytes, width: int) -> None:
    words = struct.unpack_from("<5Q", php.ljust(40, b"\0"))
    hostile = replace(code(1), name=text, name_width=width, filename=text, filename_width=width)
    made = replace(stack(status=status), php=php)
    for run in runs(made, {(words[1], words[3]): hostile}):
        assert all(one.kind is FrameKind.PHP for one in run.frames)
