"""Add the frames of Python programs to stack traces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from httpcapture import PythonStatus, Stack

from ..calls.process_keys import ProcessKey
from ..capture.recording import Recording
from .language import Runtime
from .python_merge import merged, places, runs_python
from .python_stack import Run, runs
from .stack_trace import PythonProblem, StackTrace

_PROBLEMS = {
    PythonStatus.NOT_WALKED: PythonProblem.NOT_WALKED,
    PythonStatus.CUT: PythonProblem.CUT,
    PythonStatus.OTHER_STATE: PythonProblem.OTHER_STATE,
    PythonStatus.FAULT: PythonProblem.FAULT,
}


@dataclass(frozen=True)
class PythonFrames:
    """Hold the Python frames of one stack, and the native frames in whose place they are, if that is known."""

    runs: tuple[Run, ...]
    by_place: tuple[int | None, ...] | None
    problem: PythonProblem | None

    def frames(self, _address: int, _inside: int) -> None:
        """Return None: Python's own code is in files, or a JIT map names it."""
        return None

    def finish(self, trace: StackTrace) -> StackTrace:
        """Return the native stack trace with the Python frames in their place."""
        problem = self.problem
        if problem is None and not self.runs and runs_python(trace):
            problem = PythonProblem.OTHER_STATE
        trace = replace(trace, python_problem=problem)
        return merged(trace, self.runs, self.by_place) if self.runs else trace


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
        return PythonFrames(without_entries, by_place, _problem(stack.python_status))


def _problem(status: int) -> PythonProblem | None:
    try:
        return _PROBLEMS.get(PythonStatus(status))
    except ValueError:
        return PythonProblem.UNKNOWN
