"""Check that perf-PID.map is copied as it grows, also when its process has ended, and that no other file is."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from httprec.jit_maps import JitMaps
from support.jit_maps import Written

KEY = (os.getpid(), 7)
LINE = b"7f0000000000 20 LazyCompile:~main\n"
CUT_OFF = "cut off at 16777216 bytes"


@pytest.fixture
def perf_map() -> Iterator[Path]:
    path = Path(f"/tmp/perf-{os.getpid()}.map")
    yield path
    path.unlink(missing_ok=True)


@pytest.fixture
def written() -> Written:
    return Written()


@pytest.fixture
def jit_maps(written: Written) -> JitMaps:
    return JitMaps(written)


def copy(jit_maps: JitMaps, now_ns: int) -> None:
    """Copy the map of this process."""
    jit_maps.open(KEY, os.getpid(), os.getpid())
    jit_maps.copy(KEY, now_ns)


def append(path: Path, text: bytes) -> None:
    with path.open("ab") as file:
        file.write(text)


def test_a_map_is_copied_as_it_is(perf_map: Path, written: Written, jit_maps: JitMaps) -> None:
    perf_map.write_bytes(LINE * 50_000)
    copy(jit_maps, 5)
    assert written.texts() == {5: LINE * 50_000}
    assert [len(part.data) for part in written.parts] == [1 << 20, len(LINE) * 50_000 - (1 << 20)]
    assert {part.problem for part in written.parts} == {""}


def test_a_map_that_grows_is_copied_in_parts_with_their_times(
    perf_map: Path, written: Written, jit_maps: JitMaps
) -> None:
    perf_map.write_bytes(LINE + LINE[:9])
    copy(jit_maps, 5)
    append(perf_map, LINE[9:])
    copy(jit_maps, 6)
    copy(jit_maps, 7)
    assert [(part.start, part.taken_ns) for part in written.parts] == [(0, 5), (len(LINE) + 9, 5)]
    assert written.texts() == {5: LINE * 2}
    assert 0 < written.parts[0].read_ns < written.parts[1].read_ns


def test_what_a_process_wrote_before_its_end_is_copied_after_it(
    perf_map: Path, written: Written, jit_maps: JitMaps
) -> None:
    """Its folder in /proc has gone, and perhaps the file."""
    perf_map.write_bytes(LINE)
    jit_maps.open(KEY, os.getpid(), os.getpid())
    append(perf_map, LINE)
    perf_map.unlink()
    jit_maps.open(KEY, 1 << 30, os.getpid())
    jit_maps.copy(KEY, 5)
    assert jit_maps.has(KEY)
    assert written.texts() == {5: LINE * 2}


@pytest.mark.parametrize("how", ["written again", "shorter", "replaced"])
def test_a_map_that_is_written_anew_is_another_text(
    perf_map: Path, written: Written, jit_maps: JitMaps, how: str
) -> None:
    """As `jcmd PID Compiler.perfmap` does it."""
    perf_map.write_bytes(LINE * 2)
    copy(jit_maps, 5)
    other = {"written again": b"1000 10 other\n" * 9, "shorter": LINE, "replaced": LINE * 3}[how]
    if how == "replaced":
        perf_map.unlink()
    perf_map.write_bytes(other)
    copy(jit_maps, 6)
    assert written.texts() == {5: LINE * 2, 6: other}


def test_every_part_of_a_recording_has_the_whole_map(perf_map: Path, written: Written, jit_maps: JitMaps) -> None:
    perf_map.write_bytes(LINE)
    copy(jit_maps, 5)
    later = Written()
    jit_maps.begin_part(later)
    append(perf_map, LINE)
    copy(jit_maps, 9)
    assert (written.texts(), later.texts()) == ({5: LINE}, {9: LINE * 2})


@pytest.mark.parametrize(("more", "problem"), [(0, ""), (1, CUT_OFF)])
def test_a_map_of_more_than_16_mib_is_cut_off(
    perf_map: Path, written: Written, jit_maps: JitMaps, more: int, problem: str
) -> None:
    perf_map.write_bytes(bytes((16 << 20) + more))
    copy(jit_maps, 5)
    assert len(written.texts()[5]) == 16 << 20
    assert written.parts[-1].problem == problem
    append(perf_map, LINE)
    copy(jit_maps, 6)
    copy(jit_maps, 7)
    assert [part.problem for part in written.parts if part.problem] == [CUT_OFF]


def test_maps_stay_within_the_room_of_a_capture(
    perf_map: Path, written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("httprec.tuning.JIT_MAPS_BUDGET", 250)
    jit_maps = JitMaps(written)
    for size in (100, 200, 300):
        perf_map.write_bytes(LINE * (size // len(LINE)))
        copy(jit_maps, size)
    assert [(part.start, len(part.data), part.problem) for part in written.parts] == [
        (0, 68, ""),
        (68, 102, ""),
        (170, 0, "left out: the capture's room for JIT maps is used up"),
    ]
    later = Written()
    jit_maps.begin_part(later)
    copy(jit_maps, 9)
    assert len(later.parts) == 1, "a part has room of its own"


def test_a_capture_that_can_hold_no_more_parts_gets_none(perf_map: Path) -> None:
    full = Written(limit=1)
    jit_maps = JitMaps(full)
    for times in (1, 2, 3):
        perf_map.write_bytes(LINE * times)
        copy(jit_maps, times)
    assert full.texts() == {1: LINE}


def test_no_link_leads_root_to_another_file(perf_map: Path, written: Written, jit_maps: JitMaps) -> None:
    perf_map.symlink_to("/etc/shadow")
    copy(jit_maps, 5)
    assert not jit_maps.has(KEY) and not written.parts


def test_a_map_of_another_user_is_not_trusted(perf_map: Path, written: Written, jit_maps: JitMaps) -> None:
    perf_map.write_text("0 1 forged\n")
    os.chown(perf_map, 12345, 12345)
    copy(jit_maps, 5)
    assert not jit_maps.has(KEY) and not written.parts


def test_the_maps_that_were_used_first_are_closed(
    perf_map: Path, jit_maps: JitMaps, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("httprec.tuning.MAX_OPEN_JIT_MAPS", 2)
    perf_map.write_bytes(LINE)
    before = len(os.listdir("/proc/self/fd"))
    for number in range(5):
        jit_maps.open((os.getpid(), number), os.getpid(), os.getpid())
        jit_maps.open((os.getpid(), number), os.getpid(), os.getpid())
    assert [jit_maps.has((os.getpid(), number)) for number in range(5)] == [False] * 3 + [True] * 2
    assert len(os.listdir("/proc/self/fd")) == before + 2
