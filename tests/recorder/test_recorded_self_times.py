"""Record requests that wait for many calls below the threshold, and compare their self times with those of the
service's own clock (tests/workload/many_calls.py)."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from httpcapture import Role
from httpreport.cli.main import main
from support.commands import TESTS
from support.programs import running
from support.recorders import needs_a_recorder
from support.reports import reported
from workload.many_calls import CALLS, REQUESTS
from workload.recorder import recording

WORKLOAD = TESTS / "workload" / "many_calls.py"
SERVICE, OTHERS = "manycalls", "manyothers"


def lengths(spans: list[list[int]]) -> Any:
    """Return how long each of these times was, those of the calls of one request together."""
    each = np.array([after - before for before, after in spans])
    return each if len(spans) == REQUESTS else each.reshape(REQUESTS, CALLS).sum(axis=1)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any, Any]:
    """Return a capture, and bounds of the self time of each request, in ns: the least and the most."""
    needs_a_recorder()
    folder = tmp_path_factory.mktemp("self")
    for name in (SERVICE, OTHERS):
        (folder / name).symlink_to(os.path.realpath(sys.executable))
    capture = folder / "run.cap"
    with running(folder / OTHERS, WORKLOAD, "others") as others:
        assert others.stdin and others.stdout
        with running(folder / SERVICE, WORKLOAD, "service", others.stdout.readline().strip()) as service:
            assert service.stdout
            options = ("-t", "100", "-p", SERVICE, "-p", OTHERS, "-q", "--probes", "tracepoint")
            with recording(capture, *options, "--modules", "none"):
                others.stdin.write(service.stdout.readline())
                others.stdin.flush()
                around, upstream = json.loads(others.stdout.readline())
                within, calls = json.loads(service.stdout.readline())
    return capture, lengths(within) - lengths(calls), lengths(around) - lengths(upstream)


def test_self_times_are_those_of_the_services_own_clock(recorded: tuple[Path, Any, Any]) -> None:
    capture, least, most = recorded
    report = reported(capture.read_bytes(), milliseconds=None)
    calls = report.recording.calls
    requests = np.flatnonzero((calls["role"] == Role.SERVER) & (calls["process"] == SERVICE.encode()))
    requests = requests[np.argsort(calls["t0"][requests])]
    assert len(requests) == REQUESTS
    for bound in report.self_times:
        assert (least <= bound[requests]).all() and (bound[requests] <= most).all()


def test_the_calls_are_below_the_request_in_its_tree(recorded: tuple[Path, Any, Any], tmp_path: Path) -> None:
    options = [str(recorded[0]), "-o", str(tmp_path), "--tree", "1"]
    said = CliRunner().invoke(main, options, env={"COLUMNS": "200"}).stdout
    assert f"{SERVICE} asks" in said and f"x {CALLS}," in said
    assert f"{OTHERS} answers" in said
