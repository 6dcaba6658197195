"""Add the frames of Python programs to stack traces."""

from __future__ import annotations

from collections.abc import Sequence

from httpcapture import Stack

from ..calls.process_keys import ProcessKey
from ..capture.recording import Recording
from .language import Runtime
from .merge import Interpreter, ProgramFrames, places, problem_of
from .python_stack import runs
from .stack_trace import FrameKind

CPYTHON = Interpreter("python", FrameKind.PYTHON, "_PyEval_EvalFrameDefault")


class PythonPrograms:
    """Decode the Python frames of a recording."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording

    def at(self, stack: Stack, depths: Sequence[int]) -> Runtime | None:
        """Return the Python frames of a stack, None if its thread ran no Python that is known."""
        if not stack.python_version:
            return None
        key = ProcessKey.of(self._recording.meta, stack.pid, stack.process_start_ns)
        found = tuple(runs(stack, self._recording.codes.get(key, {})))
        by_place = places(stack, found, depths) if any(run.entry is not None for run in found) else None
        without_entries = tuple(run._replace(entry=None) for run in found)
        return ProgramFrames(CPYTHON, without_entries, by_place, problem_of(stack.python_status))
