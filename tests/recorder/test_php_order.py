"""Record a PHP program, and compare all frames, native ones and PHP's, and their order with what gdb finds at the same
sends: in each activation of the interpreter's loop, a register that gdb restores has the frame that it runs."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from httpreport.languages.php_stack import INTERNAL
from httpreport.languages.stack_trace import FrameKind, StackTrace
from support import gdb_python
from support.gdb_python import Merged
from support.php_programs import FREED, PHPS, record
from support.recorders import needs_a_recorder

OF_FIBERS = ("fiber", "fiber, resumed")  # of which the native stack is that of the fiber only

# execute_ex keeps its frame in r14 (ZEND_VM_FP_GLOBAL_REG, Zend/zend_execute.c) where gcc has compiled it.
PHP = """
def number(address, size=8):
    return int.from_bytes(gdb.selected_inferior().read_memory(address, size).tobytes(), "little")

def merged():
    native, frame = [], gdb.newest_frame()
    while frame:
        is_loop = (frame.name() or "").startswith("execute_ex")
        native.append((frame.pc(), int(frame.read_register("r14")) if is_loop else 0))
        frame = frame.older()
    loops = [first for _, first in native if first]
    for pc, first in native:
        if first:
            yield from functions(first, loops[loops.index(first) + 1 :][:1])
        yield pc

def functions(frame, until):
    while frame and frame not in until:
        function = number(frame + 24)
        if function and number(function, 1) != 1:
            name = number(function + 8)
            size = number(name + 16) if name else 0
            yield [gdb.selected_inferior().read_memory(name + 24, size).tobytes().decode() if name else "{main}"]
        frame = number(frame + 48)
"""


@pytest.fixture(scope="module", autouse=True)
def needs() -> None:
    needs_a_recorder()


def merged_frames(trace: StackTrace) -> Merged:
    """Return all frames of a stack trace as gdb tells them: of a function its own name, without its class. Functions of
    PHP itself are native frames to it."""
    shown = (frame for frame in trace.frames if frame.file != INTERNAL and not frame.inlined)
    return [
        [(frame.name or "").rpartition("::")[2]] if frame.kind is FrameKind.PHP else frame.address for frame in shown
    ]


@pytest.mark.parametrize("php", PHPS.values(), ids=PHPS)
def test_native_and_php_frames_have_the_order_that_gdb_finds(php: str, tmp_path: Path) -> None:
    expected = dict[str, Merged]()
    watch = partial(gdb_python.watched, found=expected, merged=PHP)
    recorded = record(php, tmp_path, beside=watch, all_frames=True)
    compared = 0
    for note in recorded.notes["client"]:
        trace = recorded.trace("client", note["request"])
        if trace and not trace.incomplete and note["situation"] not in (*FREED, *OF_FIBERS, "yield from"):
            assert merged_frames(trace) == expected[note["request"]], note["situation"]
            compared += 1
    assert compared > 30
