"""Standard output and standard error as they may be: closed, full, or with nobody at the other end.

A recording goes on whatever becomes of them. The first write that fails is remembered, and what is written after it is
dropped: nothing is raised, neither here nor when Python flushes at the end.
"""

from __future__ import annotations

import io
import sys
from typing import NamedTuple, Optional

from httpcapture.standard_streams import FAILED, READER_GONE, RawStream, failure, fill_descriptors, reader_gone


class StandardStream(io.TextIOWrapper):
    """Standard output or standard error; `title` is what messages call it."""

    def __init__(self, descriptor: int, title: str, encoding: Optional[str]) -> None:
        self._raw = RawStream(descriptor)
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
        if reader_gone(self._raw.error):
            return 0 if self.reader_may_go else READER_GONE
        return FAILED

    def complaint(self) -> Optional[str]:
        """Why a write has failed, if it has; once, and not of a reader who has gone."""
        error = self._raw.error
        if error is None or reader_gone(error) or self._told:
            return None
        self._told = True
        return failure(self._title, error)


class Streams(NamedTuple):
    """Both."""

    stdout: StandardStream
    stderr: StandardStream


def open_standard_streams() -> Streams:
    """Put such streams in the place of sys.stdout and sys.stderr, and return them."""
    fill_descriptors()
    streams = Streams(
        StandardStream(1, "standard output", getattr(sys.stdout, "encoding", None)),
        StandardStream(2, "standard error", getattr(sys.stderr, "encoding", None)),
    )
    sys.stdout, sys.stderr = streams
    return streams
