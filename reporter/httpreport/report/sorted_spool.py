"""Keep what outputs list call by call in sorted files, one for each capture.

The files are merged while they are read, so memory does not grow with the calls, and few files are open at a time.
"""

from __future__ import annotations

import heapq
import os
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import msgpack

from ..common import tuning
from ..common.errors import ReportError

Values = tuple[Any, ...]
_HEAD = struct.Struct("<QqI")  # duration in ns, start in ns since 1970, bytes of the packed values


@dataclass(frozen=True, order=True)
class Entry:
    """Hold the values of one call. Entries sort by duration, the longest first, then by start, then by their packed
    values."""

    minus_duration_ns: int
    start_ns: int
    packed: bytes

    @property
    def values(self) -> Values:
        """Return the values of the call. Sequences become tuples."""
        values: Values = msgpack.unpackb(self.packed, use_list=False)
        return values


class Spool:
    """Write entries, in their order, to a new file. Use it in a `with` statement."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._file: BinaryIO = open(path, "wb")  # noqa: SIM115 (closed by __exit__)

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, duration_ns: int, start_ns: int, values: Sequence[Any]) -> None:
        """Write the values of a call: texts, bytes, whole numbers, and sequences of them."""
        self.write(Entry(-duration_ns, start_ns, msgpack.packb(values, unicode_errors="backslashreplace")))

    def write(self, entry: Entry) -> None:
        """Write an entry. Raises OSError if the file cannot be written."""
        self._file.write(_HEAD.pack(-entry.minus_duration_ns, entry.start_ns, len(entry.packed)) + entry.packed)


def entries(path: str | os.PathLike[str]) -> Iterator[Entry]:
    """Yield the entries of a spool, in their order."""
    with open(path, "rb") as file:
        while head := file.read(_HEAD.size):
            duration_ns, start_ns, size = _HEAD.unpack(head)
            yield Entry(-duration_ns, start_ns, file.read(size))


def merged(paths: Sequence[Path]) -> Iterator[Values]:
    """Yield the values of all spools, sorted. Many spools are first merged into fewer, beside them, and removed.

    Raises ReportError if a spool cannot be written.
    """
    while len(paths) > tuning.SPOOLS_MERGED_AT_ONCE:
        some, paths = paths[: tuning.SPOOLS_MERGED_AT_ONCE], paths[tuning.SPOOLS_MERGED_AT_ONCE :]
        merged_path = some[0].with_suffix(".merged" + some[0].suffix)
        try:
            _merge(some, merged_path)
        except OSError as error:
            raise cannot_write(merged_path.parent, error) from None
        paths = [*paths, merged_path]
    for entry in heapq.merge(*map(entries, paths)):
        yield entry.values


def _merge(paths: Sequence[Path], merged_path: Path) -> None:
    """Merge spools into one, and remove them."""
    with Spool(merged_path) as spool:
        for entry in heapq.merge(*map(entries, paths)):
            spool.write(entry)
    for path in paths:
        path.unlink()


def cannot_write(folder: Path, error: OSError) -> ReportError:
    """Return the error for a spool that cannot be written. `folder` contains all spools."""
    return ReportError(
        f"cannot write temporary files in {folder.parent}: {error.strerror or error}; free some space there, or "
        "write the outputs elsewhere; if they go to standard output, set TMPDIR"
    )
