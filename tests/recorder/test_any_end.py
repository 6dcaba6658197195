"""Check that every way in which a recording ends prints one clear line and leaves the right exit code and a readable
capture."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Union

import pytest

from support.commands import SYNTHETIC_HTTPREC, TESTS, environment, read
from workload.waiting import HANG_S

MIB = 1 << 20


@contextmanager
def httprec(
    *options: str,
    stdout: Union[int, IO[bytes]] = subprocess.DEVNULL,
    before: Sequence[str] = (),
) -> Iterator[subprocess.Popen[bytes]]:
    command = [*before, *SYNTHETIC_HTTPREC, "-q", "--modules", "none", *options]
    process = subprocess.Popen(command, env=environment(TESTS), stdout=stdout, stderr=subprocess.PIPE)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def failed(process: subprocess.Popen[bytes]) -> str:
    """Return the last line of a recorder that fails, which is the only one that says so."""
    said = process.communicate(timeout=HANG_S)[1].decode()
    assert process.returncode == 1, said
    assert said.count("httprec: ") == 1, said
    return said.splitlines()[-1]


def wait_for_calls(path: Path, process: subprocess.Popen[bytes]) -> None:
    while not path.exists() or path.stat().st_size < 10_000:
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    path = tmp_path / "run.cap"
    with httprec("-o", str(path)) as process:
        wait_for_calls(path, process)
        process.send_signal(number)
        said = process.communicate(timeout=HANG_S)[1].decode()
    found = read(path)
    assert process.returncode == 0 and found.end is not None and found.cut_off is None
    assert (found.end.reason, found.end.recorded) == (number.name, found.calls)
    assert said.splitlines()[-1] == f"Next, on your machine: scp {os.uname().nodename}:{path} . && httpreport run.cap"


def test_it_ends_at_its_size(tmp_path: Path) -> None:
    path = tmp_path / "run.cap"
    with httprec("-o", str(path), "--max-size", "1") as process:
        process.communicate(timeout=HANG_S)
    found = read(path)
    assert process.returncode == 0 and found.end is not None and found.end.reason == "size"
    assert MIB <= path.stat().st_size < 5 * MIB  # what waited in the rings and chunks is written too


def test_parts_end_at_their_size(tmp_path: Path) -> None:
    with httprec("-o", str(tmp_path / "run.cap"), "--rotate-size", "1", "--max-size", "5") as process:
        said = process.communicate(timeout=HANG_S)[1].decode()
    paths = sorted(tmp_path.iterdir())
    assert [path.name for path in paths[:2]] == ["run.00001.cap", "run.00002.cap"]
    copied = f"scp '{os.uname().nodename}:{tmp_path}/run.*.cap' . && httpreport run.*.cap"
    assert process.returncode == 0 and said.splitlines()[-1] == f"Next, on your machine: {copied}"
    assert sorted(tmp_path.glob("run.*.cap")) == paths
    ends = [read(path).end for path in paths]
    assert [end.reason for end in ends if end] == ["rotated"] * (len(paths) - 1) + ["size"]
    assert all(MIB <= path.stat().st_size < 4 * MIB for path in paths[:-1])


def test_a_limit_on_the_file_ends_it(tmp_path: Path) -> None:
    """The same write fails as with a quota, with EFBIG instead of EDQUOT."""
    path = tmp_path / "run.cap"
    with httprec("-o", str(path), before=["prlimit", f"--fsize={4 * MIB}"]) as process:
        line = failed(process)
    assert line.startswith(f"httprec: cannot write {path}: File too large; ") and line.endswith(
        " && httpreport run.cap"
    )
    found = read(path)
    assert found.cut_off and found.stacks > 0 and path.stat().st_size == 4 * MIB


def test_a_reader_that_goes_away_ends_it(tmp_path: Path) -> None:
    path = tmp_path / "run.cap"
    with httprec("-o", "-", stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        path.write_bytes(process.stdout.read(3 * MIB))
        process.stdout.close()
        process.stdout = None
        line = failed(process)
    assert line.startswith("httprec: cannot write standard output: Broken pipe; ")
    found = read(path)
    assert found.cut_off and found.stacks > 0


def test_a_folder_that_is_removed_ends_it(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    with httprec("-o", str(home / "run.cap")) as process:
        wait_for_calls(home / "run.cap", process)
        shutil.rmtree(home)
        line = failed(process)
    assert line.startswith(f"httprec: {home}/run.cap was removed while it was written: ")


def test_a_folder_that_takes_no_more_files_ends_it_after_a_whole_part(tmp_path: Path) -> None:
    with httprec("-o", str(tmp_path / "run.cap"), "--rotate-time", "1") as process:
        wait_for_calls(tmp_path / "run.00001.cap", process)
        *parts, taken = take_the_next_parts_name(tmp_path)
        line = failed(process)
    assert line.startswith(f"httprec: {taken} exists: ")
    found = read(parts[-1])
    assert found.cut_off is None and found.end is not None and found.end.recorded == found.calls > 0


def take_the_next_parts_name(folder: Path) -> list[Path]:
    """Create a folder with the name of the next part, and return the paths of all parts, ending with that folder."""
    parts: list[Path] = []
    for number in itertools.count(1):
        parts.append(folder / f"run.{number:05}.cap")
        with suppress(FileExistsError):
            parts[-1].mkdir()
            return parts
    raise AssertionError
