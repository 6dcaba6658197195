"""Check that full, closed or unread standard streams and full disks are reported in one line, and leave no file."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from httpcapture import Lost
from httpreport.common import tuning
from httpreport.outputs.output import Destination
from httpreport.outputs.registry import outputs_to
from support.recordings import MS, TEXT, Row, capture, process, stack

HTTPREPORT = f"{shlex.quote(sys.executable)} -P -m httpreport"
READER_GONE = 141  # 128 + SIGPIPE


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with two captures, one of which, b.cap, causes a warning."""
    folder = tmp_path / "home"
    folder.mkdir()
    rows = [Row(duration_ns=(250 + number) * MS, sequence=number) for number in range(9)]
    (folder / "a.cap").write_bytes(capture(rows, [process(), stack(TEXT)]))
    (folder / "b.cap").write_bytes(capture(rows, [process(), stack(TEXT), Lost(1, {"call_ring_full": 4})]))
    return folder


def write_more(path: Path) -> None:
    """Write a capture of several KiB whose report is longer still."""
    rows = [Row(duration_ns=(250 + number) * MS, sequence=number, tid=number * 7919 % 65537) for number in range(999)]
    path.write_bytes(capture(rows, [process(), stack(TEXT)]))


def shell(folder: Path, command: str) -> subprocess.CompletedProcess[str]:
    """Run a command in bash, where `httpreport` is the tested one. The exit status is that of the first program in a
    pipe."""
    script = f'httpreport() {{ {HTTPREPORT} "$@"; }}\n{command}\nexit "${{PIPESTATUS[0]}}"'
    return subprocess.run(["bash", "-c", script], cwd=folder, capture_output=True, text=True, check=False)


PRINTING = [
    "a.cap",
    "a.cap b.cap",
    "a.cap --json",
    "a.cap b.cap --json --jobs 1",
    "a.cap --baseline b.cap",
    "a.cap --baseline b.cap --json",
    "a.cap --info",
    "a.cap --verify",
    "a.cap --redact -",
    "a.cap --redact x",
    *(f"a.cap {output.option} -" for output in outputs_to(Destination.FILE)),
    "a.cap b.cap --csv - --jobs 1",
    "a.cap --baseline b.cap --svg -",
    "--help",
    "--version",
]
SOME = ["a.cap", "a.cap --json", "a.cap --info", "a.cap --redact -", "a.cap --html -", "--help", "--version"]


@pytest.mark.parametrize("options", PRINTING)
def test_a_full_standard_output_is_one_line(options: str, folder: Path) -> None:
    done = shell(folder, f"httpreport {options} >/dev/full")

    assert done.stderr == "httpreport: cannot write to standard output: No space left on device\n"
    assert done.returncode == 1


@pytest.mark.parametrize("options", SOME)
def test_a_closed_standard_output_is_one_line(options: str, folder: Path) -> None:
    done = shell(folder, f"httpreport {options} >&-")

    assert done.stderr == "httpreport: cannot write to standard output: it is closed\n"
    assert done.returncode == 1


@pytest.mark.parametrize("options", SOME)
def test_a_reader_who_has_gone_is_no_failure_to_talk_about(options: str, folder: Path) -> None:
    """The reader of the pipe leaves before anything is written."""
    command = f"{{ until [ -e gone ]; do sleep 0.01; done; httpreport {options}; }} | {{ exec <&-; >gone; }}"

    done = shell(folder, command)

    assert (done.returncode, done.stdout, done.stderr) == (READER_GONE, "", "")


@pytest.mark.parametrize("options", ["b.cap --json", "b.cap --csv -", "nothing.cap"])
@pytest.mark.parametrize("standard_error", ["2>/dev/full", "2>&-"])
def test_a_standard_error_that_takes_nothing_is_a_failure(options: str, standard_error: str, folder: Path) -> None:
    assert shell(folder, f"httpreport {options} {standard_error}").returncode == 1


@pytest.mark.parametrize("standard_error", ["2>/dev/full", "2>&-"])
def test_a_standard_error_that_is_not_needed_may_take_nothing(standard_error: str, folder: Path) -> None:
    done = shell(folder, f"httpreport a.cap --json {standard_error}")

    assert (done.returncode, json.loads(done.stdout)["ledger"]["kept"]) == (0, 9)


def test_no_file_is_taken_for_a_standard_stream_that_is_closed(folder: Path) -> None:
    """Otherwise, text for descriptor 1 or 2 would go into the first file that is opened."""
    shell(folder, "httpreport a.cap -o whole")

    shell(folder, "httpreport a.cap --redact x <&- >&- 2>&-; httpreport a.cap -o closed <&- >&- 2>&-")

    for name in ("stack_traces.txt", "stacks.folded"):
        assert (folder / "closed" / name).read_bytes() == (folder / "whole" / name).read_bytes()
    assert shell(folder, "httpreport --verify x").returncode == 0


@pytest.mark.parametrize("options", ["-", "- --info", "- --verify", "- --redact x"])
def test_a_standard_input_that_is_closed_is_one_line(options: str, folder: Path) -> None:
    done = shell(folder, f"httpreport {options} <&-")

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "httpreport: cannot read standard input: Bad file descriptor\n"


def test_a_pipe_that_does_not_wait_gets_all(folder: Path) -> None:
    """Another program may have made it non-blocking."""
    unblocked = "import os, sys; os.set_blocking(1, False); os.execv(sys.argv[1], sys.argv[1:])"
    command = (
        f"{shlex.quote(sys.executable)} -c '{unblocked}' {HTTPREPORT} "
        'a.cap --html - | { read -r; echo "$REPLY"; cat; } >piped'
    )

    done = shell(folder, f"httpreport a.cap --html whole\n{command}")

    assert done.returncode == 0
    assert (folder / "piped").read_bytes() == (folder / "whole").read_bytes()
    assert (folder / "whole").stat().st_size > 1 << 17  # more than a pipe takes


WRITING = [
    "a.cap",
    "a.cap b.cap",
    "a.cap --baseline b.cap",
    "a.cap --redact x",
    *(f"a.cap {output.option} x" for output in outputs_to(Destination.FILE)),
    "a.cap --baseline b.cap --html x",
]


@pytest.mark.parametrize("options", WRITING)
def test_a_file_that_cannot_be_written_is_one_line_and_leaves_nothing(options: str, folder: Path) -> None:
    """A limit on file sizes makes the same write fail as a full disk does, with EFBIG instead of ENOSPC."""
    before = sorted(os.listdir(folder))

    done = shell(folder, f"ulimit -f 0; httpreport {options}")

    assert (done.returncode, done.stdout, sorted(os.listdir(folder))) == (1, "", before)
    assert re.fullmatch(r"httpreport: cannot write (?!None)\S.*: File too large; .*\n", done.stderr), done.stderr


@pytest.mark.parametrize("options", ["a.cap b.cap --json", "a.cap b.cap --csv - --jobs 1", "--verify - < <(cat a.cap)"])
def test_a_temporary_file_that_cannot_be_written_is_one_line_and_leaves_nothing(options: str, folder: Path) -> None:
    (folder / "tmp").mkdir()
    write_more(folder / "a.cap")

    done = shell(folder, f"export TMPDIR=$PWD/tmp; ulimit -f 1; httpreport {options}")

    assert (done.returncode, done.stdout, os.listdir(folder / "tmp")) == (1, "", [])
    assert re.fullmatch(rf"httpreport: cannot .* in {folder}/tmp: File too large; .*\n", done.stderr), done.stderr


def test_spools_of_many_captures_that_cannot_be_merged_are_one_line(folder: Path) -> None:
    """If there are more captures than files can be open at a time, spools are merged while the output is written."""
    for number in range(tuning.SPOOLS_MERGED_AT_ONCE + 1):
        (folder / f"{number}.cap").write_bytes((folder / "a.cap").read_bytes())

    done = shell(folder, "export TMPDIR=$PWD; ulimit -f 9; httpreport . --csv - --jobs 1 >/dev/null")

    assert done.returncode == 1
    assert re.fullmatch(rf"httpreport: cannot write temporary files in {folder}: File too large; .*\n", done.stderr)
    assert not [name for name in os.listdir(folder) if not name.endswith(".cap")]


def test_a_file_that_does_not_fit_leaves_the_one_that_it_would_replace(folder: Path) -> None:
    write_more(folder / "a.cap")
    (folder / "stack_traces.txt").write_text("mine")

    done = shell(folder, "ulimit -f 9; httpreport a.cap -f")

    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert (folder / "stack_traces.txt").read_text() == "mine"
    assert sorted(os.listdir(folder)) == ["a.cap", "b.cap", "stack_traces.txt"]
