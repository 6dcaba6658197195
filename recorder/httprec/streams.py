"""Standard output and standard error as they may be: closed, full, or with nobody at the other end.

A recording goes on whatever becomes of them. The first write that fails is remembered, and what is written after it is
dropped: nothing is raised, neither here nor when Python flushes at the end.
"""

from __future__ import annotations

import errno
import io
import os
import select
import sys
from typing import Any, NamedTuple, Optional

FAILED = 1
READER_GONE = 141  # what a shell makes of SIGPIPE: 128 + 13
_DEVNULL_MODES = (os.O_WRONLY, os.O_RDONLY, os.O_RDONLY)


class _Raw(io.FileIO):
    error: Optional[OSError] = None

    def write(self, data: Any, /) -> int:
        try:
            while self.error is None:
                written = super().write(data)
                if written is not None:
                    return written
                select.select([], [self], [])  # somebody made it non-blocking, and it takes nothing now
        except OSError as error:
            self.error = error
        return memoryview(data).nbytes


class StandardStream(io.TextIOWrapper):
    """Standard output or standard error; `title` is what messages call it."""

    def __init__(self, descriptor: int, title: str, encoding: Optional[str]) -> None:
        self._raw = _Raw(descriptor, "w", closefd=False)
        super().__init__(io.BufferedWriter(self._raw), encoding, errors="backslashreplace", line_buffering=True)
        self._title = title
        self._told = False
        self.reader_may_go = False
        """Whether that is no failure."""

    @property
    def takes_nothing(self) -> bool:
        """Whether a write has failed."""
        return self._raw.error is not None

    @property
    def exit_status(self) -> int:
        """What the program has to end with for it."""
        if self._raw.error is None:
            return 0
        if self._raw.error.errno == errno.EPIPE:
            return 0 if self.reader_may_go else READER_GONE
        return FAILED

    def complaint(self) -> Optional[str]:
        """Why a write has failed, if it has; once, and not of a reader who has gone."""
        error = self._raw.error
        if error is None or error.errno == errno.EPIPE or self._told:
            return None
        self._told = True
        return f"cannot write to {self._title}: {'it is closed' if error.errno == errno.EBADF else error.strerror}"


class Streams(NamedTuple):
    """Both."""

    stdout: StandardStream
    stderr: StandardStream


def open_standard_streams() -> Streams:
    """Put such streams in the place of sys.stdout and sys.stderr, and return them."""
    for descriptor, mode in enumerate(_DEVNULL_MODES):
        try:
            os.fstat(descriptor)
        except OSError:  # closed: else the next file that is opened would be taken for it
            os.open(os.devnull, mode)  # to read or to write there fails
    streams = Streams(
        StandardStream(1, "standard output", getattr(sys.stdout, "encoding", None)),
        StandardStream(2, "standard error", getattr(sys.stderr, "encoding", None)),
    )
    sys.stdout, sys.stderr = streams
    return streams
