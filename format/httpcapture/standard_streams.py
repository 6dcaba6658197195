"""Write to standard streams that may be closed, full, or without a reader: the part that both programs share.

Each program decides what a failed write means. Everything written after it is discarded, so that no flush at the end,
such as Python's own, fails again.
"""

from __future__ import annotations

import errno
import io
import os
import select
from typing import Any, Callable

FAILED = 1
READER_GONE = 141  # what a shell makes of SIGPIPE: 128 + 13
_DEVNULL_MODES = (os.O_WRONLY, os.O_RDONLY, os.O_RDONLY)  # modes in which using the stream fails


class RawStream(io.FileIO):
    """Write to a descriptor that stays open. The first error is kept and passed to `on_error`, which may raise."""

    def __init__(self, descriptor: int, on_error: Callable[[OSError], None] = lambda error: None) -> None:
        super().__init__(descriptor, "w", closefd=False)
        self.error: OSError | None = None
        self._on_error = on_error

    def write(self, data: Any, /) -> int:
        """Write some of the data and return how many bytes; if the stream has failed, discard them all."""
        try:
            while self.error is None:
                written = super().write(data)
                if written is not None:
                    return written
                select.select([], [self], [])  # another program made it non-blocking, and it is full at the moment
        except OSError as error:
            self.error = error
            self._on_error(error)
        return memoryview(data).nbytes


def failure(title: str, error: OSError) -> str:
    """Return one line that says why a stream, named `title` in messages, cannot be written."""
    reason = "it is closed" if error.errno == errno.EBADF else error.strerror or str(error)
    return f"cannot write to {title}: {reason}"


def reader_gone(error: OSError) -> bool:
    """Return whether the write failed because the reader has gone."""
    return error.errno == errno.EPIPE


def fill_descriptors() -> None:
    """Open descriptors 0, 1 and 2 if they are closed, because the next file to be opened would get their number."""
    for descriptor, mode in enumerate(_DEVNULL_MODES):
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, mode), True)
