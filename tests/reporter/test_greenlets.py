"""Check that a greenlet's stack trace ends where the greenlet began: the frames behind it are remains of others, not
its callers."""

from __future__ import annotations

from pathlib import Path

import pytest

from httpreport.languages.greenlets import START
from httpreport.languages.stack_trace import Incomplete
from httpreport.symbols.binary_lookup import Binaries
from support.debian import unpack_packages
from support.live import Taken, taken
from support.reports import reported
from support.stacks import blocked

# As eventlet's does, the hub starts a greenlet from one depth of its stack and resumes it from another.
HUB = """
import json, os
from greenlet import greenlet
def work():
    hub.switch()
    os.read(0, 1)
def timer(depth):
    return timer(depth - 1) if depth else sorted([1], key=lambda _: waiting.switch())
def loop():
    timer(3)
    json.dumps(loop, default=lambda _: waiting.switch())
hub = greenlet(loop)
waiting = greenlet(work, hub)
hub.switch()
"""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Taken:
    folder = tmp_path_factory.mktemp("greenlet")
    unpack_packages("bookworm", ["python3-greenlet"], folder, "*/greenlet/*")
    packages = next(folder.glob("usr/lib/python3/dist-packages"))
    with blocked(["env", f"PYTHONPATH={packages}", "/usr/bin/python3", "-c", HUB]) as pid:
        return taken(pid)


def test_a_greenlet_ends_where_it_began(tmp_path: Path, stack: Taken) -> None:
    """gdb, which does not know greenlets, continues."""
    trace = reported(stack.capture(), find_binary=Binaries(root=str(tmp_path)).find).trace(0)

    addresses = tuple(frame.address for frame in trace.frames)
    assert addresses == stack.expected[: len(addresses)]
    assert len(stack.expected) > len(addresses)
    names = [frame.name for frame in trace.frames]
    assert names[-1] == START
    assert "_PyEval_EvalFrameDefault" in names
    assert trace.incomplete is Incomplete.GREENLET
