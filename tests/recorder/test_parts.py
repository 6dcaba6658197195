"""Check recordings in parts: no call is lost between two parts, each part can be read alone, and only as many are kept
as asked."""

from __future__ import annotations

import contextlib
import os
import shlex
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from httpcapture import Completions, End, Module, Process, Section
from httprec import tuning
from httprec.errors import RecorderError
from httprec.parts import Bounds, Parts, check_parts
from support.scripted import Step, meta, parts_of, read, record, rotate
from support.synthetic import PID, START, SyntheticTracer

ROTATE = Bounds(part_age_ns=1)


def call(number: int, stack: int = 0, *, copied: bool = False, pid: int = PID, start: int = START) -> Step:
    def step(tracer: SyntheticTracer) -> None:
        if stack:
            tracer.send_stack(stack, bytes(64 * copied), pid=pid, start=start)
        tracer.send_call(number, stack, pid=pid, start=start)

    return step


def test_each_part_is_a_whole_capture_of_the_same_run(tmp_path: Path) -> None:
    record(tmp_path, [[call(1), rotate], [call(2), rotate], [call(3)]])
    assert sorted(os.listdir(tmp_path)) == ["run.00001.cap", "run.00002.cap", "run.00003.cap"]
    parts = parts_of(tmp_path)
    assert [part.meta.part for part in parts] == [1, 2, 3]
    assert len({part.meta.run for part in parts}) == 1 and parts[0].meta.run
    assert [part.end.reason for part in parts] == ["rotated", "rotated", "SIGINT"]
    assert [part.column("connection") for part in parts] == [[1], [2], [3]]
    assert all(part.end.clean and part.cut_off is None for part in parts)
    assert parts[0].meta.started_monotonic_ns < parts[1].meta.started_monotonic_ns <= parts[1].end.at_ns
    for path in tmp_path.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "name", ["run.cap", "my run.cap", "$(touch x);'*?[a]\".c ap", "-o.cap", "no extension", "a\nb.cap"]
)
def test_the_next_command_names_the_parts_to_a_shell(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    stem, extension = os.path.splitext(name)
    (tmp_path / name).touch()  # no part
    with Parts(name, ROTATE, meta, overwrite=False, print_line=print) as parts:
        parts.begin()
        commands = [parts.next_command]
        for _ in range(2):
            parts.rotate(End(1, "rotated", True, 0, 0, 0, {}))
            commands.append(parts.next_command)

    def asked(command: str, there: Path) -> list[str]:
        """Run the command on another machine: `there`. scp matches patterns as glob(7) does, else takes the name."""
        there.mkdir()
        copy = "import glob, shutil, sys; _, _, path = sys.argv[1].partition(':'); found = glob.glob(path) or [path]"
        copy += "; [shutil.copy(one, '.') for one in found]"
        scp = shlex.join([sys.executable, "-c", copy])
        script = f'scp() {{ {scp} "$1"; }}\nhttpreport() {{ printf \'%s\\0\' "$@"; }}\n{command}'
        said = subprocess.run(["bash", "-c", script], cwd=there, check=True, capture_output=True, text=True).stdout
        names = [os.path.normpath(path) for path in said.split("\0")[:-1]]
        assert sorted(os.listdir(there)) == names
        return names

    paths = [f"{stem}.{number:05}{extension}" for number in (1, 2, 3)]
    there = tmp_path.parent / f"{tmp_path.name} there"
    there.mkdir()
    assert [asked(command, there / f"{n}") for n, command in enumerate(commands)] == [paths[:1], paths, paths]
    assert sorted(os.listdir(tmp_path)) == sorted([name, *paths])


def test_each_part_says_how_long_the_host_slept_meanwhile(tmp_path: Path) -> None:
    """CLOCK_BOOTTIME runs while the host sleeps; the clock of all other times does not."""
    asleep_ns, clock = 7_000_000_000, time.clock_gettime_ns

    def sleep(nanoseconds: int) -> Step:
        def step(_: SyntheticTracer) -> None:
            nonlocal asleep_ns
            asleep_ns += nanoseconds

        return step

    with mock.patch("time.clock_gettime_ns", lambda number: clock(number) + asleep_ns):
        record(tmp_path, [[call(1), sleep(5_000_000_000), rotate], [call(2), rotate], [sleep(250_000_000)]])
    slept = [part.end.slept_ns for part in parts_of(tmp_path)]
    assert slept[1] == 0 and [round(ns, -7) for ns in slept] == [5_000_000_000, 0, 250_000_000]


STEPS = st.one_of(
    st.tuples(st.just("call"), st.integers(0, 3), st.booleans()),  # with one of three stacks of frames, or none
    st.tuples(st.just("early"), st.integers(1, 3), st.booleans()),  # its stack in this round, its call in the next
    st.tuples(st.just("rotate"), st.just(0), st.just(False)),
)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(STEPS, max_size=6), min_size=1, max_size=8), st.sampled_from([1, 2, 32768]))
def test_nothing_is_lost_between_parts_and_each_has_what_its_calls_name_or_counts_it(
    script: list[list[tuple[str, int, bool]]], remembered: int
) -> None:
    rounds: list[list[Step]] = [[] for _ in range(len(script) + 1)]
    expected: dict[int, int] = {}
    for number, steps in enumerate(script):
        for kind, frames, copied in steps:
            connection = len(expected) + 1
            stack = 1000 + connection if copied else frames
            if kind == "rotate":
                rounds[number].append(rotate)
                continue
            expected[connection] = stack
            if kind == "early":
                rounds[number].append(lambda tracer, s=stack, c=copied: tracer.send_stack(s, bytes(64 * c)))  # type: ignore[misc]
                rounds[number + 1].insert(0, lambda tracer, c=connection, s=stack: tracer.send_call(c, s))  # type: ignore[misc]
            else:
                rounds[number].append(call(connection, stack, copied=copied))
    with TemporaryDirectory() as folder, mock.patch.object(tuning, "MAX_REMEMBERED_STACKS", remembered):
        totals, _, _ = record(Path(folder), rounds)
        parts = parts_of(Path(folder))
    found = [pair for part in parts for pair in zip(part.column("connection"), part.column("stack"))]
    assert len(found) == totals.calls and dict(found) == expected and len(found) == len(expected)
    for part in parts:
        missing, counted = set(part.column("stack")) - {0} - part.stacks, part.end.lost.get("stack_not_repeated", 0)
        assert len(missing) <= counted
        assert not counted or remembered < 32768
        assert set(part.column("pid")) <= {process.pid for process in part.processes}
        assert part.end.recorded == part.end.emitted == len(part.column("connection"))


def test_a_stack_that_was_forgotten_is_counted_once_in_each_part_that_lacks_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel sends stack 1 once, because it does not forget it; 2, 3 and 4 are used later; 5 and 6 are copies."""
    monkeypatch.setattr(tuning, "MAX_REMEMBERED_STACKS", 3)
    first = [call(number, number) for number in (1, 2, 3, 4)]
    again = [call(5, 1), call(6, 4)]
    copies = [call(7, 5, copied=True), call(8, 6, copied=True)]
    totals, _, _ = record(tmp_path, [first, [call(9, 1), rotate], again, [*copies, call(10, 1), rotate], again])
    parts = parts_of(tmp_path)
    assert [part.stacks for part in parts] == [{1, 2, 3, 4}, {4, 5, 6}, {4}]
    assert [part.end.lost.get("stack_not_repeated", 0) for part in parts] == [0, 1, 1]
    assert totals.lost["stack_not_repeated"] == 2


def test_what_was_lost_adds_up_over_all_parts(tmp_path: Path) -> None:
    many = [call(number) for number in range(1, 31)]
    totals, tracer, _ = record(tmp_path, [[*many, rotate], [*many], [rotate], [*many, rotate], []], ring=4096)
    parts = parts_of(tmp_path)
    lost = [part.end.lost.get("call_ring_full", 0) for part in parts]
    assert [part.end.emitted for part in parts] == [part.end.recorded + gone for part, gone in zip(parts, lost)]
    assert sum(part.end.emitted for part in parts) == tracer.counts["calls"] == 90
    assert sum(lost) == tracer.counts["call_ring_full"] == totals.lost["call_ring_full"]
    assert all(lost[:3]) and not lost[3]
    assert totals.calls == sum(part.end.recorded for part in parts)


def test_a_part_has_the_modules_of_its_processes_with_their_sections(tmp_path: Path) -> None:
    pid = os.getpid()
    ticks = int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[19])
    start = ticks * 1_000_000_000 // os.sysconf("SC_CLK_TCK")
    mine = call(1, pid=pid, start=start)
    totals, _, _ = record(tmp_path, [[mine, rotate], [rotate], [mine]], modules_size=64 << 20)
    first, empty, last = parts_of(tmp_path)
    assert not empty.of(Module) and not empty.of(Process)
    assert first.processes[0].modules and first.processes == last.processes and totals.processes == 1
    assert first.of(Module) == last.of(Module) and first.of(Section) == last.of(Section)
    assert {mapped.module for mapped in last.processes[0].modules} == {
        module.id for module in last.records if isinstance(module, Module)
    }
    assert first.of(Section) and not [part for part in last.of(Section) if isinstance(part, Section) and part.problem]


def test_a_response_that_goes_on_is_known_so_far(tmp_path: Path) -> None:
    def respond(tracer: SyntheticTracer) -> None:
        tracer.send_call(5, t2=100)
        tracer.hold_response(5, 100, 150)

    def finish(tracer: SyntheticTracer) -> None:
        tracer.open.clear()
        tracer.send_completion(5, 190)

    record(tmp_path, [[respond, rotate], [finish]])
    first, last = parts_of(tmp_path)
    assert first.column("t3", Completions) == [150] and last.column("t3", Completions) == [190]


def test_older_parts_are_deleted_and_each_deletion_is_printed(tmp_path: Path) -> None:
    _, _, said = record(tmp_path, [[call(number), rotate] for number in range(1, 5)], keep=2)
    assert sorted(os.listdir(tmp_path)) == ["run.00004.cap", "run.00005.cap"]
    assert said == [
        f"began {tmp_path}/run.{number + 2:05}.cap, deleted {tmp_path}/run.{number:05}.cap" for number in (1, 2, 3)
    ]


def test_a_part_that_somebody_has_removed_is_no_error(tmp_path: Path) -> None:
    def remove(tracer: SyntheticTracer) -> None:
        os.unlink(tmp_path / "run.00001.cap")

    record(tmp_path, [[rotate], [remove], [rotate]], keep=2)
    assert sorted(os.listdir(tmp_path)) == ["run.00002.cap", "run.00003.cap"]


@contextlib.contextmanager
def parts_in(folder: Path, bounds: Bounds, *, overwrite: bool = False) -> Iterator[Parts]:
    path = str(folder / "run.cap")
    check_parts(path, bounds, replace=overwrite)
    with Parts(path, bounds, meta, overwrite=overwrite, print_line=pytest.fail) as parts:
        parts.begin()
        yield parts


def test_a_part_is_due_by_its_size_once_it_has_calls_or_by_its_age(tmp_path: Path) -> None:
    with parts_in(tmp_path, Bounds(part_size=1)) as parts:
        assert not parts.is_due(0, 1 << 62)
        assert parts.is_due(1, 0)
    began = read(tmp_path / "run.00001.cap").meta.started_monotonic_ns
    assert began
    with parts_in(tmp_path, Bounds(part_age_ns=1 << 60), overwrite=True) as parts:
        assert not parts.is_due(5, began)
        assert parts.is_due(0, began + (1 << 61))


def test_a_recording_is_full_when_all_its_parts_are(tmp_path: Path) -> None:
    bounds = Bounds(max_size=1500, part_age_ns=1)
    with parts_in(tmp_path, bounds) as parts:
        sizes = []
        while not parts.is_full():
            sizes.append(parts.bytes_written)
            parts.rotate(End(1, "rotated", True, 0, 0, 0))
    assert len(sizes) == len(os.listdir(tmp_path)) - 1 > 0
    assert max(sizes) < 1500 <= sum(path.stat().st_size for path in tmp_path.iterdir())


def test_parts_that_are_there_are_replaced_all_together_and_only_on_request(tmp_path: Path) -> None:
    names = ["run.00002.cap", "run.00007.cap", "run.cap", "run.1.cap", "xrun.00001.cap", "run.000001.cap"]
    for name in names:
        (tmp_path / name).write_text(name)
    with pytest.raises(RecorderError, match=r"run\.00002\.cap exists: give -f"), parts_in(tmp_path, ROTATE):
        pass
    assert sorted(os.listdir(tmp_path)) == sorted(names)
    with parts_in(tmp_path, ROTATE, overwrite=True):
        assert sorted(os.listdir(tmp_path)) == sorted([*names[2:], "run.00001.cap"])
    assert all((tmp_path / name).read_text() == name for name in names[2:])


def test_a_part_that_cannot_be_removed_is_said(tmp_path: Path) -> None:
    (tmp_path / "run.00003.cap").mkdir()
    with pytest.raises(RecorderError, match=r"cannot remove .*run\.00003\.cap: .*; choose another -o FILE"):
        Parts(str(tmp_path / "run.cap"), ROTATE, meta, overwrite=True, print_line=pytest.fail)


def test_a_recording_goes_on_when_an_old_part_cannot_be_removed(tmp_path: Path) -> None:
    def replace(tracer: SyntheticTracer) -> None:
        os.unlink(tmp_path / "run.00001.cap")
        (tmp_path / "run.00001.cap").mkdir()

    _, _, said = record(tmp_path, [[rotate], [replace, call(1), rotate], [call(2)]], keep=2)
    assert [line.partition(": ")[0] for line in said] == [
        f"began {tmp_path}/run.00003.cap; cannot remove {tmp_path}/run.00001.cap"
    ]
    assert read(tmp_path / "run.00003.cap").column("connection") == [2]


@pytest.mark.parametrize("overwrite", [False, True])
def test_no_part_is_written_into_what_is_there(tmp_path: Path, overwrite: bool) -> None:
    target = tmp_path / "precious"
    target.write_text("precious")
    with (
        pytest.raises(RecorderError, match=r"run\.00002\.cap exists"),
        parts_in(tmp_path, ROTATE, overwrite=overwrite) as parts,
    ):
        (tmp_path / "run.00002.cap").symlink_to(target)
        parts.rotate(End(1, "rotated", True, 0, 0, 0))
    assert target.read_text() == "precious"
    assert read(tmp_path / "run.00001.cap").end.reason == "rotated"


def test_a_capture_that_is_removed_while_it_is_written_ends_the_recording(tmp_path: Path) -> None:
    with parts_in(tmp_path, Bounds()) as parts:
        parts.check()
        (tmp_path / "run.cap").rename(tmp_path / "moved.cap")
        parts.check()
        (tmp_path / "moved.cap").unlink()
        with pytest.raises(RecorderError, match=r"run\.cap was removed while it was written: .*choose an -o FILE"):
            parts.check()


def test_a_folder_that_has_gone_ends_the_recording_at_the_next_part(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    with (
        pytest.raises(RecorderError, match=r"cannot create .*run\.00002\.cap: No such file"),
        parts_in(home, ROTATE) as parts,
    ):
        (home / "run.00001.cap").rename(tmp_path / "moved.cap")
        home.rmdir()
        parts.rotate(End(1, "rotated", True, 0, 0, 0))
    assert read(tmp_path / "moved.cap").cut_off is None
