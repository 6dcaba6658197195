"""Tell by which task of an event loop of Python a call was made: by the function that the loop has run.

A task that a program creates for a part of its work, as `asyncio.gather` does, begins with a function of its own.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Optional

from .stack_trace import Frame, FrameKind, StackTrace

_LOOPS = {
    "/asyncio/runners.py": {"run"},
    "/asyncio/base_events.py": {"run_until_complete", "run_forever", "_run_once"},
    "/asyncio/events.py": {"_run"},
    "/trio/_core/_run.py": {"run", "unrolled_run"},
    "/eventlet/greenthread.py": {"main"},
}
"""The functions that run tasks, by the ends of their files. What uvloop and gevent run has no frame of Python below."""

Task = tuple[Optional[str], Optional[str]]
NO_TASKS: Task = ("", "")  # of a program that is not written in Python


def task_of(trace: StackTrace) -> Optional[Task]:
    """Return the function with which the task begins, and its file; NO_TASKS of a program that is not in Python, and
    None if it is not known."""
    frames = [frame for frame in trace.frames[::-1] if frame.kind is FrameKind.PYTHON]
    if not frames:
        return None if trace.missing or any(map(_is_of_python, trace.frames)) else NO_TASKS
    if trace.python_problem is not None or trace.left_out:
        return None
    begin = _behind_loop(frames)
    return (begin.name, begin.file) if begin.name is not None else None


def _behind_loop(outermost_first: Sequence[Frame]) -> Frame:
    """Return the frame that the outermost loop has run, or the outermost one if there is no loop."""
    places = [place for place, frame in enumerate(outermost_first) if _runs_tasks(frame)]
    if not places:
        return outermost_first[0]
    place = places[0]
    while place < len(outermost_first) - 1 and _runs_tasks(outermost_first[place]):
        place += 1
    return outermost_first[place]


def _runs_tasks(frame: Frame) -> bool:
    name = (frame.name or "").rpartition(".")[2]
    return any(name in names and (frame.file or "").endswith(file) for file, names in _LOOPS.items())


def _is_of_python(frame: Frame) -> bool:
    return os.path.basename(frame.module or "").startswith(("python2", "python3", "libpython"))
