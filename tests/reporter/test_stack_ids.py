"""Check that a Stack ID numbers a stack trace in a whole report and is the same in every output, and that
stack_traces.txt repeats a stack trace for the longest calls only."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple
from unittest import mock

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from httpcapture import StackStatus
from httpreport.cli.main import main
from httpreport.outputs import stack_traces
from support.recordings import MS, TEXT, Row, capture, process, stack
from support.reports import reported, text_lines

BLOCK = re.compile(
    r"^PID: \d+, Comm: .*, Stack ID: (?P<id>\d+)\n.*\n.*\nStack trace:\n(?P<lines>(?: {4}.*\n)+)"
    r"(?:Receive stack trace \(tid \d+(?:, Stack ID (?P<receive_id>\d+))?\):\n(?P<receive_lines>(?: {4}.*\n)+))?"
    r"Role: .*\nProcess: .*, Record: \d+\n.*(?:\nHost: .*, Capture: (?P<capture>.*))?$",
    re.MULTILINE,
)
PRINTED_ABOVE = re.compile(r" {4}\(printed above with Stack ID (\d+)\)\n")
BEHIND = "After the longest {:,} calls, repeated stack traces are shown as a Stack ID; "


class Side(NamedTuple):
    """Hold a stack trace of a call: its Stack ID, 0 if there is none, and its lines."""

    stack_id: int
    lines: str


class Block(NamedTuple):
    """Hold the block of a call in stack_traces.txt: the stack trace of the sending side, and perhaps that of the
    other."""

    capture: str
    sides: tuple[Side, ...]


def blocks_of(text: str) -> list[Block]:
    found = []
    for block in BLOCK.finditer(text):
        sides = [Side(int(block["id"]), block["lines"])]
        if block["receive_lines"]:
            sides.append(Side(int(block["receive_id"] or 0), block["receive_lines"]))
        found.append(Block(block["capture"] or "", tuple(sides)))
    assert len(found) == text.count("\nPID: ")
    return found


def run(*arguments: str | Path) -> str:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


# In two processes the same code is at different addresses; the last stack is in no mapping, where the address is all
# that can be printed. The ids of stacks are 100 higher in the other process.
OTHER = TEXT + 0x10_0000
MOVED = b"%x-%x r-xp 00001000 fe:01 77    /opt/nova/lib nova.so\n" % (OTHER, OTHER + 0x2000)
PATHS = {1: [0x10], 2: [0x10, 0x20], 3: [0x20], 4: [0x9000]}
RECORDS: list[Any] = [
    process(),
    process(MOVED, pid=54321),
    *(stack(*(TEXT + offset for offset in path), id=number) for number, path in PATHS.items()),
    *(stack(*(OTHER + offset for offset in path), id=100 + number, pid=54321) for number, path in PATHS.items()),
]
STACKS = st.sampled_from([*PATHS, *(100 + number for number in PATHS), 7])  # 7 is not in the capture
ROWS = st.builds(
    lambda duration, stack, status, receive, received: Row(
        duration_ns=duration * MS,
        pid=54321 if stack > 100 else 12345,
        stack=stack,
        stack_status=status,
        receive_tid=9,
        receive_stack=receive,
        receive_stack_status=StackStatus.RECORDED if received else StackStatus.NOT_TAKEN,
    ),
    st.integers(1, 4),
    STACKS,
    st.sampled_from([StackStatus.RECORDED, StackStatus.RECORDED, StackStatus.LOST]),
    STACKS,
    st.booleans(),
)
CAPTURES = st.lists(
    st.builds(
        lambda host, rows: capture(
            [replace(row, connection=number) for number, row in enumerate(rows)], RECORDS, host=host, threshold_ns=0
        ),
        st.sampled_from(["web-1", "web-2"]),
        st.lists(ROWS, min_size=1, max_size=8),
    ),
    min_size=1,
    max_size=4,
)


@settings(max_examples=15, deadline=None)
@given(CAPTURES, st.randoms(use_true_random=False))
def test_one_number_is_one_stack_trace_in_all_outputs_whatever_the_order(captures: list[bytes], chance: Random) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        paths = [folder / f"{number}.cap" for number in range(len(captures))]
        for path, data in zip(paths, captures):
            path.write_bytes(data)
        files = [folder / file for file in ("stack_traces.txt", "run.csv", "run.html")]
        options: list[str | Path] = [
            "-o",
            folder,
            "--csv",
            files[1],
            "--html",
            files[2],
            "--all-stacks",
            "--jobs",
            "1",
            "-f",
        ]
        run(*paths, *options)
        text, table, html = (file.read_text() for file in files)
        chance.shuffle(paths)
        run(*paths, *options)
        assert [file.read_text() for file in files[:2]] == [text, table]
        document = json.loads(run(*paths, "--json", "--jobs", "1"))

    blocks = blocks_of(text)
    numbered = {side for block in blocks for side in block.sides if side.stack_id}
    lines_of = dict(numbered)
    assert len(numbered) == len(lines_of) == len(set(lines_of.values()))
    assert sorted(lines_of) == list(range(1, len(numbered) + 1))
    without = {side.lines for block in blocks for side in block.sides if not side.stack_id}
    assert without <= {f"    [no stack: {why}]\n" for why in ("lost", "missing in the capture")}

    numbers = [block.sides[0].stack_id for block in blocks]
    assert [int(row["stack_id"] or 0) for row in csv.DictReader(table.splitlines())] == numbers
    for report in document.get("reports", [document]):
        file = report["capture"]["file"] if len(captures) > 1 else ""
        here = [block.sides[0].stack_id for block in blocks if block.capture == file]
        assert [call["stack_id"] or 0 for call in report["calls"]] == here
    page = json.loads(re.findall(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)[0])
    in_page = {
        Side(number, "".join(f"    {page['lines'][line][0]}\n" for line in lines))
        for _, lines, number in page["traces"]
    }
    assert {side for side in in_page if side.stack_id} == numbered


@settings(max_examples=20, deadline=None)
@given(CAPTURES, st.integers(0, 6))
def test_what_is_not_repeated_was_printed_above(captures: list[bytes], repeated: int) -> None:
    """With the stack traces in place of their numbers, the text is what --all-stacks writes."""
    with TemporaryDirectory() as name, mock.patch.object(stack_traces, "REPEATED_CALLS", repeated):
        folder = Path(name)
        for number, data in enumerate(captures):
            (folder / f"{number}.cap").write_bytes(data)
        run(folder, "-o", folder, "--jobs", "1")
        short = (folder / "stack_traces.txt").read_text()
        run(folder, "-o", folder, "--jobs", "1", "-f", "--all-stacks")
        whole = (folder / "stack_traces.txt").read_text()

    blocks, above = blocks_of(short), dict[int, str]()
    for calls, block in enumerate(blocks):
        for number, lines in block.sides:
            if number in above and calls >= repeated:
                assert lines == f"    (printed above with Stack ID {number})\n"
            elif number:
                assert "(printed above" not in lines
                above[number] = lines
    expanded = PRINTED_ABOVE.sub(lambda said: above[int(said[1])], short).splitlines()
    head = BEHIND.format(repeated) + "--all-stacks prints all of them."
    assert expanded.count(head) == (len(blocks) > repeated)
    assert [line for line in expanded if line != head] == whole.splitlines()


def test_ten_thousand_calls_have_all_lines_and_the_others_take_half_a_kilobyte() -> None:
    """A call with a new stack trace is an exception."""
    stacks = [stack(*(TEXT + 8 * frame for frame in range(100 + one)), id=one) for one in (1, 2)]
    rows = [Row(duration_ns=(20_000 - number) * MS, sequence=number, stack=1) for number in range(10_500)]
    rows[-2] = replace(rows[-2], stack=2)

    head, *blocks = "\n".join(text_lines(reported(capture(rows, [process(), *stacks])), "run.cap")).split("\n\n")

    frames = [block.count("\n    lib nova.so+") for block in blocks]
    assert frames == [*[101] * 10_000, *[0] * 498, 102, 0]
    shorter = [block for block in blocks[10_000:] if "\n    (printed above with Stack ID 1)\n" in block]
    assert len(shorter) == 499 and max(map(len, shorter)) <= 500
    assert BEHIND.format(10_000) in head


@pytest.mark.parametrize("captures", [1, 2])
def test_stack_traces_take_no_more_room_than_they_have(captures: int, tmp_path: Path) -> None:
    """There are eight stack traces of 7 kB and room for five; the rest is left out unless it is asked for."""
    stacks = [stack(*(TEXT + 8 * frame + one for frame in range(100)), id=one) for one in range(1, 9)]
    rows = [Row(duration_ns=(200 - one) * MS, sequence=one, stack=one % 8 + 1) for one in range(100)]
    for number in range(captures):
        (tmp_path / f"{number}.cap").write_bytes(capture(rows, [process(), *stacks]))

    def written(*options: str) -> list[str]:
        run(tmp_path, "-o", tmp_path / "out", "--jobs", "1", "-f", *options)
        return [
            side.lines for block in blocks_of((tmp_path / "out/stack_traces.txt").read_text()) for side in block.sides
        ]

    every = written("--all-stacks")
    assert len(every) == 100 * captures and len(set(every)) == 8
    room = 5 * min(map(len, every)) - 10
    with mock.patch.object(stack_traces, "MAX_FULL_TRACES_SIZE", room):
        some, again = written(), written("--all-stacks")

    assert again == every
    full = [lines for lines in some if lines in every]
    assert len(full) == 5 and sum(map(len, full)) < room + max(map(len, every))
    left_out = "    (left out after 0 MiB of stack traces; --all-stacks prints all)\n"
    assert {PRINTED_ABOVE.sub("above", lines) for lines in some if lines not in every} == {"above", left_out}
