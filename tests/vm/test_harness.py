"""Check the harness itself: a job's files come back, failures are reported, and cached entries fit their inputs."""

from __future__ import annotations

import errno
import multiprocessing
import os
import re
import time
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from vm import cache, guest, sources
from vm.apt import Package
from vm.image import image_key
from workload.waiting import wait_until

JOB = """\
set -e
python3 -c 'import bcc, msgpack, zstandard, click, eventlet, requests, aiohttp'
nginx -v && gunicorn --version && node -e 'new Intl.NumberFormat()' && curl --version && ps --version
(id; pwd; cat given/input) >/tmp/out/seen
mkdir /tmp/out/folder
printf 'a\\0b' >/tmp/out/folder/bytes
touch /usr/left-behind
exit 42
"""


@dataclass(frozen=True)
class Job:
    """Describe a job that ends well only if the programs and modules of the guest work."""

    out: Path
    result: guest.Result


def make_job(folder: Path, script: str) -> Path:
    folder.mkdir()
    (folder / "run.sh").write_text(script)
    return folder


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    folder = tmp_path_factory.mktemp("guest")
    job_dir = make_job(folder / "job", JOB)
    (job_dir / "given").mkdir()
    (job_dir / "given" / "input").write_text("given to the job\n")
    return Job(folder / "out", guest.run(job_dir, folder / "out"))


def test_exit_code_and_files_of_a_job_come_back(job: Job) -> None:
    assert job.result.exit_code == 42, job.result.console
    assert (job.out / "folder" / "bytes").read_bytes() == b"a\0b"
    assert sorted(path.name for path in job.out.iterdir()) == ["folder", "seen"]


def test_a_job_runs_as_root_in_a_copy_of_its_folder(job: Job) -> None:
    identity, folder, given = (job.out / "seen").read_text().splitlines()
    assert identity.startswith("uid=0(root)")
    assert (folder, given) == ("/tmp/job", "given to the job")


def test_a_guest_that_falls_silent_is_killed_and_its_last_words_told(job: Job, tmp_path: Path) -> None:
    """The guest is suspended, and nothing will wake it."""
    hang = "ls /usr/left-behind; echo about to hang; echo mem >/sys/power/state"
    booted = re.search(r"runs the job, ([\d.]+) s after", job.result.console)
    assert booted
    silence_s = max(20.0, 5 * float(booted[1]))
    with pytest.raises(guest.GuestError) as caught:
        guest.run(make_job(tmp_path / "job", hang), tmp_path / "out", silence_s=silence_s)
    message = str(caught.value)
    assert message.startswith(f"the guest was killed: it had been silent for {silence_s:g} s; its console ended with")
    assert "\nabout to hang\n" in message
    assert "/usr/left-behind: No such file" in message


def test_a_guest_whose_job_says_nothing_is_heard_all_the_same(tmp_path: Path) -> None:
    job_dir = make_job(tmp_path / "job", "printf 'no new '; sleep 21; echo line")
    result = guest.run(job_dir, tmp_path / "out")
    assert "\nno new line\n" in result.console
    assert result.heartbeats >= 4


def shell(script: str) -> list[str]:
    """Return a shell script that stands in for a guest."""
    return ["sh", "-c", script]


def test_what_is_never_silent_for_long_may_take_any_time() -> None:
    """It takes twice as long as one silence may last."""
    speaks = "for i in $(seq 12); do printf '\\0'; sleep 0.5; done; echo done"
    assert guest.listen(shell(speaks), silence_s=3, timeout_s=600) == "\0" * 12 + "done\n"


def test_what_goes_on_for_ever_is_killed_in_the_end() -> None:
    speaks_for_ever = "echo about to go on; while :; do printf '\\0'; sleep 0.1; done"
    with pytest.raises(guest.GuestError) as caught:
        guest.listen(shell(speaks_for_ever), silence_s=600, timeout_s=5)
    message = str(caught.value)
    assert "limit: 5 s" in message
    assert message.splitlines()[-1] == "about to go on"


def is_open(fifo: Path) -> bool:
    """Return whether a process still reads from it."""
    try:
        os.close(os.open(fifo, os.O_WRONLY | os.O_NONBLOCK))
    except OSError as error:
        assert error.errno == errno.ENXIO
        return False
    return True


def test_nothing_of_what_was_killed_runs_on(tmp_path: Path) -> None:
    fifo = tmp_path / "open"
    os.mkfifo(fifo)
    with pytest.raises(guest.GuestError, match="silent for 2 s"):
        guest.listen(shell(f"exec sleep 1000 3<>'{fifo}'"), silence_s=2, timeout_s=600)

    wait_until("the killed process to be gone", lambda: not is_open(fifo))


def test_a_guest_does_not_outlive_its_harness(tmp_path: Path) -> None:
    fifo = tmp_path / "open"
    os.mkfifo(fifo)
    command = ["sh", "-c", f"exec sleep 1000 3<>'{fifo}'"]
    harness = multiprocessing.Process(target=guest.listen, args=[command], kwargs={"silence_s": 600, "timeout_s": 600})
    harness.start()
    wait_until("the guest to begin", lambda: is_open(fifo))
    harness.kill()
    wait_until("the guest to be gone", lambda: not is_open(fifo))


def test_a_guest_that_breaks_down_is_told_with_its_last_words() -> None:
    with pytest.raises(guest.GuestError, match=r"exit status 3; its console ended with\nbroken$"):
        guest.listen(shell("echo broken; exit 3"), silence_s=600, timeout_s=600)


def test_a_kernel_panic_is_told_with_the_console(tmp_path: Path) -> None:
    job_dir = make_job(tmp_path / "job", "echo c >/proc/sysrq-trigger")
    with pytest.raises(guest.GuestError, match=r"^Kernel panic.*sysrq.*, before the job did"):
        guest.run(job_dir, tmp_path / "out")


def test_an_image_key_changes_with_each_input() -> None:
    package = Package("nginx", "1.22.1-9", "amd64")
    keys = [
        image_key("bookworm", [package], "init"),
        image_key("trixie", [package], "init"),
        image_key("bookworm", [replace(package, version="1.22.1-10")], "init"),
        image_key("bookworm", [package, replace(package, name="curl")], "init"),
        image_key("bookworm", [package], "another init"),
    ]
    assert len(set(keys)) == len(keys)
    assert image_key("bookworm", [replace(package)], "init") == keys[0]


def use_slow_entry(kind: str) -> None:
    def build(space: Path) -> Path:
        time.sleep(0.2)
        with open(cache.folder() / "builds", "a") as log:
            log.write("built\n")
        (space / "file").write_text("content")
        return space / "file"

    assert cache.entry(kind, "key", build, keep=1).read_text() == "content"


def test_an_entry_that_two_processes_want_is_built_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPREC_GUEST_CACHE", str(tmp_path))
    processes = [multiprocessing.Process(target=use_slow_entry, args=("kind",)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    assert (tmp_path / "builds").read_text() == "built\n"


def test_a_build_that_fails_leaves_no_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPREC_GUEST_CACHE", str(tmp_path))

    def build(space: Path) -> Path:
        (space / "file").write_text("half")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        cache.entry("kind", "key", build, keep=1)
    use_slow_entry("kind")


def test_entries_used_last_are_kept(tmp_path: Path) -> None:
    for age, name in enumerate(["new", "used", "old", "oldest"]):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (1000 - age, 1000 - age))
    cache.prune(tmp_path, 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "used"]


STANZAS = """\
Types: deb
# a comment
URIs: http://first.example/debian
Suites: bookworm
 bookworm-updates
Components: main contrib

Types: deb
Enabled: no
URIs: http://disabled.example/security
Suites: bookworm-security
Components: main

Types: deb deb-src
URIs: http://second.example/security
Suites: bookworm-security
Components: main
"""
LINES = """\
# deb http://comment.example/debian bookworm main
deb cdrom:[Debian 12]/ bookworm main
deb http://other.example/apt nodistro main
deb-src http://source.example/debian bookworm main
deb [arch=amd64 signed-by=/key] http://third.example/debian trixie main non-free
"""


def test_mirrors_are_read_from_both_notations(tmp_path: Path) -> None:
    (tmp_path / "sources.list").write_text(LINES)
    assert sources.mirrors(tmp_path) == sources.Mirrors("http://third.example/debian", None)
    (tmp_path / "sources.list").unlink()
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list.d" / "debian.sources").write_text(STANZAS)
    found = sources.Mirrors("http://first.example/debian", "http://second.example/security")
    assert sources.mirrors(tmp_path) == found
