"""Check that the receiving side's stack is shown as a second stack trace of a call if its thread or stack trace
differs."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import replace
from typing import Any

import pytest

from httpcapture import Stack, StackStatus
from httpreport.languages.stack_trace import StackTrace
from httpreport.report.report import naming
from httpreport.symbols.symbolizer import Symbolizer
from support.recordings import TEXT, Row, capture, process, stack
from support.reports import folded_lines, json_text, reported, text_lines

SENT, RECEIVED, SENT_AGAIN = 1, 2, 3  # the last with the addresses of the first
STACKS = [stack(TEXT, id=SENT), stack(TEXT + 0x20, 0x1234, id=RECEIVED), stack(TEXT, id=SENT_AGAIN)]
CALL = Row(tid=7, receive_tid=7, stack=SENT, receive_stack=RECEIVED, receive_stack_status=StackStatus.RECORDED)


def capture_of(*rows: Row) -> bytes:
    return capture(rows, [process(), *STACKS])


def receive_block(row: Row) -> list[str]:
    """Return the lines between the first stack trace and the details of a call, without the frames' files."""
    lines = text_lines(reported(capture_of(row)), "run.cap")
    first = lines.index("Stack trace:")
    after = next(at for at, line in enumerate(lines) if at > first and not line.startswith(" "))
    until = next(at for at, line in enumerate(lines) if line.startswith("Role: "))
    return [line.split(" (/")[0] for line in lines[after:until]]


FRAMES_ONLY = "    [frame pointers only, recorded without stack copies]"


@pytest.mark.parametrize(
    ("changes", "stack_id", "block"),
    [
        ({}, ", Stack ID 2", ["    lib nova.so+0x1020", "    0x1234 [outside any mapping]", FRAMES_ONLY]),
        ({"receive_stack": SENT_AGAIN, "receive_tid": 8}, ", Stack ID 1", ["    lib nova.so+0x1000", FRAMES_ONLY]),
        ({"receive_stack_status": StackStatus.LOST}, "", ["    [no stack: lost]"]),
        ({"receive_stack_status": StackStatus.FAULT, "receive_stack": 0}, "", ["    [no stack: not readable]"]),
        ({"receive_stack": 99}, "", ["    [no stack: missing in the capture]"]),
    ],
    ids=["another trace", "another thread", "lost", "not readable", "missing"],
)
def test_another_thread_or_trace_is_shown_behind_the_first(
    changes: dict[str, Any], stack_id: str, block: list[str]
) -> None:
    row = replace(CALL, **changes)
    assert receive_block(row) == [f"Receive stack trace (tid {row.receive_tid}{stack_id}):", *block]


@pytest.mark.parametrize(
    "changes",
    [{"receive_stack_status": StackStatus.NOT_TAKEN}, {"receive_stack": SENT}, {"receive_stack": SENT_AGAIN}],
    ids=["not taken", "the same stack", "the same trace"],
)
def test_an_equal_or_missing_receive_stack_is_not_shown(changes: dict[str, Any]) -> None:
    assert receive_block(replace(CALL, **changes)) == []


def test_json_has_the_stacks_of_both_sides() -> None:
    one_side = replace(CALL, receive_stack_status=StackStatus.NOT_TAKEN)

    parsed = json.loads(json_text(reported(capture_of(CALL, one_side)), "run.cap"))

    both, one = parsed["calls"]
    assert [frame["address"] for frame in parsed["stacks"][both["trace"]]["frames"]] == [TEXT]
    assert [frame["address"] for frame in parsed["stacks"][both["receive_trace"]]["frames"]] == [TEXT + 0x20, 0x1234]
    assert (both["receive_tid"], one["receive_trace"]) == (7, None)


def test_frames_are_counted_as_often_as_they_are_shown() -> None:
    counts = naming(reported(capture_of(CALL, CALL, replace(CALL, receive_stack=SENT_AGAIN))))
    assert (counts.traces, counts.frames) == (5, 3 * 1 + 2 * 2)


def test_folded_stacks_are_those_of_the_side_that_sends() -> None:
    alone = replace(CALL, receive_stack_status=StackStatus.NOT_TAKEN)
    assert folded_lines(reported(capture_of(CALL))) == folded_lines(reported(capture_of(alone)))


def test_a_stack_is_unwound_once_whatever_its_sides(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    unwind = Symbolizer.stack_trace

    def counted(self: Symbolizer, one: Stack, process_names: Collection[bytes]) -> StackTrace:
        asked.append(one.id)
        return unwind(self, one, process_names)

    monkeypatch.setattr(Symbolizer, "stack_trace", counted)
    report = reported(capture_of(*[CALL] * 50, replace(CALL, stack=RECEIVED, receive_stack=SENT)))

    assert sorted(asked) == [SENT, RECEIVED]
    assert len(report.traces) == 2
