"""Tell by which task of an event loop a call was made, from its stack trace."""

from __future__ import annotations

from dataclasses import replace

import pytest

from httpreport.languages.event_loops import NO_TASKS, task_of
from httpreport.languages.stack_trace import Frame, FrameKind, FramesProblem, NoStack, StackTrace

ASYNCIO = "/usr/lib/python3.11/asyncio"
MAIN = [("<module>", "/app/shop.py"), ("main", "/app/shop.py")]
LOOP = [
    ("run", f"{ASYNCIO}/runners.py"),
    ("Runner.run", f"{ASYNCIO}/runners.py"),
    ("BaseEventLoop.run_until_complete", f"{ASYNCIO}/base_events.py"),
    ("BaseEventLoop.run_forever", f"{ASYNCIO}/base_events.py"),
    ("BaseEventLoop._run_once", f"{ASYNCIO}/base_events.py"),
    ("Handle._run", f"{ASYNCIO}/events.py"),
]
HANDLE, ASK = ("Shop.handle", "/app/shop.py"), ("Client.ask", "/app/client.py")
WRITE = [("StreamWriter.write", f"{ASYNCIO}/streams.py"), ("run", "/app/run.py")]


def trace(*outermost_first: tuple[str, str], module: str = "/usr/bin/python3.11") -> StackTrace:
    python = [Frame(0, name=name, file=file, kind=FrameKind.PYTHON) for name, file in outermost_first]
    return StackTrace((*python[::-1], Frame(1, module)))


@pytest.mark.parametrize(
    ("frames", "task"),
    [
        ([*MAIN, *LOOP, HANDLE, ASK, *WRITE], HANDLE),
        ([*MAIN, *LOOP, ASK, *WRITE], ASK),
        ([*MAIN, LOOP[0], HANDLE, ASK], HANDLE),  # uvloop has no frames of Python
        ([("GreenThread.main", "/v/eventlet/greenthread.py"), HANDLE, ASK], HANDLE),
        ([HANDLE, ASK], HANDLE),  # a greenlet, or a thread
        ([*MAIN, *LOOP], LOOP[-1]),
    ],
)
def test_a_task_is_known_by_the_function_that_its_loop_has_run(
    frames: list[tuple[str, str]], task: tuple[str, str]
) -> None:
    assert task_of(trace(*frames)) == task


def test_a_program_that_is_not_written_in_python_has_no_tasks() -> None:
    assert task_of(trace(module="/usr/sbin/nginx")) == NO_TASKS


@pytest.mark.parametrize(
    "one",
    [
        trace(module="/usr/bin/python3.11"),
        trace(module="/usr/lib/libpython3.9.so.1.0"),
        StackTrace((), NoStack.LOST),
        replace(trace(*LOOP, HANDLE), python_problem=FramesProblem.CUT),
        replace(trace(HANDLE, ASK), left_out=3),
    ],
)
def test_without_all_frames_of_python_the_task_is_not_known(one: StackTrace) -> None:
    assert task_of(one) is None
