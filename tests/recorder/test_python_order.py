"""Record a Python program, and compare all frames, native ones and Python's, and their order with what gdb finds at
the same sends."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from httpreport.languages.stack_trace import FrameKind, StackTrace
from support import gdb_python
from support.gdb_python import Merged
from support.python_frames import read
from support.recorders import needs_a_recorder
from workload import python_driver

PYTHON = "/usr/bin/python3"


@pytest.fixture(scope="module", autouse=True)
def needs() -> None:
    needs_a_recorder()
    if not gdb_python.is_installed(PYTHON):
        pytest.skip("python3-dbg is not installed: gdb cannot tell Python's frames")


def merged_frames(trace: StackTrace) -> Merged:
    """Return all frames of a stack trace as gdb tells them. It tells of a function its own name, without its class."""
    return [
        [(frame.name or "").rpartition(".")[2], frame.file, frame.line]
        if frame.kind is FrameKind.PYTHON
        else frame.address
        for frame in trace.frames
        if not frame.inlined
    ]


def test_native_and_python_frames_have_the_order_that_gdb_finds(tmp_path: Path) -> None:
    capture, expected = tmp_path / "run.cap", dict[str, Merged]()

    watch = partial(gdb_python.watched, found=expected)
    python_driver.record(PYTHON, tmp_path, {capture: ["--probes", "tracepoint"]}, beside=watch)

    recorded = read(capture, all_frames=True)
    compared = 0
    for note in recorded.notes["client"]:
        trace = recorded.trace("client", note["request"])
        if trace:
            assert merged_frames(trace) == expected[note["request"]], note["situation"]
            compared += 1
    assert compared > 30
