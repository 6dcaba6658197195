"""Check in a guest, with fexit and with kprobes, that programs whose files are deleted, changed or created during the
recording get right names or the right reason from the capture alone."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path

import numpy as np
import pytest

from httpcapture import Role, open_capture
from httpreport.calls.filters import Selection
from httpreport.capture.loader import load
from httpreport.capture.recording import Recording
from httpreport.languages.stack_trace import StackTrace, Unnamed
from httpreport.report.report import Report, make_report
from httpreport.symbols.binary_lookup import Binaries
from support.compiled import compiled, run
from vm import recorded

HERE = Path(__file__).parent
CHAIN = ("ask", "middle", "outer")


def renamed(prefix: str) -> list[str]:
    """Return compiler options for another build, whose functions have other names."""
    return [f"-D{name}={prefix}_{name}" for name in CHAIN]


PROGRAMS: Mapping[str, Sequence[str]] = {
    "asker": [],
    "other_build": renamed("other"),
    "library.so": ["-shared", "-fPIC", *renamed("library")],
    "no_pie": ["-no-pie"],
    "static": ["-static"],
    "static_other_build": ["-static", *renamed("other")],
    "static_pie": ["-static-pie"],
    "stripped": ["-s"],
    "no_build_id": ["-Wl,--build-id=none"],
    "no_build_id_other_build": ["-Wl,--build-id=none", *renamed("other")],
}


def build(folder: Path) -> None:
    """Build what the driver runs."""
    folder.mkdir()
    options = ["-fomit-frame-pointer", "-fno-optimize-sibling-calls"]
    for name, more in PROGRAMS.items():
        compiled(folder, f"{name}.c", (HERE / "asker.c").read_text(), [*options, *more]).rename(folder / name)


@dataclass(frozen=True)
class Guest:
    """Hold what came back from the guest, and the programs that were sent."""

    out: Path
    programs: Path
    pids: Mapping[str, int]

    def recording(self, probes: str) -> Recording:
        with open_capture(self.out / f"{probes}.cap") as reader:
            return load(reader, Selection(0))


@pytest.fixture(scope="module")
def guest(tmp_path_factory: pytest.TempPathFactory) -> Guest:
    out, programs = tmp_path_factory.mktemp("modules"), tmp_path_factory.mktemp("job") / "programs"
    build(programs)
    sources = [HERE / "modules_driver.py", recorded.TESTS / "workload", programs]
    recorded.run(["python3", "modules_driver.py"], sources, out, suite="bookworm")  # whose frames of libc are expected
    return Guest(out, programs, json.loads((out / "pids.json").read_text()))


@dataclass(frozen=True)
class Traces:
    """Hold the stack traces of each scenario's calls, in the order of time."""

    report: Report
    pids: Mapping[str, int]

    def of(self, scenario: str) -> list[StackTrace]:
        calls = self.report.recording.calls
        mine = np.flatnonzero((calls["pid"] == self.pids[scenario]) & (calls["role"] == Role.CLIENT))
        return [self.report.trace(int(place)) for place in mine[np.argsort(calls["t0"][mine])]]

    def only(self, scenario: str) -> StackTrace:
        (trace,) = self.of(scenario)
        return trace


@pytest.fixture(scope="module", params=["fexit", "kprobe"])
def recording(guest: Guest, request: pytest.FixtureRequest) -> Recording:
    return guest.recording(request.param)


@pytest.fixture(scope="module")
def traces(guest: Guest, recording: Recording, tmp_path_factory: pytest.TempPathFactory) -> Traces:
    """Return the stack traces that the capture alone gives."""
    return traced(guest, recording, tmp_path_factory.mktemp("no binaries"))


def traced(guest: Guest, recording: Recording, root: Path) -> Traces:
    """Return the stack traces on a machine whose files are those below `root`."""
    return Traces(make_report(recording, Selection(0), Binaries(root=str(root)).find), guest.pids)


def names(trace: StackTrace) -> list[str | None]:
    return [frame.name for frame in trace.frames]


def whole(trace: StackTrace) -> bool:
    """Return whether a stack trace goes from the C library, at the leaf, to where the kernel starts a program."""
    return trace.incomplete is None and (trace.frames[0].name, trace.frames[-1].name) == ("send", "_start")


@pytest.mark.parametrize(
    ("scenario", "prefixes"),
    [
        *(
            (scenario, [""])
            for scenario in (
                *("upgraded", "upgraded_before", "deleted", "in_tmpfs", "pivoted", "leaves"),
                *("no_pie", "static", "static_pie", "no_build_id"),
            )
        ),
        ("exec", ["", "other_"]),
        ("exec_static", ["", "other_"]),
    ],
)
def test_each_call_has_the_functions_that_made_it(traces: Traces, scenario: str, prefixes: list[str]) -> None:
    for trace, prefix in zip_longest(traces.of(scenario), prefixes):
        assert names(trace)[1:5] == [*(prefix + name for name in CHAIN), "main"]
        assert whole(trace)


def test_code_that_was_loaded_between_two_readings_of_the_maps_has_no_name(traces: Traces) -> None:
    """It may have replaced other code at its place."""
    before, loaded = traces.of("dlopen")
    assert names(before)[1:5] == [*CHAIN, "main"]
    assert names(loaded)[1:5] == [*[None] * len(CHAIN), "main"]
    assert {frame.unnamed for frame in loaded.frames[1:4]} == {Unnamed.MAPS_DIFFER}


def test_a_thread_has_names_when_the_main_thread_has_ended(traces: Traces) -> None:
    trace = traces.only("main_thread_ended")
    assert names(trace)[:5] == ["send", *CHAIN, "ask_when_the_main_thread_has_ended"]
    assert trace.incomplete is None


def test_pages_that_are_not_in_memory_do_not_end_a_stack_copy(recording: Recording, traces: Traces) -> None:
    calls = recording.calls[recording.calls["pid"] == traces.pids["unused_buffer"]]
    ((_, stack),) = recording.stacks.some(calls["stack"].tolist())
    assert stack.missing_pages
    trace = traces.only("unused_buffer")
    assert names(trace)[:5] == ["send", *CHAIN, "ask_below_a_buffer"]
    assert trace.incomplete is None


def test_a_stripped_function_is_known_by_where_it_begins(guest: Guest, traces: Traces) -> None:
    symbols = dict(re.findall(r"^0*([0-9a-f]+) \w (\w+)$", run("nm", guest.programs / "asker"), re.MULTILINE))
    begins = {name: address for address, name in symbols.items()}
    trace = traces.only("stripped")
    frames = [*trace.frames[1:5], trace.frames[-1]]
    assert [frame.label for frame in frames] == [f"asker+0x{begins[name]}" for name in (*CHAIN, "main", "_start")]
    assert {frame.unnamed for frame in frames} == {Unnamed.STRIPPED}
    assert trace.incomplete is None


@pytest.mark.parametrize(
    ("scenario", "name", "reason"), [("jit", None, Unnamed.ANONYMOUS), ("jit_map", "nova::render", None)]
)
def test_code_made_at_run_time_has_the_name_of_its_map_or_the_reason(
    traces: Traces, scenario: str, name: str | None, reason: Unnamed | None
) -> None:
    trace = traces.only(scenario)
    assert names(trace)[1:6] == [*CHAIN, name, "main"]
    assert trace.frames[4].unnamed is reason
    assert whole(trace)


REPLACED = {
    "tmp/askers/upgraded/asker": "other_build",
    "tmp/askers/upgraded_before/asker": "other_build",
    "tmp/askers/no_build_id/asker": "no_build_id_other_build",
    "mnt/asker": "other_build",
    "asker": "static_other_build",
}


@pytest.fixture
def replaced(guest: Guest, tmp_path: Path) -> Path:
    """Return the root of a machine with another build at the recorded paths."""
    for path, name in REPLACED.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(guest.programs / name, tmp_path / path)
    return tmp_path


OF_REPLACED = pytest.mark.parametrize("scenario", ["upgraded", "upgraded_before", "no_build_id", "in_tmpfs", "pivoted"])


@OF_REPLACED
def test_another_build_at_the_path_changes_nothing(
    guest: Guest, recording: Recording, traces: Traces, replaced: Path, scenario: str
) -> None:
    assert traced(guest, recording, replaced).of(scenario) == traces.of(scenario)


@OF_REPLACED
def test_another_build_at_the_path_gives_no_name(
    guest: Guest, recording: Recording, replaced: Path, scenario: str
) -> None:
    """The capture carries the C library, but not the programs."""
    libraries = {
        number: wholes for number, wholes in recording.carried.items() if b"asker" not in recording.modules[number].path
    }
    trace = traced(guest, replace(recording, carried=libraries), replaced).only(scenario)
    frames = [frame for frame in trace.frames if frame.module and frame.module.endswith("asker")]
    assert {(frame.name, frame.unnamed) for frame in frames} == {(None, Unnamed.OTHER_BUILD)}


def test_nothing_is_lost(guest: Guest, recording: Recording) -> None:
    assert not recorded.lost(recording.lost)
    assert {process.problem for records in recording.processes.values() for process in records} == {""}
    assert recording.meta.probes in ("fexit", "kprobe")
