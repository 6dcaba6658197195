"""Check that a killed recorder leaves a readable capture. The fuzzer of the same name kills a thousand."""

from __future__ import annotations

import random
from pathlib import Path

from support.killing import kill_one

RUNS = 100


def test_a_killed_recorder_leaves_all_but_the_last_second(tmp_path: Path) -> None:
    draw = random.Random(4)
    seen = [kill_one(tmp_path / f"{run}.cap", draw) for run in range(RUNS)]
    assert any(0 < recorded < given for recorded, given in seen)  # some were killed in the middle of something
