"""Check that a chain of frame pointers ends at the first address that is not code, and that no frame of code is left
out."""

from __future__ import annotations

import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from httpcapture import StackStatus
from httpreport.languages.stack_trace import Incomplete, StackTrace, Unnamed
from httpreport.report.report import Report, naming
from support.recordings import STARTED_NS, TEXT, Row, capture, process, stack
from support.redactions import redacted, traces
from support.reports import folded_lines, json_text, no_binary, reported, text_lines

HEAP = 0x7F1000000000
JIT = 0x7F2000000000
MAPS = (
    b"%x-%x rw-p 00000000 00:00 0 [heap]\n" % (HEAP, HEAP + 0x1000)
    + b"%x-%x r-xp 00000000 00:00 0 \n" % (JIT, JIT + 0x1000)
    + b"%x-%x r-xp 00001000 fe:01 77 /opt/nova/lib nova.so\n" % (TEXT, TEXT + 0x2000)
)
LEAF, CALLER, OUTER = TEXT + 0x10, TEXT + 0x20, TEXT + 0x30
CIRCLE = (LEAF, CALLER, 0x1001, *[HEAP + 0x438] * 124)
"""What a kernel records of a send of wrk 4.1.0: from the third address on rbp points into the heap, and to itself."""
AT_MOST = 127  # addresses: kernel.perf_event_max_stack


def report_of(*addresses: int, maps: bytes = MAPS, copies: bool = False) -> Report:
    """Return the report of one call, after a check that the redacted capture gives the same stack trace."""
    limits = {"stack_pages": 4} if copies else {}
    data = capture(records=[process(maps), stack(*addresses)], limits=limits)
    report = reported(data)
    assert traces(reported(redacted(data, no_binary))) == traces(report)
    return report


def addresses_of(trace: StackTrace) -> list[int]:
    return [frame.address for frame in trace.frames]


@pytest.mark.parametrize(
    ("no_code", "reason"), [(0x1001, Unnamed.UNMAPPED), (HEAP + 8, Unnamed.NOT_CODE), ((1 << 64) - 1, Unnamed.UNMAPPED)]
)
def test_a_chain_ends_at_the_first_address_that_is_no_code(no_code: int, reason: Unnamed) -> None:
    """Code behind it does not belong to the chain: it may be a function pointer in a structure."""
    report = report_of(LEAF, CALLER, no_code, OUTER, no_code, OUTER)

    trace, counts = report.trace(0), naming(report)
    assert addresses_of(trace) == [LEAF, CALLER, no_code]
    assert [frame.unnamed for frame in trace.frames[2:]] == [reason]
    assert (counts.frames, counts.by_reason[reason]) == (3, 1)


def test_a_circle_through_the_heap_is_one_frame_in_every_output() -> None:
    report = report_of(*CIRCLE)

    lines = text_lines(report, "run.cap")
    first = lines.index("Stack trace:") + 1
    assert lines[first : first + 5] == [
        "    lib nova.so+0x1010 (/opt/nova/lib nova.so: its file was not recorded)",
        "    lib nova.so+0x1020 (/opt/nova/lib nova.so: its file was not recorded)",
        "    0x1001 [outside any mapping]",
        "    [frame pointers only, recorded without stack copies]",
        "Role: client, Outcome: answered, Kind: http, Method: GET, Status: 200",
    ]
    assert folded_lines(report) == ["nova-api;[outside any mapping];lib nova.so+0x1020;lib nova.so+0x1010 250000"]
    made = json.loads(json_text(report, "run.cap"))
    assert made["frames"] == {"total": 3, "named": 0, "unnamed": {"no_module": 2, "unmapped": 1}, "guessed": 0}
    assert [frame["unnamed"] for frame in made["stacks"][0]["frames"]] == ["no_module", "no_module", "unmapped"]
    assert (made["stacks"][0]["incomplete"], made["stacks"][0]["repeats"]) == ("as_recorded", 0)


def test_why_there_is_no_stack_copy_stays_the_reason() -> None:
    trace = report_of(*CIRCLE, copies=True).trace(0)

    assert (len(trace.frames), trace.incomplete) == (3, Incomplete.NO_COPY)


def test_the_receiving_side_ends_there_too() -> None:
    row = Row(stack=1, receive_stack=2, receive_stack_status=StackStatus.RECORDED)
    report = reported(capture([row], [process(MAPS), stack(LEAF, id=1), stack(*CIRCLE, id=2)]))

    ((_, _, receiving),) = report.calls()
    assert receiving is not None
    assert addresses_of(report.traces[receiving]) == [LEAF, CALLER, 0x1001]


def test_a_redacted_capture_holds_nothing_of_what_lies_behind() -> None:
    data = capture(records=[process(MAPS), stack(*CIRCLE)])

    again = redacted(data, no_binary)

    (kept,) = reported(again).recording.stacks
    assert (kept.end, kept.frames) == ("as_recorded", struct.pack("<3Q", LEAF, CALLER, (1 << 63) + 1))


def test_a_return_address_of_0_is_no_frame() -> None:
    """The outermost frame has no caller (psABI 1.0, 3.4.1)."""
    assert addresses_of(report_of(LEAF, CALLER, 0).trace(0)) == [LEAF, CALLER]
    assert addresses_of(report_of(LEAF, 0, CALLER).trace(0)) == [LEAF]


def test_code_made_at_run_time_is_code() -> None:
    assert addresses_of(report_of(LEAF, JIT + 8, CALLER).trace(0)) == [LEAF, JIT + 8, CALLER]


def test_a_call_at_the_end_of_its_mapping_is_code() -> None:
    """Its return address is the first byte behind the mapping."""
    assert addresses_of(report_of(LEAF, TEXT + 0x2000, CALLER).trace(0)) == [LEAF, TEXT + 0x2000, CALLER]


def test_the_maps_that_let_the_chain_go_furthest_are_taken() -> None:
    """A library was loaded between the two maps. The nearer ones contain more of the addresses, but not from the leaf
    on."""
    before = process(MAPS.replace(b"%x-" % JIT, b"%x-" % (JIT + 0x800)), taken_ns=STARTED_NS)
    after = process(MAPS.replace(b"%x-" % TEXT, b"%x-" % (TEXT + 0x800)), taken_ns=STARTED_NS + 100)
    far = (TEXT + 0x900, JIT + 8, LEAF, LEAF, LEAF)

    report = reported(capture(records=[before, after, stack(*far, taken_ns=STARTED_NS + 10)]))

    assert addresses_of(report.trace(0)) == [TEXT + 0x900, JIT + 8, LEAF]


def test_without_maps_nothing_is_known_to_be_no_code() -> None:
    trace = reported(capture(records=[stack(*CIRCLE)])).trace(0)

    assert addresses_of(trace) == list(CIRCLE)
    assert {frame.unnamed for frame in trace.frames} == {Unnamed.NO_MAPS}


@pytest.mark.parametrize(
    ("chain", "repeats", "words"),
    [
        ([LEAF, *[CALLER] * 126], 1, "last frame repeats"),
        ([LEAF, *[CALLER, OUTER] * 63], 2, "last 2 frames repeat"),
        ([*[TEXT + n for n in range(1, 52)], *[TEXT + n for n in range(100, 138)] * 2], 38, "last 38 frames repeat"),
    ],
)
def test_frames_that_repeat_up_to_the_limit_are_kept_and_told(chain: list[int], repeats: int, words: str) -> None:
    """Recursion and a circular chain give the same addresses."""
    assert len(chain) == AT_MOST
    report = report_of(*chain)

    trace = report.trace(0)
    assert (addresses_of(trace), trace.repeats) == (chain, repeats)
    why = "up to the limit: recursion, or frame pointers that lead in a circle]"
    assert f"    [the {words} {why}" in text_lines(report, "run.cap")
    assert folded_lines(report)[0].startswith(f"nova-api;[frames repeat {why};lib nova.so+")
    assert json.loads(json_text(report, "run.cap"))["stacks"][0]["repeats"] == repeats


@pytest.mark.parametrize(
    "chain",
    [
        [LEAF, *[CALLER] * 125],  # recursion that ended before the limit
        [LEAF, *[CALLER] * 125, OUTER],
        [TEXT + n for n in range(1, 128)],
        [LEAF, *[CALLER] * 125, 0x1001],
    ],
)
def test_frames_that_do_not_repeat_up_to_the_limit_are_not_called_so(chain: list[int]) -> None:
    assert report_of(*chain).trace(0).repeats == 0


ADDRESSES = st.lists(
    st.one_of(st.sampled_from([0, 1, LEAF, CALLER, HEAP, TEXT, TEXT + 0x2000]), st.integers(0, (1 << 64) - 1)),
    max_size=150,
)


@given(ADDRESSES)
def test_of_any_addresses_all_frames_but_the_last_are_code(addresses: list[int]) -> None:
    def is_code(number: int, address: int) -> bool:
        place = address - (number > 0)
        return TEXT <= place < TEXT + 0x2000 or JIT <= place < JIT + 0x1000

    frames = addresses_of(report_of(*addresses).trace(0))

    judged = [is_code(*each) for each in enumerate(addresses)]
    code = judged.index(False) if False in judged else len(judged)
    assert frames == addresses[:code] + [address for address in addresses[code : code + 1] if address]
