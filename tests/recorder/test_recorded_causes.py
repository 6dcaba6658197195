"""Find the causes of recorded calls: the path of each request is an ID that no rule looks at.

Where a cause is sure it must be the true one, and where the program does not tell it, it must not be sure. All services
are recorded at once, by three recorders.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest

from httpcapture import Role
from httpreport.calls.causes import Rule
from httpreport.calls.certainty import Certainty
from httpreport.report.report import Report
from httpreport.symbols.binary_lookup import Binaries
from support.commands import TESTS
from support.programs import running
from support.redactions import redacted
from support.reports import json_text, reported
from workload.recorder import recordings

WORKLOAD = TESTS / "workload" / "caused_calls.py"
UPSTREAM, FIRST_PORT = 7611, 7612
REQUESTS = 60
SERVICES = {
    "threads-1": ("threads", 1),
    "threads-10": ("threads", 10),
    "ticks-10": ("ticks", 10),
    "loop-10": ("loop", 10),
    "gather-3": ("gather", 3),
    "gather-5": ("gather", 5),
    "late-3": ("late", 3),
    "late-10": ("late", 10),
    "pool-20": ("pool", 20),
}
"""In which way each service makes its calls, and how many requests it gets at once."""
RECORDERS = {"all": ("-t", "0"), "slow": ("-t", "30"), "fp": ("-t", "0", "--stack", "fp")}
Said = Counter[tuple[Certainty, bool]]


@contextmanager
def started(folder: Path, name: str, *arguments: object) -> Iterator[None]:
    """Run a part of the workload under this name."""
    program = folder / name
    program.symlink_to(os.path.realpath(sys.executable))
    with running(program, WORKLOAD, *map(str, arguments)) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield
        if arguments[0] == "load":
            assert process.stdout.readline() == "done\n"


@pytest.fixture(scope="module")
def captures(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, bytes]:
    """Return what each of RECORDERS has recorded."""
    if os.geteuid() != 0:
        pytest.skip("not root: cannot record")
    folder = tmp_path_factory.mktemp("causes")
    names = [option for name in ("upstream", "load", *SERVICES) for option in ("-p", name)]
    recorders = {folder / f"{name}.cap": (*options, *names) for name, options in RECORDERS.items()}
    with started(folder, "upstream", "upstream", UPSTREAM), ExitStack() as services:
        for port, (name, (way, _)) in enumerate(SERVICES.items(), FIRST_PORT):
            services.enter_context(started(folder, name, way, port, UPSTREAM))
        with recordings(recorders):
            for port, (_, at_once) in enumerate(SERVICES.values(), FIRST_PORT):
                with TemporaryDirectory(dir=folder) as own, started(Path(own), "load", "load", port, REQUESTS, at_once):
                    pass
    return {name: (folder / f"{name}.cap").read_bytes() for name in RECORDERS}


@pytest.fixture(scope="module")
def reports(captures: Mapping[str, bytes]) -> Mapping[str, Report]:
    return {name: report_of(data) for name, data in captures.items()}


def report_of(data: bytes) -> Report:
    return reported(data, milliseconds=None, find_binary=Binaries().find)


def said(report: Report, service: str) -> Said:
    """Count for the client calls of a service how certain their cause is, and whether it is the true one."""
    calls, heads, found = report.recording.calls, report.recording.heads, report.causes
    paths = [heads.texts[place].split(b" ", 2)[1] for place in calls["request"].tolist()]
    of_service = calls["process"] == service.encode()
    servers, clients = (np.flatnonzero(of_service & (calls["role"] == role)) for role in (Role.SERVER, Role.CLIENT))
    true = {paths[server]: server for server in servers.tolist()}
    return Counter(
        (Certainty(found.certainty[client]), bool(found.indices[client] == true.get(paths[client], -1)))
        for client in clients.tolist()
    )


@pytest.mark.parametrize(
    ("recorder", "service"), [("all", "threads-1"), ("all", "threads-10"), ("slow", "threads-10"), ("fp", "threads-10")]
)
def test_threads_tell_all_causes(reports: Mapping[str, Report], recorder: str, service: str) -> None:
    assert said(reports[recorder], service).keys() == {(Certainty.SURE, True)}


def test_calls_that_a_service_makes_by_itself_have_no_cause(reports: Mapping[str, Report]) -> None:
    """Their path has no request, so that they must not have a cause either."""
    assert said(reports["all"], "ticks-10").keys() == {(Certainty.SURE, True), (Certainty.NOT_KNOWN, True)}


def test_the_stacks_of_an_event_loop_tell_all_causes(reports: Mapping[str, Report]) -> None:
    assert said(reports["all"], "loop-10").keys() == {(Certainty.SURE, True)}
    assert Rule.STACK in reports["all"].causes.rules.tolist()


def test_a_redacted_capture_says_the_same(captures: Mapping[str, bytes], reports: Mapping[str, Report]) -> None:
    given_away = report_of(redacted(captures["all"], Binaries().find))

    assert not any(stack.memory for stack in given_away.recording.stacks)
    assert links(given_away) == links(reports["all"])
    assert calls_above(given_away) == calls_above(reports["all"])


def calls_above(report: Report) -> set[tuple[object, object]]:
    """Return each call that has another above it in a tree, and that one. A redacted capture has another order."""
    calls, above = report.recording.calls, report.linked_trees.above
    keys = list(zip(calls["role"].tolist(), calls["connection"].tolist(), calls["sequence"].tolist()))
    return {(keys[call], keys[above[call]]) for call in np.flatnonzero(above >= 0).tolist()}


def links(report: Report) -> list[tuple[object, object]]:
    """Return what --json says of the cause and the self time of each call."""
    return [(call["cause"], call["self_time"]) for call in json.loads(json_text(report, "run.cap"))["calls"]]


def test_with_frames_instead_of_stack_copies_an_event_loop_tells_none(reports: Mapping[str, Report]) -> None:
    counts = said(reports["fp"], "loop-10")

    assert counts[Certainty.NOT_KNOWN, False] > 0.9 * sum(counts.values())
    assert counts[Certainty.SURE, False] == 0


@pytest.mark.parametrize("service", [name for name in SERVICES if name.startswith(("gather", "late", "pool"))])
def test_what_nothing_tells_is_not_sure(reports: Mapping[str, Report], service: str) -> None:
    """Tasks of their own, and threads of a pool, have nothing of the request on their stacks that would always be
    there. With few requests at once, what the last one has left there is mostly right."""
    counts = said(reports["all"], service)

    assert sum(counts.values()) == 2 * REQUESTS
    assert counts[Certainty.SURE, True] + counts[Certainty.SURE, False] == 0
