"""Under CI=true nothing is skipped: what would be is a failure, with the reason. Else pytest says it at the end.

Timings are not tested, since the machine may be busy: hypothesis has no deadline, and may take its time to draw.
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
    """Print which boots were retried, and what the target of the Makefile took since tests/run.sh began."""
    for line in retries.summary(terminalreporter.config.stash.get(retries.RETRIED, [])):
        terminalreporter.write_line(line)
    target, started = os.environ.get("HTTPREC_TARGET"), os.environ.get("HTTPREC_STARTED")
    if target and started:
        terminalreporter.write_line(f"make {target}: {time.time() - float(started):.0f} s in all")
