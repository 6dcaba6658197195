"""Check in a guest that recorded and lost calls add up to what the kernel counted, however busy it is."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from httpbpf.program import Sizes
from httpcapture import End, Process, open_capture
from httpreport.calls.filters import Selection
from httpreport.calls.process_keys import ProcessKey
from httpreport.capture.loader import load
from httpreport.capture.recording import Recording
from support.compiled import compiled
from vm import recorded

HERE = Path(__file__).parent
STORM_MEMORY = 64 << 20  # bytes at most: docs/httprec.md has 200 MiB for the worst


@dataclass(frozen=True)
class Seen:
    """Hold what the driver brought back."""

    out: Path
    driver: Mapping[str, Any]

    def recording(self, name: str) -> Recording:
        with open_capture(self.out / name) as reader:
            return load(reader, Selection(0))

    def parts(self) -> list[Recording]:
        return [self.recording(f"home/{path.name}") for path in sorted((self.out / "home").iterdir())]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    out = tmp_path_factory.mktemp("overload")
    storm = compiled(tmp_path_factory.mktemp("job"), "storm.c", (HERE / "storm.c").read_text(), ["-static"])
    sources = [HERE, recorded.TESTS / "workload", storm]
    recorded.run(["python3", "-m", "vm.overload_driver"], sources, out)
    return Seen(out, json.loads((out / "seen.json").read_text()))


def end_of(recording: Recording) -> End:
    assert recording.end is not None
    assert recording.cut_off is None
    return recording.end


@pytest.mark.parametrize("probes", ["fexit", "kprobe"])
def test_what_a_tiny_ring_loses_is_counted_to_the_call(seen: Seen, probes: str) -> None:
    recording = seen.recording(f"{probes}.cap")
    end = end_of(recording)
    lost = end.lost["call_ring_full"]
    assert lost > 0
    assert end.emitted == end.recorded + lost
    assert end.recorded == len(recording.calls)
    made = 2 * seen.driver["overload"]["calls"]  # the client's and the server's
    assert made - end.lost.get("probe_missed", 0) <= end.emitted <= made


def test_no_call_is_lost_between_parts(seen: Seen) -> None:
    parts = seen.parts()
    ends = [end_of(part) for part in parts]
    assert len(parts) > 2
    assert [part.meta.part for part in parts] == list(range(1, len(parts) + 1))
    assert [end.reason for end in ends] == ["rotated"] * (len(parts) - 1) + ["SIGTERM"]
    assert all(end.emitted == end.recorded + end.lost.get("call_ring_full", 0) for end in ends)
    made = 2 * seen.driver["overload"]["calls"]
    missed = sum(end.lost.get("probe_missed", 0) for end in ends)
    assert made - missed <= sum(end.emitted for end in ends) <= made
    calls = Counter(
        key for part in parts for key in zip(*(part.calls[name].tolist() for name in ("connection", "sequence")))
    )
    assert len(calls) == sum(end.recorded for end in ends)


def test_every_part_belongs_to_the_user_behind_sudo(seen: Seen) -> None:
    assert seen.driver["overload"]["owners"] == [[1000, 1000]]
    assert seen.driver["overload"]["exit_codes"] == {"fexit": 0, "kprobe": 0, "parts": 0}


def test_each_part_has_what_its_calls_name(seen: Seen) -> None:
    for part in seen.parts():
        assert set(part.calls["stack"].tolist()) - {0} <= {stack.id for stack in part.stacks}
        keys = zip(part.calls["pid"].tolist(), part.calls["process_start"].tolist())
        for key in {ProcessKey.of(part.meta, pid, start) for pid, start in keys}:
            assert all(mapped.module in part.modules for mapped in part.processes[key][0].modules)


@dataclass(frozen=True)
class Short:
    """Hold a process of the storm by its own account; it began between these two times since boot."""

    name: bytes
    pid: int
    after_ns: int
    before_ns: int
    stays: bool


def short_processes(seen: Seen) -> list[Short]:
    lines = [line.split() for line in (seen.out / "storm.processes").read_text().splitlines()]
    return [
        Short(name.encode(), int(pid), int(after), int(before), stays=number % 100 == 99)
        for number, (name, pid, after, before) in enumerate(lines)
    ]


def calls_of_the_storm(recording: Recording) -> Any:
    return recording.calls[np.char.startswith(recording.calls["comm"], b"storm")]


def read_once(recording: Recording, key: ProcessKey) -> Process:
    """Return what was read of a process, whose maps were the same whenever they were read again."""
    process, *again = recording.processes[key]
    assert all(reading.unchanged for reading in again)
    return process


def test_every_call_of_a_storm_of_processes_is_recorded_or_counted(seen: Seen) -> None:
    storm, recording = seen.driver["storm"], seen.recording("storm.cap")
    print(f"the emulated storm: {storm['said']}")
    end, made = end_of(recording), 2 * len(short_processes(seen)) + 2  # with the call from a container
    assert storm["exit_code"] == 0 and end.reason == "SIGHUP"
    assert end.emitted == end.recorded + end.lost.get("call_ring_full", 0)
    assert end.recorded == len(recording.calls)
    assert made - end.lost.get("probe_missed", 0) <= end.emitted <= made


def test_calls_of_processes_that_had_the_same_pid_are_told_apart(seen: Seen) -> None:
    """They differ by the start of their process, and each has its own name, even if its maps were not read."""
    processes, recording = short_processes(seen), seen.recording("storm.cap")
    of_pid: dict[int, list[Short]] = defaultdict(list)
    for process in processes:
        of_pid[process.pid].append(process)
    assert max(map(len, of_pid.values())) > 10
    calls = calls_of_the_storm(recording)
    for call in calls:
        began = int(call["process_start"])
        (process,) = [short for short in of_pid[int(call["pid"])] if short.after_ns <= began <= short.before_ns]
        assert call["comm"] == call["process"] == process.name
    assert len(set(calls["comm"].tolist())) == len(calls)
    end = end_of(recording)
    lost = end.lost.get("call_ring_full", 0) + end.lost.get("probe_missed", 0)
    assert len(processes) - lost <= len(calls) <= len(processes)


def test_a_short_process_is_read_in_time_or_said_to_be_gone_and_never_taken_for_another(seen: Seen) -> None:
    recording = seen.recording("storm.cap")
    problems = set()
    for call in calls_of_the_storm(recording):
        key = ProcessKey.of(recording.meta, int(call["pid"]), int(call["process_start"]))
        process = read_once(recording, key)
        problems.add(process.problem)
        assert process.name == (b"" if process.problem else call["comm"])
    assert problems <= {"", "ended before its maps were read"}
    gone = [process for found in recording.processes.values() for process in found if process.problem]
    assert len(gone) == end_of(recording).lost.get("process_gone", 0)


def test_of_a_process_that_stays_the_maps_are_read_however_many_came_before(seen: Seen) -> None:
    recording = seen.recording("storm.cap")
    name_of = {(int(call["pid"]), call["comm"]): call for call in calls_of_the_storm(recording)}
    stay = [name_of[process.pid, process.name] for process in short_processes(seen) if process.stays]
    assert len(stay) == len(short_processes(seen)) // 100
    for call in stay:
        key = ProcessKey.of(recording.meta, int(call["pid"]), int(call["process_start"]))
        process = read_once(recording, key)
        assert process.executable.endswith(b"/storm") and b"/storm\n" in process.maps and process.modules


def test_a_storm_takes_no_memory_that_stays(seen: Seen) -> None:
    storm = seen.driver["storm"]
    assert storm["after"]["resident"] < storm["before"]["resident"] + STORM_MEMORY
    assert storm["after"]["kernel"] == storm["before"]["kernel"]


def test_a_process_in_a_container_has_its_cgroup_and_its_pid_there(seen: Seen) -> None:
    recording = seen.recording("storm.cap")
    (call,) = recording.calls[recording.calls["comm"] == b"container"]
    process = read_once(recording, ProcessKey.of(recording.meta, int(call["pid"]), int(call["process_start"])))
    assert call["cgroup"] == seen.driver["storm"]["cgroup"]
    assert (process.namespace_pid, process.problem) == (1, "") and process.modules


def test_the_kernel_keeps_as_much_as_the_options_say(seen: Seen) -> None:
    sizes = Sizes()
    expected = (
        sizes.connections * 0.4
        + sizes.streams * 0.4
        + sizes.http2_connections * 1.1
        + sizes.head_slots * (sizes.http_bytes + 312) / 1024
        + sizes.stack_slots * (4 * sizes.stack_pages + 0.3)
        + sizes.frame_slots * 1.3
        + 4 * (sizes.call_ring_pages * 1.25 + sizes.stack_ring_pages + sizes.head_ring_pages + sizes.block_ring_pages)
        + 8 * 1024  # Python frames
    )
    assert 0.9 < seen.driver["storm"]["after"]["kernel"] / (expected * 1024) < 1.1


def test_no_probe_is_left_behind_a_storm(seen: Seen) -> None:
    assert not seen.driver["storm"]["attached_afterwards"]
