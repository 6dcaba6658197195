"""Write to standard output and standard error even if they are closed, full, or without a reader.

A recording goes on whatever happens to them. The first error is kept, and everything written after it is discarded.
Nothing is raised, neither here nor when Python flushes at exit.
"""

from __future__ import annotations

import io
import sys
from typing import NamedTuple, Optional

from httpcapture.standard_streams import FAILED, READER_GONE, RawStream, failure, fill_descriptors, reader_gone


class StandardStream(io.TextIOWrapper):
    """Write to standard output or standard error; `title` is its name in messages."""

    def __init__(self, descriptor: int, title: str, encoding: Optional[str]) -> None:
        self._raw = RawStream(descriptor)
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
        if reader_gone(self._raw.error):
            return 0 if self.reader_may_leave else READER_GONE
        return FAILED

    def take_error(self) -> Optional[str]:
        """Return why a write has failed, or None. Each failure is returned only once. A reader that has gone is not a
        failure."""
        error = self._raw.error
        if error is None or reader_gone(error) or self._reported:
            return None
        self._reported = True
        return failure(self._title, error)


class Streams(NamedTuple):
    """Hold both streams."""

    stdout: StandardStream
    stderr: StandardStream


def open_standard_streams() -> Streams:
    """Replace sys.stdout and sys.stderr by such streams, and return them."""
    fill_descriptors()
    streams = Streams(
        StandardStream(1, "standard output", getattr(sys.stdout, "encoding", None)),
        StandardStream(2, "standard error", getattr(sys.stderr, "encoding", None)),
    )
    sys.stdout, sys.stderr = streams
    return streams
