"""Check that the reason for a missing frame or name is the true one, and tells what would help."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from httpcapture import Section, Stack
from httpreport.languages.stack_trace import Incomplete, StackTrace, Unnamed
from httpreport.report.headline import frames
from httpreport.report.report import Report, naming
from httpreport.symbols.binary_lookup import Binaries
from support.compiled import compiled
from support.live import LIMITS, Taken, taken
from support.recordings import Row, capture
from support.redactions import redacted, traces
from support.reports import reported
from support.stacks import blocked

PAGE = 4096
BUFFER = """
#include <unistd.h>
__attribute__((noinline)) static int leaf(char *bytes) { return read(0, bytes, 1); }
__attribute__((noinline)) int below(char *bytes) { return leaf(bytes) + bytes[0]; }
__attribute__((noinline)) int buffer(int size) { char bytes[SIZE]; return below(bytes) + bytes[size]; }
int main(int argc, char **argv) { return buffer(argc) + 1; }
"""

Reported = Callable[[Taken], Report]


@pytest.fixture
def report_of(tmp_path: Path) -> Reported:
    """Report on a machine without binaries. A redacted capture has the same reasons."""
    find_binary = Binaries(root=str(tmp_path / "nothing")).find

    def report(one: Taken) -> Report:
        data = capture([Row(stack=256)], one.records(), limits=LIMITS)
        made = reported(data, find_binary=find_binary)
        assert traces(made) == traces(reported(redacted(data, find_binary), find_binary=find_binary))
        return made

    return report


@pytest.fixture
def traced(report_of: Reported) -> Callable[[Taken], StackTrace]:
    return lambda one: report_of(one).trace(0)


def stack_with(folder: Path, size: int, options: Sequence[str] = ()) -> Taken:
    with blocked([compiled(folder, "buffer.c", BUFFER, [f"-DSIZE={size}", *options])]) as pid:
        return taken(pid)


@pytest.fixture(scope="module")
def shallow(tmp_path_factory: pytest.TempPathFactory) -> Taken:
    return stack_with(tmp_path_factory.mktemp("shallow"), 3 * PAGE)


def with_stack(one: Taken, **changes: object) -> Taken:
    return replace(one, stack=replace(one.stack, **changes))  # type: ignore[arg-type]


def cut(one: Taken, pages: int, tried: int) -> Taken:
    """Return a stack of which these many pages were copied; those after them, up to `tried`, could not be read."""
    stack: Stack = one.stack
    size = pages * PAGE - stack.memory_address % PAGE
    return with_stack(one, memory=stack.memory[:size], missing_pages=(1 << tried) - (1 << pages))


def test_pages_above_the_end_of_the_stack_are_no_reason(tmp_path: Path, traced: Callable[[Taken], StackTrace]) -> None:
    """The recorder tries them too. The walk ends for lack of unwind information."""
    options = ["-fno-asynchronous-unwind-tables", "-fomit-frame-pointer", "-fno-stack-protector", "-static"]
    one = stack_with(tmp_path, 100, options)
    pages = -(-(one.stack.memory_address % PAGE + len(one.stack.memory)) // PAGE)

    trace = traced(with_stack(one, missing_pages=(1 << 63) - (1 << pages)))

    assert trace.incomplete is Incomplete.NO_CFI
    assert 1 < len(trace.frames) < len(one.expected)


def test_a_copy_of_the_size_that_was_asked_for_ended(shallow: Taken, traced: Callable[[Taken], StackTrace]) -> None:
    trace = traced(cut(shallow, 2, tried=2))
    assert trace.incomplete is Incomplete.STACK_ENDED
    assert "--stack-size 64" in trace.incomplete.remedy


def test_a_page_that_could_not_be_read_behind_the_copy_was_not_in_memory(
    shallow: Taken, traced: Callable[[Taken], StackTrace]
) -> None:
    assert traced(cut(shallow, 2, tried=16)).incomplete is Incomplete.PAGE_MISSING


def test_no_copy_reaches_beyond_64_kib(tmp_path: Path, traced: Callable[[Taken], StackTrace]) -> None:
    """Ruby's threads have a virtual machine's stack of 1 MiB in between."""
    one = stack_with(tmp_path, 1 << 17)
    assert traced(cut(one, 16, tried=16)).incomplete is Incomplete.TOO_FAR
    assert traced(cut(one, 2, tried=16)).incomplete is Incomplete.TOO_FAR
    assert Incomplete.TOO_FAR.remedy == ""


def test_a_frame_outside_the_mapping_of_the_stack_is_on_another_one(
    shallow: Taken, traced: Callable[[Taken], StackTrace]
) -> None:
    one = cut(shallow, 2, tried=16)
    end = one.stack.memory_address + len(one.stack.memory)
    maps = re.sub(rb"-[0-9a-f]+( rw-p \S+ \S+ \S+ +\[stack\])", b"-%x\\1" % end, one.process.maps)
    assert maps != one.process.maps

    trace = traced(replace(one, process=replace(one.process, maps=maps)))

    assert trace.incomplete is Incomplete.OTHER_STACK


def without(one: Taken, *names: str, path: bytes) -> Taken:
    """Return a stack without the bytes of these sections of a file, as if there had been no room."""
    module = next(module.id for module in one.modules if path in module.path)
    return replace(
        one,
        sections=[
            replace(part, data=b"", start=0, problem="left out: the capture's room for modules is used up")
            if part.module == module and part.name in names
            else part
            for part in one.sections
        ],
    )


def test_symbols_that_the_capture_left_out_do_not_make_a_binary_stripped(shallow: Taken, report_of: Reported) -> None:
    program = os.path.basename(shallow.modules[0].path)

    report = report_of(without(shallow, ".symtab", ".strtab", path=program))

    unnamed = {frame.unnamed for frame in report.trace(0).frames if program.decode() in (frame.module or "")}
    assert unnamed == {Unnamed.SYMBOLS_LEFT_OUT}
    assert "its symbols were left out of the capture; record with a larger --modules-size)" in frames(naming(report))


@pytest.mark.parametrize("carried", [True, False], ids=["without room", "not at all"])
def test_unwind_information_that_is_not_here_may_exist(
    shallow: Taken, traced: Callable[[Taken], StackTrace], carried: bool
) -> None:
    one = without(shallow, ".eh_frame", ".eh_frame_hdr", path=b"libc.so")
    if not carried:
        libc = next(module.id for module in one.modules if b"libc.so" in module.path)
        sections: list[Section] = [part for part in one.sections if part.module != libc]
        one = replace(one, sections=sections)
    registers = bytearray(one.stack.registers)
    registers[4 * 8 : 5 * 8] = (2).to_bytes(8, "little")  # rbp: no frame pointer

    trace = traced(with_stack(one, registers=bytes(registers), memory=bytes(8) + one.stack.memory[8:]))

    assert trace.incomplete is Incomplete.NO_BINARY
