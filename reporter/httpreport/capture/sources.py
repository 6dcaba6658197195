"""Where a capture is read from: a file, a pipe or, for `-`, standard input.

Whoever reads a capture more than once needs a file that can be read again. A pipe is copied into one that has no name.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import BinaryIO

from ..common.errors import ReportError

STDIN = "-"
_PIECE = 1 << 20


def name_of(path: str) -> str:
    """What messages call it."""
    return "standard input" if path == STDIN else path


def cannot_read(path: str, error: OSError) -> ReportError:
    return ReportError(f"cannot read {name_of(path)}: {error.strerror or error}")


@contextmanager
def rereadable(path: str) -> Iterator[BinaryIO]:
    """Open the capture at `path`, to be read from its start as often as is needed. Raises ReportError, also for an
    OSError of whoever reads it."""
    try:
        with nullcontext(sys.stdin.buffer) if path == STDIN else open(path, "rb") as file:
            again = file.seekable() and file.tell() == 0
            with nullcontext(file) if again else tempfile.TemporaryFile() as whole:
                if not again:
                    _copy(path, file, whole)
                yield whole
    except OSError as error:
        raise cannot_read(path, error) from None


def _copy(path: str, file: BinaryIO, copy: BinaryIO) -> None:
    while piece := file.read(_PIECE):
        try:
            copy.write(piece)
            copy.flush()
        except OSError as error:
            raise ReportError(
                f"cannot keep a copy of {name_of(path)} in {tempfile.gettempdir()}: {error.strerror or error}; "
                "write it to a file"
            ) from None
    copy.seek(0)
