"""Check that a stack trace by frame pointers is complete only if no caller can be missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from httpreport.languages.frame_pointers import may_skip_callers
from httpreport.languages.stack_trace import Frame, Incomplete, StackTrace
from httpreport.symbols.binary_lookup import Binaries
from httpreport.unwind import Found
from support.compiled import run
from support.live import taken
from support.redactions import redacted, traces
from support.reports import reported
from support.stacks import blocked

# `middle` has neither unwind information nor a frame pointer of its own, as Java's compiled code. The frames have no
# other words: what an earlier call left in one may look like a return address.
MAIN = "int outer(int); int main(int argc, char **argv) { return outer(argc) + 1; }"
FUNCTION = """
    .globl  {0}
    .type   {0}, @function
{0}:
    {1}
    .size   {0}, . - {0}
"""
KEEPING = "push %rbp; mov %rsp, %rbp; {}; pop %rbp; ret"
READ = "xor %edi, %edi; lea -64(%rsp), %rsi; mov $1, %edx; call read"
WITHOUT = "sub $8, %rsp; call leaf; add $8, %rsp; ret"
WITH = KEEPING.format("call leaf")
OPTIONS = ["-O1", "-fno-omit-frame-pointer", "-fno-asynchronous-unwind-tables", "-fno-optimize-sibling-calls"]


def traced(folder: Path, middle: str) -> StackTrace:
    functions = {"leaf": KEEPING.format(READ), "middle": middle, "outer": KEEPING.format("call middle")}
    (folder / "main.c").write_text(MAIN)
    (folder / "code.s").write_text("".join(FUNCTION.format(*each) for each in functions.items()))
    run("gcc", *OPTIONS, "-o", folder / "calls", folder / "main.c", folder / "code.s")
    with blocked([folder / "calls"]) as pid:
        data = taken(pid).capture()
    find_binary = Binaries(root=str(folder / "nothing")).find
    report = reported(data, find_binary=find_binary)
    assert traces(report) == traces(reported(redacted(data, find_binary), find_binary=find_binary))
    return report.trace(0)


def test_a_caller_that_was_skipped_is_missing_and_the_trace_says_so(tmp_path: Path) -> None:
    trace = traced(tmp_path, WITHOUT)

    assert [frame.name for frame in trace.frames][1:4] == ["leaf", "middle", "main"]
    assert trace.incomplete is Incomplete.CALLERS_SKIPPED
    assert [frame.found for frame in trace.frames][2:4] == [Found.FRAME_POINTER, Found.FRAME_POINTER_PAST]


def test_where_every_function_keeps_the_frame_pointer_no_caller_is_missing(tmp_path: Path) -> None:
    trace = traced(tmp_path, WITH)

    assert [frame.name for frame in trace.frames][1:5] == ["leaf", "middle", "outer", "main"]
    assert trace.incomplete is None
    assert Found.FRAME_POINTER_PAST not in {frame.found for frame in trace.frames}


@pytest.mark.parametrize(
    ("callee", "missing"),
    [
        (Frame(1, "/usr/bin/java", 1, "function"), True),
        (Frame(1), True),
        (Frame(1, "[JIT]", name="void Chain.level5(boolean)"), True),
        (Frame(1, "[JIT]", name="Interpreter"), False),
        (Frame(1, "[JIT]", name="StubRoutines (1)"), False),
        (Frame(1, "/usr/bin/node", 1, "Builtins_JSEntry"), False),
    ],
)
def test_code_that_is_known_to_keep_frame_pointers_skips_no_callers(callee: Frame, missing: bool) -> None:
    inlined = Frame(2, name="inlined", inlined=True, found=Found.FRAME_POINTER_PAST)
    caller = Frame(2, name="caller", found=Found.FRAME_POINTER_PAST)
    assert may_skip_callers([callee, inlined, caller]) is missing
    assert not may_skip_callers([callee, caller._replace(found=Found.FRAME_POINTER)])


def test_all_code_that_v8_makes_keeps_frame_pointers() -> None:
    entry = Frame(3, "/usr/bin/node", 1, "Builtins_JSEntry", found=Found.FRAME_POINTER)
    caller = Frame(2, found=Found.FRAME_POINTER_PAST)
    assert may_skip_callers([Frame(1), caller])
    assert not may_skip_callers([Frame(1), caller, entry])


def test_java_that_keeps_the_frame_pointer_of_one_method_keeps_those_of_all() -> None:
    """It is an option of the whole virtual machine."""
    interpreter = Frame(1, "[JIT]", name="Interpreter")
    method = Frame(2, "[JIT]", name="void Chain.level5(boolean)", found=Found.FRAME_POINTER)
    caller = method._replace(name="void Chain.level4(boolean)")
    stub = Frame(3, "[JIT]", name="StubRoutines (1)", found=Found.FRAME_POINTER_PAST)
    assert not may_skip_callers([interpreter, method, caller, stub])
    assert may_skip_callers([interpreter, method, stub])
    assert may_skip_callers([method, caller, stub._replace(name="other")]), "another virtual machine"
    unnamed = method._replace(name=None, module=None)
    assert may_skip_callers([interpreter, unnamed, unnamed, stub])
