"""Find the causes of recorded calls: the path of each request is an ID that no rule looks at.

Where a cause is sure it must be the true one, and where the program does not tell it, it must not be known.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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
from workload.recorder import recording

WORKLOAD = TESTS / "workload" / "caused_calls.py"
UPSTREAM, SERVICE = 7611, 7612
REQUESTS = 60


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


def recorded(folder: Path, way: str, at_once: int, threshold: int, *others: str) -> Report:
    if os.geteuid() != 0:
        pytest.skip("not root: cannot record")
    capture = folder / "run.cap"
    with started(folder, "upstream", "upstream", UPSTREAM), started(folder, "service", way, SERVICE, UPSTREAM):
        options = ("-t", str(threshold), "-p", "service", "-p", "upstream", "-p", "load", *others)
        with recording(capture, *options), started(folder, "load", "load", SERVICE, REQUESTS, at_once):
            pass
    return reported(capture.read_bytes(), milliseconds=None, find_binary=Binaries().find)


def said(report: Report) -> Counter[tuple[Certainty, bool]]:
    """Count for the client calls of the service how certain their cause is, and whether it is the true one."""
    calls, heads, found = report.recording.calls, report.recording.heads, report.causes
    paths = [heads.texts[place].split(b" ", 2)[1] for place in calls["request"].tolist()]
    of_service = calls["process"] == b"service"
    servers, clients = (np.flatnonzero(of_service & (calls["role"] == role)) for role in (Role.SERVER, Role.CLIENT))
    true = {paths[server]: server for server in servers.tolist()}
    return Counter(
        (Certainty(found.certainty[client]), bool(found.indices[client] == true.get(paths[client], -1)))
        for client in clients.tolist()
    )


@pytest.mark.parametrize(("at_once", "threshold"), [(1, 0), (10, 0), (10, 30)])
def test_threads_tell_all_causes(at_once: int, threshold: int, tmp_path: Path) -> None:
    assert said(recorded(tmp_path, "threads", at_once, threshold)).keys() == {(Certainty.SURE, True)}


def test_calls_that_a_service_makes_by_itself_have_no_cause(tmp_path: Path) -> None:
    """Their path has no request, so that they must not have a cause either."""
    assert said(recorded(tmp_path, "ticks", 10, 0)).keys() == {(Certainty.SURE, True), (Certainty.NOT_KNOWN, True)}


def test_the_stacks_of_an_event_loop_tell_all_causes(tmp_path: Path) -> None:
    report = recorded(tmp_path, "loop", 10, 0)

    assert said(report).keys() == {(Certainty.SURE, True)}
    assert Rule.STACK in report.causes.rules.tolist()
    find_binary = Binaries().find
    data = redacted((tmp_path / "run.cap").read_bytes(), find_binary)
    given_away = reported(data, milliseconds=None, find_binary=find_binary)
    assert not any(stack.memory for stack in given_away.recording.stacks)
    assert links(given_away) == links(report)
    assert given_away.linked_trees.above.tolist() == report.linked_trees.above.tolist()


def links(report: Report) -> list[tuple[object, object]]:
    """Return what --json says of the cause and the self time of each call."""
    return [(call["cause"], call["self_time"]) for call in json.loads(json_text(report, "run.cap"))["calls"]]


def test_with_frames_instead_of_stack_copies_an_event_loop_tells_none(tmp_path: Path) -> None:
    counts = said(recorded(tmp_path, "loop", 10, 0, "--stack", "fp"))

    assert counts[Certainty.NOT_KNOWN, False] > 0.9 * sum(counts.values())
    assert counts[Certainty.SURE, False] == 0


@pytest.mark.parametrize(
    ("way", "at_once"), [("gather", 3), ("gather", 5), ("gather", 20), ("late", 3), ("late", 10), ("pool", 20)]
)
def test_what_nothing_tells_is_not_sure(way: str, at_once: int, tmp_path: Path) -> None:
    """Tasks of their own, and threads of a pool, have nothing of the request on their stacks that would always be
    there. With few requests at once, what the last one has left there is mostly right."""
    counts = said(recorded(tmp_path, way, at_once, 0))

    assert counts[Certainty.SURE, True] + counts[Certainty.SURE, False] == 0
