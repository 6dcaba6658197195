"""Choose the quick tests, and turn skipped tests into failures under CI=true.

Without CI=true, pytest lists the skipped tests at the end. Timings are not tested, because the machine may be busy:
hypothesis has no deadline, and may take its time to draw.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, is_hypothesis_test, settings

settings.register_profile("busy machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy machine")

TestOrCollect = TypeVar("TestOrCollect", pytest.TestReport, pytest.CollectReport)
CI = os.environ.get("CI") == "true"
# Files, or tests in them, that take more than a second or two each on a quiet machine: they try many damaged inputs,
# compare whole system libraries with what binutils and gdb say, or start programs again and again.
LONG = (
    "bpf/test_btf.py",
    "bpf/test_program.py",
    "format/test_capture_damage.py",
    "format/test_capture_fuzz.py",
    "format/test_capture_hostile.py::test_what_is_refused_is_also_what_a_plain_msgpack_reader_would_swallow",
    "recorder/test_any_end.py",
    "recorder/test_both_ends.py",
    "recorder/test_check.py",
    "recorder/test_client_matrix.py",
    "recorder/test_console.py",
    "recorder/test_far_calls.py",
    "recorder/test_grpc_in_tls.py",
    "recorder/test_head_slots.py",
    "recorder/test_http2_clients.py",
    "recorder/test_http2_lost_blocks.py",
    "recorder/test_httprec.py",
    "recorder/test_java_programs.py",
    "recorder/test_kept_heads.py",
    "recorder/test_kill.py",
    "recorder/test_node_programs.py",
    "recorder/test_printed_calls.py::test_the_whole_of_each_call_on_an_older_connection_is_printed_with_who_asked",
    "recorder/test_protocols.py",
    "recorder/test_recorded_causes.py",
    "recorder/test_python_late_stacks.py",
    "recorder/test_python_order.py",
    "recorder/test_python_programs.py",
    "recorder/test_secrets_in_captures.py",
    "recorder/test_server_logs.py",
    "recorder/test_server_names.py",
    "recorder/test_slots.py",
    "recorder/test_tls_heads.py",
    "reporter/test_call_frames.py::test_every_row_is_the_one_that_readelf_prints",
    "reporter/test_elf.py::test_mutated_files_raise_nothing_but_bad_elf_in_bounded_memory",
    "reporter/test_hostile_names.py",
    "reporter/test_httpreport.py",
    "reporter/test_info_verify.py",
    "reporter/test_json_report.py",
    "reporter/test_jit_map.py::test_lines_beyond_the_limit_are_cut_off",
    "reporter/test_killed_captures.py",
    "reporter/test_many_captures.py",
    "reporter/test_modules_fuzz.py",
    "reporter/test_output_files.py",
    "reporter/test_profile_formats.py",
    "reporter/test_progress.py",
    "reporter/test_recorded_stacks.py",
    "reporter/test_source_lines.py",
    "reporter/test_stack_copies.py",
    "reporter/test_streams.py",
    "reporter/test_symbol_table.py",
    "reporter/test_totals.py",
    "reporter/test_unreached.py",
    "reporter/test_unwind.py",
    "reporter/test_workers.py",
    "tools/test_demo.py",
    "tools/test_man.py",
    "tools/test_zipapp.py",
)
TESTS = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as quick every test that needs no guest and no browser, is not LONG, and draws no inputs."""
    _check_long()
    for item in items:
        if not (_needs_a_guest(item) or _needs_a_browser(item) or _is_long(item)):
            item.add_marker(pytest.mark.quick)


def _check_long() -> None:
    """Raise UsageError if LONG names a test that does not exist."""
    for name in LONG:
        path, _, test = name.partition("::")
        if not (TESTS / path).is_file() or f"def {test}" not in (TESTS / path).read_text():
            raise pytest.UsageError(f"tests/conftest.py: LONG names {name}, which does not exist: correct or remove it")


def _needs_a_guest(item: pytest.Item) -> bool:
    return item.path.parent.name == "vm"


def _needs_a_browser(item: pytest.Item) -> bool:
    return "chromium" in getattr(item, "fixturenames", ())


def _is_long(item: pytest.Item) -> bool:
    below = item.nodeid.removeprefix("tests/")
    return is_hypothesis_test(getattr(item, "obj", None)) or below.startswith(LONG)


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
