"""Check that a worker that is killed takes only one task with it, and that no worker outlives its parent."""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from httpreport.cli import workers
from httpreport.cli.workers import KilledWorker, results
from httpreport.common.errors import ReportError
from support.processes import is_alive
from workload.waiting import wait_until


def double(number: int) -> int:
    return 2 * number


def end_if_odd(number: int, how: str) -> int:
    if number % 2:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if how == "exit":
            os._exit(3)
        os.kill(os.getpid(), getattr(signal, how))
    return number


def end_from(first: int, number: int) -> int:
    return end_if_odd(2 * number + (number >= first), "SIGKILL") // 2


def fail(number: int) -> int:
    if number == 2:
        raise FileNotFoundError(2, "No such file", "/a/b")
    return number


def large(number: int) -> bytes:
    return bytes([number]) * (8 << 20)


def pid_after(number: int, path: str) -> int:
    """Signal that the process has begun, wait for a file, and return the pid."""
    Path(path, f"{number}.{os.getpid()}").touch()
    wait_until("the file to go on", Path(path, "go on").exists)
    return os.getpid()


def with_child(path: str, then: str) -> None:
    """Start a process that inherits all descriptors, and wait or be killed."""
    program = f"import pathlib, time; time.sleep(60); pathlib.Path({path!r}, 'child has ended').touch()"
    with subprocess.Popen([sys.executable, "-c", program], close_fds=False) as child:
        try:
            Path(path, "child.new").write_text(str(child.pid))
            Path(path, "child.new").rename(Path(path, "child"))
            if then == "be killed":
                os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(100)
        finally:
            child.kill()


def ignore_sigterm(path: str) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    Path(path, "ignores").touch()
    time.sleep(100)


@pytest.fixture(autouse=True)
def no_worker_is_left() -> Iterator[None]:
    yield
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize("count", [1, 3, 9])
def test_each_task_has_its_result(count: int) -> None:
    assert sorted(results(double, [(number,) for number in range(5)], count)) == [(n, 2 * n) for n in range(5)]


def test_no_task_starts_no_process() -> None:
    assert list(results(double, [], 2)) == []


def test_results_are_larger_than_a_pipe() -> None:
    assert sorted(results(large, [(1,), (2,)], 2)) == [(0, b"\1" * (8 << 20)), (1, b"\2" * (8 << 20))]


@pytest.mark.parametrize(
    ("how", "code", "name"),
    [("SIGKILL", -9, "SIGKILL"), ("SIGSEGV", -11, "SIGSEGV"), ("SIGABRT", -6, "SIGABRT"), ("exit", 3, None)],
)
@pytest.mark.parametrize("count", [1, 2])
def test_of_a_worker_that_is_killed_it_is_known_which_task_it_had(
    how: str, code: int, name: str | None, count: int
) -> None:
    found = dict(results(end_if_odd, [(number, how) for number in range(5)], count))

    assert found == {0: 0, 1: KilledWorker(code), 2: 2, 3: KilledWorker(code), 4: 4}
    assert KilledWorker(code).signal == name


@pytest.mark.parametrize("first", [0, 4])
@pytest.mark.parametrize("count", [1, 2])
def test_all_workers_may_be_killed_or_the_last(first: int, count: int) -> None:
    found = dict(results(end_from, [(first, number) for number in range(5)], count))

    assert found == {number: KilledWorker(-9) if number >= first else number for number in range(5)}


def test_a_real_time_signal_has_a_number() -> None:
    assert KilledWorker(-(signal.SIGRTMIN + 1)).signal == f"signal {signal.SIGRTMIN + 1}"


def test_what_a_task_raises_is_raised_with_its_place() -> None:
    with pytest.raises(FileNotFoundError) as raised:
        list(results(fail, [(number,) for number in range(5)], 2))

    assert (raised.value.filename, raised.value.errno) == ("/a/b", 2)
    assert "in fail\n" in str(raised.value.__cause__)


def test_an_interrupt_is_not_for_workers(tmp_path: Path) -> None:
    """Ctrl-C at a terminal goes to all processes of the command."""
    with closing(results(pid_after, [(0, str(tmp_path)), (1, str(tmp_path))], 2)) as found:
        done: list[tuple[int, int | KilledWorker]] = []
        (tmp_path / "go on").touch()
        done.append(next(found))
        for child in multiprocessing.active_children():
            assert child.pid is not None
            os.kill(child.pid, signal.SIGINT)
        done += found

    assert not any(isinstance(result, KilledWorker) for _, result in done)
    assert sorted(number for number, _ in done) == [0, 1]


def test_closing_ends_workers_and_what_they_have_started(tmp_path: Path) -> None:
    (tmp_path / "go on").touch()
    (tmp_path / "0").mkdir()
    found = results(either, [("pid_after", 0, str(tmp_path)), ("with_child", str(tmp_path), "wait")], 2)
    next(found)
    wait_until("the child", (tmp_path / "child").exists)
    child = int((tmp_path / "child").read_text())
    assert is_alive(child)

    found.close()

    assert not is_alive(child)


def either(name: str, *arguments: object) -> object:
    """Call one of the functions above by its name."""
    return globals()[name](*arguments)


def test_a_worker_that_ignores_sigterm_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "GRACE_S", 0.1)
    (tmp_path / "go on").touch()
    found = results(either, [("pid_after", 0, str(tmp_path)), ("ignore_sigterm", str(tmp_path))], 2)
    next(found)
    wait_until("the task", (tmp_path / "ignores").exists)

    found.close()  # and none is left


def test_what_a_killed_worker_has_started_does_not_hide_its_death(tmp_path: Path) -> None:
    assert list(results(with_child, [(str(tmp_path), "be killed")], 1)) == [(0, KilledWorker(-9))]

    assert not (tmp_path / "child has ended").exists()
    os.kill(int((tmp_path / "child").read_text()), signal.SIGKILL)


def test_workers_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    program = (
        f"import sys; sys.path[:0] = {sys.path!r}\n"
        "from httpreport.cli.workers import results\n"
        "from test_workers import pid_after\n"
        f"list(results(pid_after, [(0, {str(tmp_path)!r}), (1, {str(tmp_path)!r})], 2))\n"
    )
    with subprocess.Popen([sys.executable, "-c", program]) as parent:
        wait_until("both tasks", lambda: len(list(tmp_path.iterdir())) == 2)
        pids = [int(path.suffix[1:]) for path in tmp_path.iterdir()]
        assert all(map(is_alive, pids))
        parent.kill()

    wait_until("the end of both workers", lambda: not any(map(is_alive, pids)))


def test_a_process_that_cannot_be_started_is_an_error_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(multiprocessing.context.SpawnProcess, "_Popen", staticmethod(refuse))

    with pytest.raises(ReportError, match="cannot start a process to read captures: Resource"):
        list(results(double, [(1,)], 1))
