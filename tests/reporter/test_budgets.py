"""Check the memory bounds on what names frames: whatever is left out is reported, and its frames never get a wrong
name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from httpcapture import JitMap, Module, Record
from httpreport.elf.elf import read_elf
from httpreport.languages import jit_map
from httpreport.languages.stack_trace import NoStack, Unnamed
from httpreport.report.report import Report
from httpreport.report.warnings import Cause, incomplete
from httpreport.symbols import symbolizer
from httpreport.symbols.binary import Binary
from httpreport.symbols.symbolizer import FRAME_OVERHEAD
from support.recordings import MAPS, PATH, PROCESS_START_NS, STARTED_NS, TEXT, Row, capture, process, stack
from support.reports import no_binary, reported


def test_of_more_stack_traces_than_can_be_held_the_first_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Equal stack traces count once, and the last one that is held may exceed the remaining budget."""
    monkeypatch.setattr(symbolizer, "MAX_TRACES_BYTES", 90 * FRAME_OVERHEAD + 1)
    addresses = [range(10 * number + 1, 10 * number + 11) for number in range(12)]
    chosen = addresses[:9] + addresses[:9] + addresses[9:]
    records = [stack(*some, id=id) for id, some in enumerate(chosen, 1)]
    data = capture([Row(stack=one.id, sequence=one.id) for one in records], records)

    report = reported(data, milliseconds=None)

    missing = [report.traces[place].missing for place in report.trace_of.tolist()]
    assert missing == [None] * 19 + [NoStack.LEFT_OUT] * 2
    text = (
        "stack traces left out for lack of memory: 2: some frames may have no name; keep fewer calls by a higher -t or "
    )
    assert said(report) == [(Cause.LIMIT, text + "a narrower -p")]
    assert incomplete(report.recording)


def test_long_names_count_for_what_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each frame has a path of 4,000 bytes."""
    long = b"/" + b"x" * 4000
    stacks = [stack(TEXT + id, TEXT + 100 + id, id=id) for id in range(1, 5)]
    rows = [Row(stack=one.id, sequence=one.id) for one in stacks]
    data = capture(rows, [process(MAPS.replace(PATH, long)), *stacks])
    monkeypatch.setattr(symbolizer, "MAX_TRACES_BYTES", 3 * 2 * 4001)

    report = reported(data, milliseconds=None)

    missing = [report.traces[place].missing for place in report.trace_of.tolist()]
    assert missing == [None] * 2 + [NoStack.LEFT_OUT] * 2


JITTED = 0x7F4000000000
TWO_PIDS = (12345, 54321)


def of_two_processes(*records: Record) -> bytes:
    """Return two calls from two processes, one with a stack in a file and one with a stack in code made at run time."""
    maps = MAPS + b"%x-%x rwxp 00000000 00:00 0 \n" % (JITTED, JITTED + 0x1000)
    mine = [process(maps, [(TEXT, place)], pid=pid) for place, pid in enumerate(TWO_PIDS, 1)]
    stacks = [stack(TEXT, JITTED + 8, id=pid, pid=pid) for pid in TWO_PIDS]
    return capture([Row(stack=pid, pid=pid, sequence=pid) for pid in TWO_PIDS], [*records, *mine, *stacks])


@pytest.mark.parametrize(
    ("limit", "what", "unnamed"),
    [
        ("MAX_MAPPINGS", "process maps", [Unnamed.LEFT_OUT, Unnamed.LEFT_OUT]),
        ("MAX_FUNCTIONS", "JIT maps", [Unnamed.NOT_FOUND, Unnamed.LEFT_OUT]),
        ("MAX_BINARIES_BYTES", "binaries", [Unnamed.LEFT_OUT, None]),
    ],
)
def test_what_names_no_more_frames_for_lack_of_memory_is_said(
    limit: str, what: str, unnamed: list[Unnamed | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first of two sources takes the whole budget."""
    modules = [Module(place, b"/opt/nova/%d" % place, b"%d" % place * 20, 9, b"") for place in (1, 2)]
    texts = [JitMap(pid, PROCESS_START_NS, STARTED_NS + 9, 0, b"%x 20 get\n" % JITTED) for pid in TWO_PIDS]
    data = of_two_processes(*modules, *texts)
    elf = replace(read_elf(Path("/bin/true").read_bytes()), segments=())
    find = (lambda module, carried: Binary(elf, ())) if what == "binaries" else no_binary
    monkeypatch.setattr(jit_map if limit == "MAX_FUNCTIONS" else symbolizer, limit, 1)

    report = reported(data, milliseconds=None, find_binary=find)

    first, second = ([frame.unnamed for frame in report.traces[place].frames] for place in report.trace_of.tolist())
    assert second == unnamed
    assert Unnamed.LEFT_OUT not in first
    ((cause, text),) = said(report)
    assert cause is Cause.LIMIT and text.startswith(f"{what} left out for lack of memory: 1: ")


def said(report: Report) -> list[tuple[Cause, str]]:
    return [(warning.cause, warning.text) for warning in report.warnings]
