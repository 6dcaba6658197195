"""Add the frames of PHP programs to stack traces."""

from __future__ import annotations

from collections.abc import Sequence

from httpcapture import Stack

from ..calls.process_keys import ProcessKey
from ..capture.recording import Recording
from .language import Runtime
from .merge import Interpreter, ProgramFrames, problem_of
from .php_stack import runs
from .stack_trace import FrameKind

ZEND = Interpreter("php", FrameKind.PHP, "execute_ex")


class PhpPrograms:
    """Decode the PHP frames of a recording."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording

    def at(self, stack: Stack, _depths: Sequence[int]) -> Runtime | None:
        """Return the PHP frames of a stack, None if its thread ran no PHP that is known."""
        if not (stack.php_version or stack.php_status):
            return None
        key = ProcessKey.of(self._recording.meta, stack.pid, stack.process_start_ns)
        found = tuple(runs(stack, self._recording.codes.get(key, {})))
        return ProgramFrames(ZEND, found, None, problem_of(stack.php_status))
