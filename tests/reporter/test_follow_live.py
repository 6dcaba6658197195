"""Follow capture files that grow, end, are replaced or are none, on a terminal and into a pipe."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from httpreport.follow import growing
from httpreport.follow.growing import GrowingCapture
from httpreport.follow.window import size_of
from support.command_line import run
from support.growing import asked, written_in_turns
from support.pseudo_terminal import used_terminal

CALLS = [asked(1, "/users/17", 100), asked(2, "/users/18", 300), asked(3, "/health", 350)]
BEGUN = written_in_turns([CALLS[:2]], {}, has_end=False)
WHOLE = written_in_turns([CALLS[:2], CALLS[2:]], {})
FOLLOW = [sys.executable, "-m", "httpreport", "--follow"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "run.cap"
    path.write_bytes(BEGUN)
    return path


def grow(path: Path) -> None:
    """Write the rest of the capture. What was there before stays as it was."""
    same = written_in_turns([CALLS[:2], CALLS[2:]], {}, has_end=False)
    assert WHOLE.startswith(same)
    with open(path, "r+b") as file:
        file.write(WHOLE)


def test_a_terminal_shows_a_capture_that_grows_and_obeys_keys(path: Path) -> None:
    path.write_bytes(WHOLE[: len(WHOLE) // 2])
    size = {"TERM": "xterm", "COLUMNS": "120", "LINES": "30"}
    with used_terminal([*FOLLOW, str(path)], size) as terminal:
        before = terminal.settings
        terminal.until(b"0 lost so far")
        grow(path)
        shown = terminal.until(b"the recording has ended")
        assert b"3 calls" in shown
        terminal.press(b"/heal\r\r")
        terminal.until(b"client GET /health at api:80: the longest calls")
        terminal.press(b"\x1b[Bq")
        left = terminal.until(b"client GET /users/{n} at api:80")
        assert b"\x1b[?1049l" in left  # the terminal's own screen is back
        assert terminal.settings == before
    assert terminal.process.returncode == 0


def test_a_pipe_gets_lines_until_the_user_ends_it(path: Path) -> None:
    program = ["env", "--default-signal=INT", *FOLLOW, str(path)]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().split() == b"UTC so far status who what".split()
        assert process.stdout.readline().endswith(b"GET /users/17\n")
        process.send_signal(signal.SIGINT)
        assert process.stdout.read().endswith(b"GET /users/18\n")
        said = process.stderr.read().splitlines()
    assert said == [f"{path} on web-1: 302 ms recorded, 0 lost so far".encode(), b"2 calls"]
    assert process.returncode == 0


def test_a_capture_that_has_ended_is_told_at_once_with_the_filters_of_a_report(path: Path) -> None:
    path.write_bytes(WHOLE)
    result = run("--follow", path, "-t", "200", "--path", "/users/*")
    heads, call = result.stdout.splitlines()
    assert heads.split()[1] == "took"
    assert call.split()[1:] == ["300", "ms", "200", "nova-api", ">", "192.168.1.20:80", "GET", "/users/18"]
    assert "1 call of 200 ms or more (path /users/*), out of 3\n" in result.stderr
    assert result.exit_code == 0


def test_damage_ends_it_and_is_told(path: Path) -> None:
    path.write_bytes(BEGUN + b"damaged")
    result = run("--follow", path, "--strict")
    assert len(result.stdout.splitlines()) == 3
    assert f"{path}: damaged at byte {len(BEGUN)}: no zstd frame begins here" in result.stderr
    assert result.exit_code == 3


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot follow {}: there is no such file: start httprec -o {} first"),
        (b"", "{} is empty: follow it once httprec says that it records"),
        (b"#!/bin/sh\n", "{}: not a capture, it does not begin as a capture does: give the file that httprec -o wrote"),
        (WHOLE[:60], "{}: damaged at byte 24: the file ends here, before META: nothing was recorded or copied"),
    ],
)
def test_what_cannot_be_followed_is_told_in_one_line(tmp_path: Path, content: bytes | None, said: str) -> None:
    path = tmp_path / "other.cap"
    if content is not None:
        path.write_bytes(content)
    result = run("--follow", path)
    assert result.stderr.startswith(f"httpreport: {said.replace('{}', str(path))}")
    assert (result.stderr.count("\n"), result.exit_code) == (1, 1)


@pytest.mark.parametrize("more", [["--json"], ["--info"], ["--verify"], ["-o", "."], ["--baseline", "b"], ["c.cap"]])
def test_a_view_is_no_report(path: Path, more: list[str]) -> None:
    assert run("--follow", path, *more).exit_code == 2


def test_what_happens_to_the_file_is_noticed(path: Path) -> None:
    with GrowingCapture(str(path)) as capture:
        capture.take()
        assert capture.changed() == ""
        os.truncate(path, len(BEGUN) - 1)
        assert capture.changed().startswith(f"{path} became shorter")
        path.unlink()
        assert capture.changed().startswith(f"{path} was removed or renamed")
        path.write_bytes(WHOLE)
        assert capture.changed() == f"{path} was replaced by another file: start again to follow that one"


def test_a_capture_that_rests_is_noticed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growing, "QUIET_S", -1)
    with GrowingCapture(str(path)) as capture:
        assert capture.resting() == "nothing was written for 0 s: no call, or no recorder"


def test_a_large_capture_is_read_in_pieces(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growing, "AT_ONCE", 3)
    grow(path)
    with GrowingCapture(str(path)) as capture:
        pieces = [capture.take()]
        while capture.has_more:
            pieces.append(capture.take())
        assert not capture.take()
    assert len(pieces) > 2
    assert max(sum(map(size_of, piece[:-1])) for piece in pieces) < 3
