"""Run the fuzzer of modules and stacks briefly."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import httpreport

FUZZ = Path(__file__).parents[1] / "fuzz" / "fuzz_modules.py"


def test_a_short_run_finds_nothing(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(httpreport.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, str(FUZZ), "5"], capture_output=True, text=True, cwd=tmp_path, env=environment, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.match(r"[1-9]\d* inputs; slowest [\d.]+ ms", done.stdout)  # how many depends on the machine
