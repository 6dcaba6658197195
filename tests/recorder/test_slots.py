"""Record calls of which more wait on one processor than it keeps slots for their stacks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from httpbpf.program import FEW_SLOTS
from support.commands import TESTS, environment
from support.slot_checks import assert_only_the_last_call_found_no_slot
from workload.idle_slots import KEPT


def test_no_call_goes_without_a_slot_that_another_processor_keeps(tmp_path: Path) -> None:
    """tests/vm/test_slots.py shows it with four processors."""
    assert KEPT == FEW_SLOTS
    command = [sys.executable, "-m", "workload.idle_slots", str(tmp_path), "tracepoint"]
    subprocess.run(command, env=environment(TESTS), check=True)
    processors = len(os.sched_getaffinity(0))
    assert processors > 1
    assert_only_the_last_call_found_no_slot(tmp_path / "slots-tracepoint.cap", processors)
