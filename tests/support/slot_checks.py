"""Check that no call went without a slot for its stack while slots lay idle on other processors."""

from __future__ import annotations

from pathlib import Path

from httpcapture import open_capture
from httpreport.calls.filters import Selection
from httpreport.capture.loader import load
from workload.idle_slots import KEPT


def assert_only_the_last_call_found_no_slot(capture: Path, processors: int) -> None:
    with open_capture(capture) as reader:
        recording = load(reader, Selection(0))
    slots = KEPT * (processors - 1)
    assert len(recording.calls) == 2 * slots + 1
    assert recording.lost == {"stack_slots_used_up": 1}
    copies = [stack for _, stack in recording.stacks.some(recording.calls["stack"].tolist()) if stack.memory]
    assert len(copies) == 2 * slots
