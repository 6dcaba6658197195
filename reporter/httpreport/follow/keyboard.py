"""Read keys from the terminal as they are pressed, if standard input is one."""

from __future__ import annotations

import os
import select
import sys
import termios
import time
import tty
from typing import Any, Optional

from .keys import keys_of

_AT_ONCE = 1024  # bytes


class Keyboard:
    """Let a terminal pass on each key at once, without showing it; a context manager. Ctrl-C still interrupts."""

    def __init__(self) -> None:
        self._descriptor: Optional[int] = sys.stdin.fileno() if sys.stdin.isatty() else None
        self._before: Optional[list[Any]] = None

    def __enter__(self) -> Keyboard:
        if self._descriptor is not None:
            self._before = termios.tcgetattr(self._descriptor)
            tty.setcbreak(self._descriptor)
        return self

    def __exit__(self, *_: object) -> None:
        if self._descriptor is not None and self._before is not None:
            termios.tcsetattr(self._descriptor, termios.TCSADRAIN, self._before)

    @property
    def is_there(self) -> bool:
        """Return whether keys can be read."""
        return self._descriptor is not None

    def wait(self, seconds: float) -> list[str]:
        """Return the keys that are pressed within this time, as soon as there are any."""
        if self._descriptor is None:
            time.sleep(seconds)
            return []
        ready, _, _ = select.select([self._descriptor], [], [], seconds)
        data = os.read(self._descriptor, _AT_ONCE) if ready else b""
        if ready and not data:
            self._descriptor = None  # the terminal has gone
        return keys_of(data)
