"""Check in a guest that every way in which a recording ends leaves a readable capture with the right owner and exit
code, and no probe."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from httpcapture import open_capture
from httpreport.calls.filters import Selection
from httpreport.capture.loader import load
from httpreport.capture.recording import Recording
from make_zipapp import make
from vm import guest, recorded

SECOND = 1_000_000_000
KILLS = int(os.environ.get("HTTPREC_KILLS", "3"))
GUEST_S = guest.MOST_S + 60 * KILLS
pytestmark = pytest.mark.timeout(2 * GUEST_S)


@dataclass(frozen=True)
class Ends:
    """Hold what the driver brought back."""

    out: Path
    seen: Mapping[str, Any]

    def printed(self, name: str) -> str:
        return (self.out / f"{name}.txt").read_text()

    def recording(self, name: str) -> Recording:
        with open_capture(self.out / name) as reader:
            return load(reader, Selection(0))


@pytest.fixture(scope="module")
def ends(tmp_path_factory: pytest.TempPathFactory) -> Ends:
    out = tmp_path_factory.mktemp("ends")
    sources = [Path(__file__).with_name(name) for name in ("ends_driver.py", "hidden_client.py")]
    sources += [recorded.TESTS / "workload", make(tmp_path_factory.mktemp("pyz") / "httprec.pyz")]
    recorded.run(["python3", "ends_driver.py", str(KILLS)], sources, out, timeout_s=GUEST_S)
    return Ends(out, json.loads((out / "ends.json").read_text()))


def test_sigterm_ends_it_cleanly(ends: Ends) -> None:
    recording = ends.recording("shared/sigterm.cap")
    assert ends.seen["signal"]["exit_code"] == 0
    assert recording.end is not None
    assert (recording.end.reason, recording.end.clean) == ("SIGTERM", True)
    assert len(recording.calls) == recording.end.recorded > 0
    assert not recorded.lost(recording.lost)
    lost = ", ".join(f"{cause} {count}" for cause, count in recording.lost.items() if count)
    assert f"{recording.end.recorded:,} calls, {f'lost: {lost}' if lost else '0 lost'}" in ends.printed("sigterm")
    assert ":/tmp/out/shared/sigterm.cap . && httpreport sigterm.cap" in ends.printed("sigterm")


def test_a_call_that_is_answered_while_the_recording_ends_is_recorded_once(ends: Ends) -> None:
    recording = ends.recording("shared/sigterm.cap")
    assert recording.end is not None
    assert recording.end.emitted == recording.end.recorded == len(recording.calls)
    calls = set(zip(*(recording.calls[name].tolist() for name in ("connection", "sequence", "role"))))
    assert len(calls) == len(recording.calls)


def test_the_capture_belongs_to_the_user_behind_sudo_alone(ends: Ends) -> None:
    assert ends.seen["signal"]["owner"] == [1000, 1000]
    assert ends.seen["signal"]["mode"] == 0o600


def test_no_probe_is_left_behind(ends: Ends) -> None:
    assert ends.seen["signal"]["attached_while_running"]
    assert not ends.seen["signal"]["attached_afterwards"]


def test_a_recorder_can_only_read_what_it_needs_and_gain_nothing(ends: Ends) -> None:
    kept = 1 << 2 | 1 << 19 | 1 << 40  # cap_dac_read_search, cap_sys_ptrace, cap_checkpoint_restore: capability.h
    none, some = f"{0:016x}", f"{kept:016x}"
    assert ends.seen["signal"]["privileges"] == [f"{none} {some} {some} {some} {none} 1"]


def test_it_still_reads_the_deleted_executable_of_another_user_in_another_mount_namespace(ends: Ends) -> None:
    recording = ends.recording("shared/sigterm.cap")
    ((key, (process, *_)),) = [
        found for found in recording.processes.items() if found[0].pid == ends.seen["hidden_pid"]
    ]
    assert process.problem == ""
    assert process.executable == b"/mnt/private/hidden (deleted)"
    mapped = [recording.modules[mapped.module] for mapped in process.modules]
    paths = {module.path: module for module in mapped}
    assert {b"/mnt/private/hidden (deleted)", b"[vdso]"} < set(paths)
    assert any(path.startswith(b"/usr/lib/x86_64-linux-gnu/libc") for path in paths)
    assert not [module for module in mapped if module.problem or not module.build_id]
    assert recording.carried[paths[b"/mnt/private/hidden (deleted)"].id][".eh_frame"].missing == ""
    assert [whole.data for whole in recording.jit_maps[key].values()] == [b"1000 10 jitted\n"]


def test_a_capture_can_go_to_standard_output_without_recording_itself(ends: Ends) -> None:
    recording = ends.recording("duration.cap")
    assert ends.seen["duration"]["exit_code"] == 0
    assert recording.end is not None
    assert recording.end.reason == "duration"
    assert recording.cut_off is None
    assert ends.seen["duration"]["recorder_pid"] not in recording.calls["pid"]
    assert ends.seen["driver_pid"] in recording.calls["pid"]


def test_a_recording_goes_on_after_a_suspend_whose_length_it_tells_and_no_call_contains(ends: Ends) -> None:
    recording, seen = ends.recording("slept.cap"), ends.seen["slept"]
    assert seen["exit_code"] == 0 and recording.cut_off is None
    assert recording.end is not None and recording.end.clean
    assert recording.end.recorded == len(recording.calls) == recording.end.emitted
    assert seen["slept_ns"] > 2 * SECOND
    assert abs(recording.end.slept_ns - seen["slept_ns"]) < SECOND / 2
    calls = recording.calls
    meanwhile = calls[(calls["t0"] <= seen["after_ns"]) & (calls["t2"] >= seen["before_ns"])]
    assert len(meanwhile) and (meanwhile["t2"] - meanwhile["t0"]).max() < seen["slept_ns"]
    assert (calls["t0"] > seen["after_ns"]).any()


@pytest.mark.parametrize("number", range(KILLS))
def test_a_killed_recorder_leaves_all_but_the_last_second(ends: Ends, number: int) -> None:
    recording, seen = ends.recording(f"kill{number}.cap"), ends.seen["kills"][number]
    assert recording.end is None
    assert recording.cut_off
    assert len(recording.calls) >= seen["shown_a_second_before"] > 0


def test_what_a_killed_recorder_left_is_removed_by_the_next(ends: Ends) -> None:
    assert not ends.seen["full"]["attached_afterwards"]


def test_a_full_disk_ends_it_with_one_line_and_a_readable_file(ends: Ends) -> None:
    recording = ends.recording("full.cap")
    assert ends.seen["full"]["exit_code"] == 1
    assert recording.cut_off
    (line,) = [line for line in ends.printed("full").splitlines() if line.startswith("httprec: ")]
    assert "No space left on device" in line
    assert "httpreport " in line


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("not_root", "httprec: only root can attach probes: sudo httprec ..."),
        ("exists", "httprec: /tmp/out/existing.cap exists: give -f to replace it, or choose another -o FILE"),
        ("link", "httprec: /tmp/out/link.cap is not a regular file: -f replaces only files; choose another -o FILE"),
    ],
)
def test_what_cannot_work_is_refused_in_one_line(ends: Ends, name: str, says: str) -> None:
    assert ends.seen[name] == {"exit_code": 1, "printed": says + "\n"}
    assert (ends.out / "existing.cap").read_text() == "precious"


def test_the_zipapp_says_that_all_works_here_with_the_packages_of_the_distribution_only(ends: Ends) -> None:
    *rows, verdict = ends.seen["check"]["printed"].splitlines()
    assert {row[:17].rstrip() for row in rows if row[18:22].strip() != "ok"} == {"tracepoint"}
    assert verdict == "httprec can record here, with fexit"
    assert ends.seen["check"]["exit_code"] == 0
    found = {row[:17].rstrip(): row[23:] for row in rows}
    assert int(found["stack copies"].split()[0]) > 4096  # the whole stack of a Python program, which has no known size
    assert found["fexit"].startswith("recorded a test call of ")
    assert found["kprobe"].startswith("recorded a test call of ")
    assert found["tracepoint"].startswith("the kernel has no tracepoint ")


def test_check_by_another_than_root_tells_what_can_be_told(ends: Ends) -> None:
    *rows, verdict = ends.seen["check_not_root"]["printed"].splitlines()
    states = {row[:17].rstrip(): row[18:22].strip() for row in rows}
    assert (states["root"], states["kernel functions"], states["fexit"]) == ("no", "ok", "-")
    assert verdict == "httprec cannot record here"
    assert ends.seen["check_not_root"]["exit_code"] == 1
