"""Open a capture: a file, a pipe or, for `-`, standard input.

Reading a capture more than once takes a seekable file. A pipe is copied into a temporary file without a name.
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
    """Return what messages call a capture."""
    return "standard input" if path == STDIN else path


def cannot_read(path: str, error: OSError) -> ReportError:
    """Return the error for a capture that cannot be read."""
    return ReportError(f"cannot read {name_of(path)}: {error.strerror or error}")


@contextmanager
def rereadable(path: str) -> Iterator[BinaryIO]:
    """Open the capture at `path` so that it can be read from its start more than once.

    Raises ReportError, also for an OSError that is raised inside the `with` block.
    """
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
    """Copy a capture that cannot be read twice. Raises ReportError if there is no room."""
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
