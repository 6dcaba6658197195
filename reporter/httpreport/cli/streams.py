"""Handle standard input, output and error in whatever state they are: closed, full, or without a reader at the other
end.

A write that fails raises `StreamError`, once. What is written after that is discarded, so that nothing that flushes at
the end, as Python itself does, fails again.
"""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress
from typing import Any

import click

from httpcapture.standard_streams import FAILED, READER_GONE, RawStream, failure, fill_descriptors, reader_gone

from ..common.errors import OUT_OF_MEMORY, ReportError
from ..common.printable import printable


class StreamError(Exception):
    """Report that standard output or standard error cannot be written.

    It is not an OSError, because click and rich end the program when a pipe breaks, each in its own way.
    """

    def __init__(self, name: str, error: OSError) -> None:
        super().__init__(failure(name, error))
        self.reader_gone = reader_gone(error)


class Program(click.Command):
    """End a command with one line and status 1 if memory runs out or a standard stream cannot be written, and
    silently if the reader of the stream has gone."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run the command as click does, with standard streams whose failures end it as the class says."""
        open_standard_streams()
        try:
            try:
                return super().main(*args, **kwargs)
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
        except StreamError as error:
            if error.reader_gone:
                raise SystemExit(READER_GONE) from None
            with suppress(StreamError):
                print_error(error)
            raise SystemExit(FAILED) from None
        except MemoryError:
            with suppress(StreamError):
                print_error(ReportError(OUT_OF_MEMORY))
            raise SystemExit(FAILED) from None


def open_standard_streams() -> None:
    """Make sure that all three streams exist and that a failed write raises StreamError. Streams that were replaced
    stay."""
    fill_descriptors()
    if sys.stdin is None:
        sys.stdin = open(0, closefd=False)  # noqa: SIM115 (it is for all of the program)
    if sys.stdout is sys.__stdout__:
        sys.stdout = _writer(sys.stdout, 1, "standard output")
    if sys.stderr is sys.__stderr__:
        sys.stderr = _writer(sys.stderr, 2, "standard error")


def _writer(before: Any, descriptor: int, title: str) -> io.TextIOWrapper:
    """Return a text stream with the encoding of `before`, which may be None. Characters that the encoding lacks are
    escaped."""

    def fail(error: OSError) -> None:
        raise StreamError(title, error) from None

    return io.TextIOWrapper(
        io.BufferedWriter(RawStream(descriptor, fail)),
        encoding=getattr(before, "encoding", None),
        errors="backslashreplace",
        line_buffering=descriptor == 2 or os.isatty(descriptor),
    )


def print_error(error: Exception) -> None:
    """Print an error as one line on standard error."""
    print(f"httpreport: {printable(str(error))}", file=sys.stderr)
