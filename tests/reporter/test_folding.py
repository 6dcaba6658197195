"""Check that stacks.folded obeys flamegraph.pl's rules, and that its weights are the durations."""

from __future__ import annotations

import re
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from httpcapture import StackStatus
from httpreport.calls.totals import Totals
from httpreport.common.printable import comm
from httpreport.languages.stack_trace import Frame, NoStack, StackTrace, Unnamed
from httpreport.report.folding import fold
from httpreport.report.samples import HostStack, Sample, shown_frames
from support.recordings import MS, TEXT, Row, capture, process, stack
from support.reports import folded_lines, reported

FLAMEGRAPH_LINE = re.compile(r"^(.*)\s+?(\d+(?:\.\d*)?)$")  # flamegraph.pl: "process and merge frames"
LINE = re.compile(r"^(.+)\s+(\d+)$")

NAMES = st.one_of(st.binary(max_size=15), st.sampled_from([b"a;b", b"a 12", b"\x1b[0m", b"x\ny 3", b"5", b""]))
FRAMES = st.builds(Frame, st.integers(0, 1 << 48), name=st.one_of(NAMES.map(lambda b: b.decode("latin-1")), st.text()))
TRACES = st.builds(StackTrace, st.lists(FRAMES, min_size=1, max_size=5).map(tuple))


def line_of(process: bytes, trace: StackTrace) -> str:
    stack = HostStack("web-1", comm(process), shown_frames(trace))
    return fold(Sample((stack.process,), stack, Totals()))


def test_the_outermost_frame_comes_first_behind_the_process() -> None:
    frames = [Frame(1, name="leaf"), Frame(2, "/lib/libx.so", 0x40), Frame(3, unnamed=Unnamed.UNMAPPED)]

    assert line_of(b"nova-api", StackTrace(tuple(frames))) == "nova-api;[outside any mapping];libx.so+0x40;leaf"


def test_a_call_without_a_stack_says_why() -> None:
    assert line_of(b"nova-api", StackTrace((), NoStack.LOST)) == "nova-api;[no stack: lost]"
    assert line_of(b"", StackTrace((), NoStack.LOST)) == "[no name];[no stack: lost]"


def test_frames_left_out_are_noted_where_they_were() -> None:
    assert line_of(b"a", StackTrace((Frame(1, name="leaf"),), left_out=3)) == "a;[frames left out];leaf"


@given(NAMES, TRACES, st.integers(0, 1 << 40))
def test_flamegraph_reads_back_every_frame_and_the_weight(name: bytes, trace: StackTrace, weight: int) -> None:
    line = f"{line_of(name, trace)} {weight}"

    match, strict = FLAMEGRAPH_LINE.match(line), LINE.match(line)
    assert match
    assert strict
    assert int(match[2]) == int(strict[2]) == weight
    assert FLAMEGRAPH_LINE.match(match[1]) is None  # else it were a differential line
    assert len(match[1].split(";")) == 1 + len(trace.frames)
    assert all(match[1].split(";"))


@given(
    st.lists(
        st.builds(
            Row,
            duration_ns=st.one_of(st.integers(0, 10 * MS), st.integers(0, (1 << 64) - 1)),
            comm=NAMES,
            process=NAMES,
            stack=st.integers(1, 3),
            stack_status=st.integers(0, 6),
        ),
        max_size=20,
    )
)
def test_the_weights_are_the_durations_and_every_stack_comes_once(rows: list[Row]) -> None:
    report = reported(capture(rows, [process(), stack(TEXT, id=1), stack(TEXT, TEXT + 9, id=2)]))

    lines = folded_lines(report)

    parts = [LINE.match(line) for line in lines]
    assert all(parts)
    durations = (report.recording.calls["t2"] - report.recording.calls["t0"]).tolist()
    assert sum(int(part[2]) for part in parts if part) == sum(duration // 1000 for duration in durations)
    stacks = Counter(part[1] for part in parts if part)
    assert set(stacks.values()) <= {1}
    assert [line.rpartition(" ")[0].encode() for line in lines] == sorted(stack.encode() for stack in stacks)


def test_equal_stacks_of_different_ids_are_one_line() -> None:
    rows = [Row(stack=1), Row(stack=2), Row(stack_status=StackStatus.FAULT)]

    lines = folded_lines(reported(capture(rows, [process(), stack(TEXT, id=1), stack(TEXT, id=2)])))

    assert lines == ["nova-api;[no stack: not readable] 250000", "nova-api;lib nova.so+0x1000 500000"]
