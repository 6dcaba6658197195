"""Check that a bar shows the progress of reading on a terminal after a second, and otherwise nothing is printed."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

from httpreport.common.progress import ProgressBar
from httpreport.report.aggregate import Request, read_report
from support.pseudo_terminal import on_terminal
from support.recordings import Row, capture, stack

CAPTURE = Path(__file__).parent / "data" / "python_http.cap"
BAR = "\N{BOX DRAWINGS HEAVY HORIZONTAL}".encode()


TERMINAL = {"TERM": "xterm-256color", "PYTHONIOENCODING": "utf-8"}


def program(quiet_s: float, out: Path, *options: str) -> list[str]:
    """Return a command that runs httpreport with another QUIET_S, and that looks at the clock for each call that it
    writes."""
    imports = "from httpreport.cli import main; from httpreport.common import progress"
    run = f"{imports}; progress.QUIET_S = {quiet_s}; progress.ITEMS = 1; main.main()"
    return [sys.executable, "-c", run, str(CAPTURE), "-f", "-o", str(out), *options]


def test_work_that_takes_longer_shows_a_bar_and_takes_it_away(tmp_path: Path) -> None:
    shown = on_terminal(program(-1, tmp_path), TERMINAL)

    assert BAR in shown
    assert str(CAPTURE).encode() in shown
    assert b"\x1b[2K" in shown  # the line is erased


def test_what_is_written_call_by_call_has_a_bar_too(tmp_path: Path) -> None:
    shown = on_terminal(program(-1, tmp_path, "--csv", str(tmp_path / "run.csv")), TERMINAL)
    for what in (b"stack_traces.txt ", b"--csv "):
        assert re.search(re.escape(what) + rb"(\x1b\[[0-9;]*m)*" + BAR, shown), what


def test_one_bar_at_a_time(tmp_path: Path) -> None:
    """There are several captures, and their names could be a format pattern."""
    again = tmp_path / "{0}.cap"
    shutil.copy(CAPTURE, again)
    shown = on_terminal(program(-1, tmp_path, str(again)), TERMINAL)
    reading, writing = (
        [one.start() for one in re.finditer(what, shown)] for what in (b"2 captures ", rb"\.txt .*" + BAR)
    )
    assert reading
    assert max(reading) < min(writing)
    assert b"{0}.cap" in on_terminal([*program(-1, tmp_path)[:3], str(again), "-f", "-o", str(tmp_path)], TERMINAL)


def test_a_document_on_the_terminal_has_none_in_it(tmp_path: Path) -> None:
    shown = on_terminal(program(-1, tmp_path, "--json"), TERMINAL)
    document, _ = json.JSONDecoder().raw_decode(shown[shown.index(b"{\r\n") :].decode())
    assert document["calls"]


def test_short_work_shows_none(tmp_path: Path) -> None:
    assert BAR not in on_terminal(program(3600, tmp_path), TERMINAL)


def test_where_no_colour_is_wanted_the_bar_has_none(tmp_path: Path) -> None:
    shown = on_terminal(program(-1, tmp_path), {**TERMINAL, "NO_COLOR": "1"})

    assert BAR in shown
    assert not re.search(rb"\x1b\[[0-9;]*(3[0-7]|38;)", shown)


def test_no_bar_is_shown_without_a_terminal(tmp_path: Path) -> None:
    assert subprocess.run(program(-1, tmp_path), check=True, capture_output=True).stderr == b""


def test_stacks_that_are_read_again_do_not_advance_a_bar_that_has_ended(tmp_path: Path) -> None:
    class Counting(ProgressBar):
        advanced = 0

        def advance(self, size: int) -> None:
            self.advanced += size

    path = tmp_path / "run.cap"
    path.write_bytes(capture([Row()], records=[stack(0x1000)]))
    bar = Counting("reading", 1)
    report = read_report(str(path), Request(0), bar)
    advanced = bar.advanced

    assert list(report.recording.stacks)

    assert bar.advanced == advanced > 0
