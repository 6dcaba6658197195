"""Check that a stack gets names only from maps that are known to be those of its moment."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import pytest

from httpcapture import MappedModule, Process, Record
from httpreport.languages.stack_trace import Incomplete, StackTrace, Unnamed
from httpreport.symbols.binary_lookup import Binaries
from support.compiled import compiled
from support.live import LIMITS, Taken, taken
from support.recordings import PROCESS_START_NS, STARTED_NS, Row, capture
from support.redactions import redacted, traces
from support.reports import reported
from support.stacks import blocked

PROGRAM = """
#include <unistd.h>
__attribute__((noinline)) static int leaf(char *bytes) { return read(0, bytes, 1); }
__attribute__((noinline)) int deep(int depth) {
  char bytes[100];
  return depth ? deep(depth - 1) + bytes[depth] : leaf(bytes);
}
int main(int argc, char **argv) { return deep(argc + 2); }
"""
NAMES = ["leaf", *["deep"] * 4, "main"]
OPTIONS = ["-fno-optimize-sibling-calls", "-fcf-protection"]
EARLIER, TAKEN, LATER = STARTED_NS - 1000, STARTED_NS + 1, STARTED_NS + 5000  # ns; the stack is taken at TAKEN


class Traced(Protocol):
    def __call__(self, one: Taken, readings: Sequence[Process], more: Sequence[Record] = ()) -> StackTrace: ...


@pytest.fixture
def traced(tmp_path: Path) -> Traced:
    """Return the trace of a stack with these readings, as it is named where no binaries are, also after redaction."""
    find_binary = Binaries(root=str(tmp_path / "nothing")).find

    def trace(one: Taken, readings: Sequence[Process], more: Sequence[Record] = ()) -> StackTrace:
        records = [*more, *one.modules, *one.sections, *readings, one.stack]
        data = capture([Row(stack=256)], records, limits=LIMITS)
        report = reported(data, find_binary=find_binary)
        assert traces(report) == traces(reported(redacted(data, find_binary), find_binary=find_binary))
        return report.trace(0)

    return trace


def stack_of(folder: Path, name: str, *options: str) -> Taken:
    with blocked([compiled(folder, name, PROGRAM, [*OPTIONS, *options])]) as pid:
        return taken(pid)


@pytest.fixture(scope="module")
def pie(tmp_path_factory: pytest.TempPathFactory) -> Taken:
    return stack_of(tmp_path_factory.mktemp("pie"), "pie.c")


@pytest.fixture(scope="module")
def static(tmp_path_factory: pytest.TempPathFactory) -> Taken:
    return stack_of(tmp_path_factory.mktemp("static"), "static.c", "-static", "-no-pie")


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Taken:
    """Return another program with functions of other names at the same addresses."""
    return stack_of(tmp_path_factory.mktemp("other"), "other.c", "-static", "-no-pie", "-Ddeep=peed", "-Dleaf=fael")


def reading(process: Process, read_ns: int, without: bytes = b"") -> Process:
    """Return a reading of the maps of a process that ended at a time, without the mappings of one path."""
    lines = process.maps.splitlines(True)
    kept = [line for line in lines if not without or without not in line]
    starts = {int(line.split(b"-")[0], 16) for line in kept}
    modules = [mapped for mapped in process.modules if mapped.address in starts]
    return replace(process, taken_ns=read_ns - 1, read_ns=read_ns, maps=b"".join(kept), modules=modules)


def unchanged(read_ns: int) -> Process:
    return Process(12345, PROCESS_START_NS, read_ns, b"", b"", 0, b"", (), read_ns=read_ns, unchanged=True)


def program(one: Taken) -> bytes:
    return one.modules[0].path


def names(trace: StackTrace) -> list[str | None]:
    return [frame.name for frame in trace.frames if frame.name in {*NAMES, "fael", "peed"}]


def reasons(trace: StackTrace) -> set[Unnamed | None]:
    return {frame.unnamed for frame in trace.frames}


def in_program(one: Taken, trace: StackTrace) -> Iterator[int]:
    """Yield the places of the frames of the program itself, and not of libc."""
    ranges = [line.split(b" ")[0].split(b"-") for line in one.process.maps.splitlines() if program(one) in line]
    for place, frame in enumerate(trace.frames):
        if any(int(start, 16) <= frame.address < int(end, 16) for start, end in ranges):
            yield place


@pytest.mark.parametrize("read_ns", [EARLIER, TAKEN, LATER])
def test_one_reading_names_a_stack_that_it_contains(pie: Taken, traced: Traced, read_ns: int) -> None:
    trace = traced(pie, [reading(pie.process, read_ns)])
    assert names(trace) == NAMES
    assert tuple(frame.address for frame in trace.frames) == pie.expected


@pytest.mark.parametrize("loaded", [True, False], ids=["loaded", "unloaded"])
def test_code_that_only_one_of_the_readings_around_has_is_not_named(pie: Taken, traced: Traced, loaded: bool) -> None:
    """The walk is whole all the same, and what both readings have is named."""
    readings = [reading(pie.process, EARLIER, program(pie)), reading(pie.process, LATER)]
    if not loaded:
        readings = [reading(pie.process, EARLIER), reading(pie.process, LATER, program(pie))]

    trace = traced(pie, readings)

    assert tuple(frame.address for frame in trace.frames) == pie.expected
    assert trace.incomplete is None
    places = set(in_program(pie, trace))
    assert len(places) == 7  # _start too
    for place, frame in enumerate(trace.frames):
        assert (frame.name, frame.unnamed) == (None, Unnamed.MAPS_DIFFER) if place in places else frame.module


def test_code_that_was_replaced_at_the_same_address_is_not_named(pie: Taken, traced: Traced) -> None:
    """As with a plugin that is built anew and loaded again."""
    module = replace(pie.modules[0], id=99, build_id=b"another")
    mapped = [replace(one, module=99) if one.module == 1 else one for one in pie.process.modules]
    after = reading(replace(pie.process, modules=mapped), LATER)

    trace = traced(pie, [reading(pie.process, EARLIER), after], [module])

    assert names(trace) == []
    assert {trace.frames[place].unnamed for place in in_program(pie, trace)} == {Unnamed.MAPS_DIFFER}


def test_maps_that_were_unchanged_after_the_stack_name_it(pie: Taken, traced: Traced) -> None:
    later = reading(pie.process, 2 * LATER, program(pie))
    assert names(traced(pie, [reading(pie.process, EARLIER), unchanged(LATER), later])) == NAMES
    assert names(traced(pie, [reading(pie.process, EARLIER), unchanged(TAKEN - 1), later])) == []


def test_a_reading_that_had_not_ended_is_no_reading_before(pie: Taken, traced: Traced) -> None:
    """Its first line may have been read before the stack was taken, and its last one after it."""
    without = replace(reading(pie.process, TAKEN + 1, program(pie)), taken_ns=EARLIER)
    assert names(traced(pie, [without, reading(pie.process, LATER)])) == []
    assert names(traced(pie, [reading(pie.process, EARLIER), without])) == []


def test_the_names_of_the_next_program_are_not_given_to_a_stack_of_the_one_before(
    static: Taken, other: Taken, traced: Traced
) -> None:
    """The process became another program (exec) after its send, before its maps were read."""
    assert static.expected == other.expected

    trace = traced(replace(static, modules=other.modules, sections=other.sections), [reading(other.process, LATER)])

    assert names(trace) == []
    assert reasons(trace) == {Unnamed.STACK_NOT_IN_MAPS}
    assert trace.incomplete is Incomplete.STACK_NOT_IN_MAPS


@pytest.mark.parametrize("is_first", [True, False])
def test_of_two_programs_the_one_that_the_stack_is_in_names_it(
    static: Taken, other: Taken, traced: Traced, is_first: bool
) -> None:
    mapped = [MappedModule(one.address, 99) for one in other.process.modules]
    more: list[Record] = [replace(other.modules[0], id=99)]
    more += [replace(section, module=99) for section in other.sections]
    of_other, of_static = replace(other.process, modules=mapped), static.process
    readings = [of_static, of_other] if is_first else [of_other, of_static]

    trace = traced(static, [reading(readings[0], EARLIER), reading(readings[1], LATER)], more)

    assert names(trace) == NAMES
    assert trace.incomplete is None


def test_a_thread_that_is_younger_than_the_maps_has_names_if_the_program_is_the_same(
    pie: Taken, static: Taken, traced: Traced
) -> None:
    """An address that was chosen at random shows it; or that the maps were unchanged later."""
    assert names(traced(pie, [reading(pie.process, EARLIER, b"[stack]")])) == NAMES
    before = reading(static.process, EARLIER, b"[stack]")
    assert names(traced(static, [before])) == []
    assert names(traced(static, [before, unchanged(LATER)])) == NAMES


def test_without_a_copy_the_readings_around_count_too(pie: Taken, traced: Traced) -> None:
    chain = b"".join(address.to_bytes(8, "little") for address in pie.expected)
    by_frame_pointer = replace(pie, stack=replace(pie.stack, frames=chain, registers=b"", memory_address=0, memory=b""))
    before, after = reading(pie.process, EARLIER), reading(pie.process, LATER)
    assert names(traced(by_frame_pointer, [before, after])) == NAMES
    assert names(traced(by_frame_pointer, [before, reading(pie.process, LATER, program(pie))])) == []


def test_no_readings_are_no_names(pie: Taken, traced: Traced) -> None:
    assert reasons(traced(pie, [unchanged(LATER)])) == {Unnamed.NO_MAPS}


def test_a_program_of_another_name_does_not_name_a_stack_before_its_exec(
    static: Taken, other: Taken, traced: Traced
) -> None:
    """The stacks of Go programs are at the same addresses in each: the maps of the next one have the stack pointer."""
    stack = rb"[0-9a-f]+-[0-9a-f]+( rw-p .*\[stack\])"
    start = static.stack.memory_address & ~0xFFF
    maps = re.sub(stack, b"%x-%x\\1" % (start, start + 0x20000), other.process.maps)
    process = replace(other.process, maps=maps, name=b"other")
    one = replace(static, modules=other.modules, sections=other.sections)

    trace = traced(one, [reading(process, LATER)])

    assert reasons(trace) == {Unnamed.STACK_NOT_IN_MAPS}
    assert names(traced(static, [reading(static.process, LATER)])) == NAMES
    assert names(traced(static, [reading(replace(static.process, name=b"renamed"), EARLIER)])) == NAMES
