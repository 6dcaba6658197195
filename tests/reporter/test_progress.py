"""A bar shows how far the reading is: on a terminal, after a second; else not a byte."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from pseudo_terminal import on_terminal

CAPTURE = Path(__file__).parent / "data" / "python_http.cap"
BAR = "\N{BOX DRAWINGS HEAVY HORIZONTAL}".encode()


def program(quiet_s: float, out: Path) -> list[str]:
    """httpreport, with another second."""
    run = f"from httpreport import main, progress; progress.QUIET_S = {quiet_s}; main.main()"
    return [sys.executable, "-c", run, str(CAPTURE), "-f", "-o", str(out)]


def test_work_that_takes_longer_shows_a_bar_and_takes_it_away(tmp_path: Path) -> None:
    shown = on_terminal(program(-1, tmp_path), {"TERM": "xterm-256color", "PYTHONIOENCODING": "utf-8"})

    assert BAR in shown
    assert str(CAPTURE).encode() in shown
    assert b"\x1b[2K" in shown  # the line is erased


def test_short_work_shows_none(tmp_path: Path) -> None:
    assert BAR not in on_terminal(program(3600, tmp_path), {"TERM": "xterm-256color", "PYTHONIOENCODING": "utf-8"})


def test_where_no_colour_is_wanted_the_bar_has_none(tmp_path: Path) -> None:
    environment = {"TERM": "xterm-256color", "PYTHONIOENCODING": "utf-8", "NO_COLOR": "1"}

    shown = on_terminal(program(-1, tmp_path), environment)

    assert BAR in shown
    assert not re.search(rb"\x1b\[[0-9;]*(3[0-7]|38;)", shown)


def test_nothing_is_shown_where_there_is_no_terminal(tmp_path: Path) -> None:
    assert subprocess.run(program(-1, tmp_path), check=True, capture_output=True).stderr == b""
