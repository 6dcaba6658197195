"""Say whether tests can record on this machine."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


def needs_a_recorder() -> None:
    """Skip the test unless httprec can record here by tracepoints."""
    if os.geteuid() != 0:
        pytest.skip("not root: cannot record")
    checked = subprocess.run([sys.executable, "-m", "httprec", "--check"], capture_output=True, text=True, check=False)
    if "tracepoint        ok" not in checked.stdout:
        pytest.skip(f"this kernel has not the tracepoints: {checked.stdout}")
