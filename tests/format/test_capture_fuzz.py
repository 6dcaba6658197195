"""Run the fuzzer of captures briefly."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import httpcapture

FUZZ = Path(__file__).parents[1] / "fuzz" / "fuzz_capture.py"


def test_a_short_run_finds_nothing(tmp_path: Path) -> None:
    path = str(Path(httpcapture.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, str(FUZZ), "4"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.match(r"[1-9]\d* inputs, .*'CorruptRecord': [1-9]", done.stdout)  # how many depends on the machine
