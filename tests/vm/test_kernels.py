"""Make the same calls on every kernel, with fexit, kprobes and tracepoints, and with the BCC and Python of every
Debian.

A cell is a guest: the packages of one suite on the kernel of another. `make test` boots the cells IN_EVERY_TEST, and
`make test-kernels` all of them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from httpcapture import Outcome, Role
from httpreport.report.aggregate import Request, read_report
from httpreport.report.report import Report
from vm import recorded

SUITES = ("bullseye", "bookworm", "trixie")
KERNELS = {"bullseye": "5.10.", "bookworm": "6.1.", "trixie": "6.12.", "sid": ""}  # sid: whatever it is today
IN_EVERY_TEST = {("bullseye", "bullseye")}  # other tests have bookworm and trixie, each on its own kernel
OLD_BCC = "bullseye"  # its libbpf reads the type information of its own kernel only, without which there is no fexit
WITH_TRACEPOINTS = {"sid"}  # of Linux 6.16 and later
# What a kernel counts although nothing is missing, and what it does not show. Why is in docs/install.md, "Kernels".
COUNTED = {
    ("bullseye", "kprobe"): {"probe_perhaps_missed"},
    ("sid", "fexit"): {"probe_missed"},
    ("sid", "tracepoint"): {"probe_missed"},
}
SLOW_NS = 300_000_000
SENT, RECEIVED = 35, 43

# Outcome, sequence, bytes sent and received of every call of a scenario, of the client and of the server.
CLIENT = (Outcome.ANSWERED, 1, SENT, RECEIVED)
SERVER = (Outcome.ANSWERED, 1, RECEIVED, SENT)
EXPECTED = {
    "plain": ([CLIENT], [SERVER]),
    "ipv6": ([CLIENT], [SERVER]),
    "keepalive": (
        [CLIENT, (Outcome.ANSWERED, 2, SENT, RECEIVED)],
        [SERVER, (Outcome.ANSWERED, 2, RECEIVED, SENT)],
    ),
    "eof": ([(Outcome.EOF, 1, SENT, 0)], [(Outcome.CLOSED, 1, 0, SENT)]),
    "reset": ([(Outcome.RESET, 1, SENT, 0)], [(Outcome.CLOSED, 1, 0, SENT)]),
    "in_flight": ([(Outcome.IN_FLIGHT, 1, SENT, 0)], [(Outcome.IN_FLIGHT, 1, 0, SENT)]),
}


@dataclass(frozen=True)
class Cell:
    """Hold what came back from one guest."""

    suite: str
    kernel: str
    reports: Mapping[str, Report]  # by kind of probes
    scenarios: Mapping[str, dict[str, Any]]

    def calls(self, probes: str, scenario: str, side: str) -> Any:
        calls = self.reports[probes].recording.calls
        mine = calls[calls["pid"] == self.scenarios[scenario][f"{side}_pid"]]
        return mine[np.argsort(mine["t0"])]


def report(capture: Path) -> Report:
    """Return a report whose frames are named from the capture alone, because this machine has other builds."""
    return read_report(str(capture), Request(milliseconds=0))


def cells() -> list[Any]:
    return [
        pytest.param(
            (suite, kernel),
            id=f"{suite}_on_{kernel}",
            marks=() if (suite, kernel) in IN_EVERY_TEST else pytest.mark.every_kernel,
        )
        for kernel in KERNELS
        for suite in SUITES
    ]


@pytest.fixture(scope="module", params=cells())
def cell(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Cell:
    suite, kernel = request.param
    out = tmp_path_factory.mktemp(f"{suite}-{kernel}")
    probes = ["kprobe"] if suite == OLD_BCC != kernel else ["fexit", "kprobe"]
    probes += ["tracepoint"] * (kernel in WITH_TRACEPOINTS)
    command = ["python3", "outcomes_driver.py", ",".join(probes), ",".join(EXPECTED)]
    sources = [Path(__file__).with_name("outcomes_driver.py"), recorded.TESTS / "workload"]
    recorded.run(command, sources, out, suite=suite, kernel=kernel)
    scenarios = json.loads((out / "seen.json").read_text())
    return Cell(suite, kernel, {name: report(out / f"{name}.cap") for name in probes}, scenarios)


def test_the_calls_are_the_same_on_every_kernel(cell: Cell) -> None:
    fields = ["outcome", "sequence", "sent", "received"]
    for probes, found in cell.reports.items():
        assert found.recording.meta.kernel.startswith(KERNELS[cell.kernel])
        assert found.recording.meta.probes == probes
        for scenario, sides in EXPECTED.items():
            for side, role, expected in zip(("client", "server"), (Role.CLIENT, Role.SERVER), sides):
                calls = cell.calls(probes, scenario, side)
                assert calls[fields].tolist() == expected, (probes, scenario, side)
                assert set(calls["role"]) == {role}


def test_their_times_lie_within_those_of_the_clients_clock(cell: Cell) -> None:
    for probes in cell.reports:
        for scenario in EXPECTED:
            for call, own in zip(cell.calls(probes, scenario, "client"), cell.scenarios[scenario]["calls"]):
                assert int(call["t0"]) + SLOW_NS <= int(call["t2"]), (probes, scenario)
                for time, (earliest, latest) in own.items():  # in_flight has no t2
                    assert earliest <= int(call[time]) <= latest, (probes, scenario, time)


def test_every_stack_is_whole(cell: Cell) -> None:
    """Each stack goes from the send to _start."""
    for found in cell.reports.values():
        traces = [(call.process, found.traces[place]) for call, place, _ in found.calls() if found.record_number(call)]
        assert len(traces) >= 7 + 4  # of the clients' calls, and of the servers' that answered
        for process, trace in traces:
            assert trace.incomplete is None, (process, trace)
            assert len(trace.frames) > 10, (process, trace)
            assert trace.frames[-1].name == "_start", (process, trace.frames[-1])


def test_nothing_is_lost_and_the_ledger_adds_up(cell: Cell) -> None:
    for probes, found in cell.reports.items():
        recording = found.recording
        assert recording.end is not None
        assert recording.end.emitted == recording.end.recorded == len(recording.calls)
        assert recorded.lost(recording.lost).keys() <= COUNTED.get((cell.kernel, probes), set()), probes
