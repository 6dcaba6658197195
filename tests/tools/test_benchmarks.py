"""Check that every benchmark can be started: what it imports is there. `make bench` is too long for every test run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = sorted((Path(__file__).parents[1] / "bench").glob("bench_*.py"))
IMPORT = "import runpy, sys; sys.path.insert(0, sys.argv[1]); runpy.run_path(sys.argv[2], run_name='imported')"


@pytest.mark.parametrize("benchmark", BENCHMARKS, ids=lambda path: path.stem)
def test_a_benchmark_finds_what_it_imports(benchmark: Path) -> None:
    """It must find it from its own folder alone, as when it is run by its path."""
    command = [sys.executable, "-P", "-c", IMPORT, str(benchmark.parent), str(benchmark)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
