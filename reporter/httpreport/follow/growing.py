"""Read a capture file as it grows, and notice what else happens to it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Union

from httpcapture import CorruptRecord, NotACapture, PackedStacks, Reader, Record

from ..capture.sources import cannot_read
from ..common.errors import ReportError
from ..common.printable import printable
from .state import READ
from .window import size_of

AT_ONCE = 1 << 14  # rows and records
QUIET_S = 10  # a recorder writes within a second what it has, but nothing while there are no calls


class GrowingCapture:
    """Read the records of the capture at `path` as they are appended; a context manager.

    Raises ReportError if the file cannot be read, and CaptureError.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.damage: str | None = None
        """Why nothing more can be read."""
        self.has_more = False
        """Whether there are more records that were not taken yet."""
        try:
            self._file = open(path, "rb")  # noqa: SIM115 (closed by __exit__)
        except FileNotFoundError:
            raise ReportError(f"cannot follow {path}: there is no such file: start httprec -o {path} first") from None
        except OSError as error:
            raise cannot_read(path, error) from None
        self._size = self._begin()
        self._records: Iterator[Union[Record, PackedStacks]] = iter(())
        self._changed_s = time.monotonic()

    def __enter__(self) -> GrowingCapture:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def _begin(self) -> int:
        """Read META, and return the size of the file."""
        size = os.fstat(self._file.fileno()).st_size
        try:
            if not self._file.seekable():
                raise ReportError(f"cannot follow {self.path}: it is a pipe: give the file that httprec -o writes")
            self.reader = Reader(self._file, self.path)
        except (NotACapture, CorruptRecord):
            if size:
                raise
            raise ReportError(f"{self.path} is empty: follow it once httprec says that it records") from None
        except OSError as error:
            raise cannot_read(self.path, error) from None
        return size

    def take(self) -> list[Union[Record, PackedStacks]]:
        """Return the next records of the classes READ: all, or about AT_ONCE rows."""
        if not self.has_more:
            self._records = self.reader.more(*READ)
        records: list[Union[Record, PackedStacks]] = []
        size, self.has_more = 0, False
        try:
            for record in () if self.damage else self._records:
                records.append(record)
                size += size_of(record)
                if size >= AT_ONCE:
                    self.has_more = True
                    break
        except CorruptRecord as error:
            self.damage = str(error)
        except OSError as error:
            self.damage = str(cannot_read(self.path, error))
        if records:
            self._changed_s = time.monotonic()
        return records

    def changed(self) -> str:
        """Return in one line why the file at the path is no longer the one that is read, or an empty text."""
        name, now = printable(self.path), os.fstat(self._file.fileno())
        try:
            is_same = os.path.samestat(os.stat(self.path), now)
        except OSError:
            return f"{name} was removed or renamed: what is shown was read before"
        if not is_same:
            return f"{name} was replaced by another file: start again to follow that one"
        if now.st_size < self._size:
            return f"{name} became shorter: what is shown was read before; start again to follow what it has now"
        self._size = now.st_size
        return ""

    def resting(self) -> str:
        """Return in one line that nothing was written for a while, or an empty text."""
        quiet_s = time.monotonic() - self._changed_s
        return f"nothing was written for {quiet_s:.0f} s: no call, or no recorder" if quiet_s > QUIET_S else ""
