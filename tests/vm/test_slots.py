"""Record calls on four processors, of which more wait on one than it keeps slots for their stacks.

tests/recorder/test_slots.py does so on the processors that the running kernel has.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from support.slot_checks import assert_only_the_last_call_found_no_slot
from vm import recorded

PROCESSORS = 4


@pytest.mark.every_kernel
@pytest.mark.parametrize("probes", ["fexit", "kprobe"])
def test_no_call_goes_without_a_slot_that_another_processor_keeps(tmp_path: Path, probes: str) -> None:
    command = ["python3", "-m", "workload.idle_slots", "/tmp/out", probes]
    recorded.run(command, [recorded.TESTS / "workload"], tmp_path, cpus=PROCESSORS)
    assert_only_the_last_call_found_no_slot(tmp_path / f"slots-{probes}.cap", PROCESSORS)
