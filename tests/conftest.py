"""Choose the quick tests, turn skipped tests into failures under CI=true, and print what a run took.

Without CI=true, pytest lists the skipped tests at the end. Timings are not tested, because the machine may be busy:
hypothesis has no deadline, and may take its time to draw.
"""

from __future__ import annotations

import os
import time
from collections.abc import Generator
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, settings

from vm import retries

settings.register_profile("busy machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy machine")

TestOrCollect = TypeVar("TestOrCollect", pytest.TestReport, pytest.CollectReport)
CI = os.environ.get("CI") == "true"
# Tests that take more than about a second of a quiet machine each: they search through damaged inputs, compare whole
# system libraries with what binutils say, kill recorders, or compile much. Paths and names below tests/.
LONG: tuple[str, ...] = ()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as quick every test that needs no guest and no browser, is not LONG, and draws no inputs."""
    for item in items:
        if not (_needs_a_guest(item) or _needs_a_browser(item) or _is_long(item)):
            item.add_marker(pytest.mark.quick)


def _needs_a_guest(item: pytest.Item) -> bool:
    return item.path.parent.name == "vm"


def _needs_a_browser(item: pytest.Item) -> bool:
    return "chromium" in getattr(item, "fixturenames", ())


def _is_long(item: pytest.Item) -> bool:
    below = item.nodeid.removeprefix("tests/")
    return item.get_closest_marker("hypothesis") is not None or below.startswith(LONG)


def _forbid_skip(report: TestOrCollect) -> TestOrCollect:
    if CI and report.skipped and not hasattr(report, "wasxfail"):
        # pytest's own longrepr of a skip: (path, line, reason)
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"under CI=true nothing may be skipped: {reason}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    return _forbid_skip((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    return _forbid_skip((yield))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print which boots were retried, and what the target of the Makefile took since tools/run.sh began."""
    for line in retries.summary(terminalreporter.config.stash.get(retries.RETRIED, [])):
        terminalreporter.write_line(line)
    target, started = os.environ.get("HTTPREC_TARGET"), os.environ.get("HTTPREC_STARTED")
    if target and started:
        terminalreporter.write_line(f"make {target}: {time.time() - float(started):.0f} s in all")
