"""In the guest: what the kernel counted is what was recorded and what was lost, to the call, however busy it is."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from httpbpf.program import Sizes
from httpcapture import End, open_capture
from httpreport.recording import ProcessKey, Recording, load
from httpreport.selection import Selection
from vm import recorded

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Seen:
    """What the driver brought back."""

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
    sources = [HERE, recorded.TESTS / "workload"]
    recorded.run(["python3", "-m", "vm.overload_driver"], sources, out, timeout_s=400)
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
        assert set(part.calls["stack"].tolist()) - {0} <= part.stacks.keys()
        keys = zip(part.calls["pid"].tolist(), part.calls["process_start"].tolist())
        for key in {ProcessKey.of(part.meta, pid, start) for pid, start in keys}:
            assert all(mapped.module in part.modules for mapped in part.processes[key][0].modules)


def test_every_process_of_a_storm_is_recorded_or_said_to_be_gone(seen: Seen) -> None:
    storm, recording = seen.driver["storm"], seen.recording("storm.cap")
    end = end_of(recording)
    assert storm["exit_code"] == 0 and end.reason == "SIGHUP"
    assert end.emitted == end.recorded + end.lost.get("call_ring_full", 0)
    forked = recording.calls[recording.calls["comm"] != b"container"]
    pids = set(forked["pid"].tolist()) - set(seen.driver["servers"])
    if not end.lost.get("call_ring_full"):
        assert pids == set(storm["pids"])
    gone = [process for found in recording.processes.values() for process in found if process.problem]
    assert len(gone) == end.lost.get("process_gone", 0)


def test_a_process_in_a_container_has_its_cgroup_and_its_pid_there(seen: Seen) -> None:
    recording = seen.recording("storm.cap")
    (call,) = recording.calls[recording.calls["comm"] == b"container"]
    (process,) = recording.processes[ProcessKey.of(recording.meta, int(call["pid"]), int(call["process_start"]))]
    assert call["cgroup"] == seen.driver["storm"]["cgroup"]
    assert (process.namespace_pid, process.problem) == (1, "") and process.modules


def test_the_kernel_keeps_as_much_as_the_options_say(seen: Seen) -> None:
    sizes = Sizes()
    expected = (
        sizes.connections * 1.4
        + sizes.threads * 0.2
        + sizes.stack_slots * (4 * sizes.stack_pages + 1.3)
        + 4 * (sizes.call_ring_pages * 1.25 + sizes.stack_ring_pages)
    )
    assert 0.9 < seen.driver["storm"]["cost"]["kernel"] / (expected * 1024) < 1.1


def test_no_probe_is_left_behind_a_storm(seen: Seen) -> None:
    assert not seen.driver["storm"]["attached_afterwards"]
