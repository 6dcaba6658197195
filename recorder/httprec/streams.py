"""Write to standard output and standard error even if they are closed, full, or without a reader.

A recording goes on whatever happens to them. The first error is kept, and everything written after it is discarded.
Nothing is raised, neither here nor when Python flushes at exit.
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
                select.select([], [self], [])  # another program made it non-blocking, and it is full at the moment
        except OSError as error:
            self.error = error
        return memoryview(data).nbytes


class StandardStream(io.TextIOWrapper):
    """Write to standard output or standard error; `title` is its name in messages."""

    def __init__(self, descriptor: int, title: str, encoding: Optional[str]) -> None:
        self._raw = _Raw(descriptor, "w", closefd=False)
        super().__init__(io.BufferedWriter(self._raw), encoding, errors="backslashreplace", line_buffering=True)
        self._title = title
        self._reported = False
        self.reader_may_leave = False
        """Whether it is no failure if the reader goes away."""

    @property
    def has_failed(self) -> bool:
        """Return whether a write has failed."""
        return self._raw.error is not None

    @property
    def exit_status(self) -> int:
        """Return the status with which the program must exit because of this stream."""
        if self._raw.error is None:
            return 0
        if self._raw.error.errno == errno.EPIPE:
            return 0 if self.reader_may_leave else READER_GONE
        return FAILED

    def take_error(self) -> Optional[str]:
        """Return why a write has failed, or None. A failure is returned once; that the reader has gone is none."""
        error = self._raw.error
        if error is None or error.errno == errno.EPIPE or self._reported:
            return None
        self._reported = True
        return f"cannot write to {self._title}: {'it is closed' if error.errno == errno.EBADF else error.strerror}"


class Streams(NamedTuple):
    """Hold both streams."""

    stdout: StandardStream
    stderr: StandardStream


def open_standard_streams() -> Streams:
    """Replace sys.stdout and sys.stderr by such streams, and return them."""
    for descriptor, mode in enumerate(_DEVNULL_MODES):
        try:
            os.fstat(descriptor)
        except OSError:  # It is closed, and the next file to be opened would get its number.
            os.open(os.devnull, mode)  # Opened in the mode in which its use fails.
    streams = Streams(
        StandardStream(1, "standard output", getattr(sys.stdout, "encoding", None)),
        StandardStream(2, "standard error", getattr(sys.stderr, "encoding", None)),
    )
    sys.stdout, sys.stderr = streams
    return streams
