"""Standard streams as they may be: closed, full, or with nobody at the other end. What the two programs have in common.

Each decides itself what a write that fails means; what is written after it is dropped, so that nothing that flushes at
the end, as Python itself does, fails again.
"""

from __future__ import annotations

import errno
import io
import os
import select
from typing import Any, Callable

FAILED = 1
READER_GONE = 141  # what a shell makes of SIGPIPE: 128 + 13
_DEVNULL_MODES = (os.O_WRONLY, os.O_RDONLY, os.O_RDONLY)  # to read or to write there fails


class RawStream(io.FileIO):
    """Writes to a descriptor that stays open. The first error is kept and handed to `on_error`, which may raise."""

    def __init__(self, descriptor: int, on_error: Callable[[OSError], None] = lambda error: None) -> None:
        super().__init__(descriptor, "w", closefd=False)
        self.error: OSError | None = None
        self._on_error = on_error

    def write(self, data: Any, /) -> int:
        """Write some of the data, and return how many bytes; of a stream that has failed, all."""
        try:
            while self.error is None:
                written = super().write(data)
                if written is not None:
                    return written
                select.select([], [self], [])  # somebody made it non-blocking, and it takes nothing now
        except OSError as error:
            self.error = error
            self._on_error(error)
        return memoryview(data).nbytes


def failure(title: str, error: OSError) -> str:
    """Return one line that says why the stream that messages call `title` cannot be written."""
    reason = "it is closed" if error.errno == errno.EBADF else error.strerror or str(error)
    return f"cannot write to {title}: {reason}"


def reader_gone(error: OSError) -> bool:
    """Return whether the write failed since nobody reads the other end any more."""
    return error.errno == errno.EPIPE


def fill_descriptors() -> None:
    """Open descriptors 0, 1 and 2 where they are closed: else the next file that is opened would be taken for one."""
    for descriptor, mode in enumerate(_DEVNULL_MODES):
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, mode), True)
