"""Check that a recording goes on, and reports it, when standard output or standard error is full, closed or without a
reader."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from support.commands import SYNTHETIC_HTTPREC, TESTS, environment, read

READER_GONE = 141  # 128 + SIGPIPE


def shell(folder: Path, command: str) -> subprocess.CompletedProcess[str]:
    """Run a command in bash, where `httprec` has endless calls from a simulated kernel. The exit status is that of the
    first program in a pipe."""
    program = shlex.join(SYNTHETIC_HTTPREC)
    script = f'httprec() {{ {program} --modules none "$@"; }}\n{command}\nexit "${{PIPESTATUS[0]}}"'
    return subprocess.run(
        ["bash", "-c", script], cwd=folder, env=environment(TESTS), capture_output=True, text=True, check=False
    )


def check_recording(path: Path) -> None:
    """Check that the recording went on for as long as was asked for."""
    found = read(path)
    assert found.end is not None and found.cut_off is None
    assert (found.end.reason, found.end.recorded) == ("size", found.calls)
    assert path.stat().st_size >= 1 << 20


INSTEAD = ["--help", "--version", "--check"]
RECORD = "httprec -o run.cap --max-size 1 -t 0"


@pytest.mark.parametrize("option", INSTEAD)
@pytest.mark.parametrize(
    ("standard_output", "reason"), [(">/dev/full", "No space left on device"), (">&-", "it is closed")]
)
def test_what_cannot_be_printed_is_one_line(option: str, standard_output: str, reason: str, tmp_path: Path) -> None:
    done = shell(tmp_path, f"httprec {option} {standard_output}")

    assert (done.returncode, done.stderr) == (1, f"httprec: cannot write to standard output: {reason}\n")


@pytest.mark.parametrize("option", INSTEAD)
def test_a_reader_who_has_gone_is_no_failure_to_talk_about(option: str, tmp_path: Path) -> None:
    command = f"{{ until [ -e gone ]; do sleep 0.01; done; httprec {option}; }} | {{ exec <&-; >gone; }}"

    done = shell(tmp_path, command)

    assert (done.returncode, done.stdout, done.stderr) == (READER_GONE, "", "")


@pytest.mark.parametrize(
    ("standard_output", "reason"), [(">/dev/full", "No space left on device"), (">&-", "it is closed")]
)
@pytest.mark.parametrize("quiet", ["", "-q"])
def test_a_recording_goes_on_without_its_console(quiet: str, standard_output: str, reason: str, tmp_path: Path) -> None:
    done = shell(tmp_path, f"{RECORD} {quiet} {standard_output}")

    heads, stacks, first, summary, following = done.stderr.splitlines()
    assert done.returncode == 1
    assert heads == (
        "The heads of slow calls are recorded: of HTTP/1, up to 512 bytes of requests and 256 of responses, of "
        "HTTP/2 in clear text whole heads, without queries, without what looks like a token in paths, without header "
        "lines that may carry secrets"
    )
    assert stacks == "Stacks are copied, and the copies may hold secrets of the programs; --stack fp copies none"
    assert first == (
        f"httprec: cannot write to standard output: {reason}; the recording goes on, but its calls are not printed"
    )
    assert " calls, " in summary
    assert following.startswith("Next, on your machine: scp ") and following.endswith(" && httpreport run.cap")
    check_recording(tmp_path / "run.cap")


def test_a_recording_goes_on_without_the_one_who_looked_on(tmp_path: Path) -> None:
    done = shell(tmp_path, f"{RECORD} | head -n 3")

    assert done.returncode == 0
    assert done.stdout.startswith("Tracing... Hit Ctrl-C to end.") and done.stdout.count("\n") == 3
    assert " calls, " in done.stderr and done.stderr.endswith(" && httpreport run.cap\n")
    assert "Exception" not in done.stderr and "httprec: " not in done.stderr
    check_recording(tmp_path / "run.cap")


@pytest.mark.parametrize("standard_error", ["2>/dev/full", "2>&-"])
@pytest.mark.parametrize("quiet", ["-q", ""])
def test_a_recording_goes_on_without_standard_error(quiet: str, standard_error: str, tmp_path: Path) -> None:
    done = shell(tmp_path, f"{RECORD} {quiet} {standard_error}")

    assert done.returncode == 1
    assert done.stdout.startswith("Tracing... ")
    check_recording(tmp_path / "run.cap")


def test_parts_go_on_without_standard_error(tmp_path: Path) -> None:
    """Deletions of older parts are printed there."""
    done = shell(tmp_path, "httprec -o run.cap --rotate-size 1 --rotate-keep 2 --max-size 6 -q -t 0 2>/dev/full")

    *parts, last = sorted(tmp_path.glob("run.*.cap"))
    assert (done.returncode, len(parts)) == (1, 1)
    assert read(last).end is not None and parts[0].name > "run.00002.cap"


@pytest.mark.parametrize("standard_error", ["2>/dev/full", "2>&-"])
def test_a_capture_on_standard_output_is_whole_without_standard_error(standard_error: str, tmp_path: Path) -> None:
    """The calls would be printed there."""
    done = shell(tmp_path, f"httprec -o - --max-size 1 -t 0 {standard_error} >run.cap")

    assert done.returncode == 1
    check_recording(tmp_path / "run.cap")


def test_no_file_is_taken_for_a_standard_stream_that_is_closed(tmp_path: Path) -> None:
    """Otherwise, text for descriptor 1 or 2 would go into the first file that is opened."""
    done = shell(tmp_path, f"{RECORD} <&- >&- 2>&-")

    assert done.returncode == 1
    check_recording(tmp_path / "run.cap")


def test_a_capture_has_no_place_on_a_standard_output_that_is_closed_or_full(tmp_path: Path) -> None:
    closed = shell(tmp_path, "httprec -o - >&-")
    full = shell(tmp_path, "httprec -o - >/dev/full")

    assert (closed.returncode, full.returncode) == (1, 1)
    assert closed.stderr == (
        "httprec: -o - cannot write to standard output, which is closed: redirect it to a file or a pipe\n"
    )
    assert full.stderr.splitlines()[-1].startswith("httprec: cannot write standard output: No space left on device; ")


def test_a_console_that_does_not_wait_gets_every_call(tmp_path: Path) -> None:
    """Another program may have made it non-blocking."""
    unblocked = "import os, sys; os.set_blocking(1, False); os.execv(sys.argv[1], sys.argv[1:])"
    command = (
        f"{shlex.quote(sys.executable)} -c '{unblocked}' {shlex.join(SYNTHETIC_HTTPREC)} "
        "--modules none -o run.cap --max-size 1 -t 0"
    )

    done = shell(tmp_path, f"{command} | {{ sleep 1; cat >printed; }}")

    check_recording(tmp_path / "run.cap")
    assert done.returncode == 0
    assert (tmp_path / "printed").read_text().count("\nDuration: ") == read(tmp_path / "run.cap").calls
