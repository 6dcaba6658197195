"""Manage the files of a recording: one file, or parts, each a capture of its own, of which the newest are kept.

Parts are numbered with five digits, as Wireshark's dumpcap does: run.cap becomes run.00001.cap, run.00002.cap and so
on. A part is opened after the one before it has ended, so a recording never has two files open.
"""

from __future__ import annotations

import glob
import os
import re
from collections import deque
from dataclasses import dataclass, replace
from typing import Callable

from httpcapture import End, Meta, Writer
from httpcapture.shell import quoted

from .errors import RecorderError
from .output import STDOUT, check_output, is_removed, open_output, remove


@dataclass(frozen=True)
class Bounds:
    """Say what ends the recording or a part of it, and how many parts are kept. Sizes are in bytes; None means no
    limit."""

    max_size: int | None = None
    part_size: int | None = None
    part_age_ns: int | None = None
    keep: int | None = None

    @property
    def rotates(self) -> bool:
        """Return whether the recording is in parts."""
        return self.part_size is not None or self.part_age_ns is not None


def part_path(output: str, number: int) -> str:
    """Return the path of a part, by its number from 1."""
    stem, extension = os.path.splitext(output)
    return f"{stem}.{number:05}{extension}"


def existing_parts(output: str) -> list[str]:
    """Return the files whose names are those of parts of `output`, in order."""
    folder, name = os.path.split(output)
    stem, extension = map(re.escape, os.path.splitext(name))
    try:
        names = os.listdir(folder or ".")
    except OSError:
        return []
    return [os.path.join(folder, name) for name in sorted(names) if re.fullmatch(rf"{stem}\.\d{{5}}{extension}", name)]


def check_parts(output: str, bounds: Bounds, *, replace: bool) -> None:
    """Raise RecorderError if `Parts` cannot begin; change nothing."""
    paths = (existing_parts(output) or [part_path(output, 1)]) if bounds.rotates else [output]
    for path in paths:
        check_output(path, replace=replace)


class Parts:
    """Create, rotate and close the files of a recording; a context manager.

    `make_meta` returns META for a part that begins now; `print_line` prints a line for the user. Raises RecorderError
    if the first file cannot be created.
    """

    def __init__(
        self,
        output: str,
        bounds: Bounds,
        make_meta: Callable[[], Meta],
        *,
        overwrite: bool,
        print_line: Callable[[str], None],
    ) -> None:
        self._output, self.bounds, self._make_meta, self._print_line = output, bounds, make_meta, print_line
        self._recording_id = os.urandom(16).hex()
        self._number = 1
        self._paths: deque[str] = deque()
        self._size_before = 0  # bytes in all parts that have ended
        if bounds.rotates and overwrite:
            for old in existing_parts(output):
                remove(old)
        self._open(overwrite)

    def __enter__(self) -> Parts:
        return self

    def __exit__(self, *exception: object) -> None:
        self._stream.close()

    def _open(self, overwrite: bool) -> None:
        self.path = part_path(self._output, self._number) if self.bounds.rotates else self._output
        self._stream = open_output(self.path, replace=overwrite)
        self._paths.append(self.path)

    def begin(self) -> Writer:
        """Return a writer for the file that was opened last. Raises OSError if the file cannot be written."""
        meta = replace(self._make_meta(), run=self._recording_id, part=self._number)
        self._began_ns = meta.started_monotonic_ns
        self._writer = Writer(self._stream, meta)
        return self._writer

    @property
    def name(self) -> str:
        """Return the name of the current file for messages."""
        return "standard output" if self._output == STDOUT else self.path

    @property
    def bytes_written(self) -> int:
        """Return how many bytes all parts have, deleted ones included."""
        return self._size_before + self._writer.bytes_written

    @property
    def next_command(self) -> str:
        """Return the command that copies everything that was written, in all parts, to another machine and reports it
        there."""
        if self._output == STDOUT:
            return "httpreport FILE"
        folder, name = os.path.split(os.path.abspath(self._output))
        stem, extension = os.path.splitext(name)
        names = [os.path.basename(self.path)] if len(self._paths) == 1 else [f"{stem}.", extension]
        source = f"{os.uname().nodename}:{glob.escape(folder)}/{'*'.join(map(glob.escape, names))}"
        return f"scp {quoted(source)} . && httpreport {'*'.join(quoted(part) if part else '' for part in names)}"

    def check(self) -> None:
        """Raise RecorderError if the current file was deleted, so that nobody will find it."""
        if self._output != STDOUT and is_removed(self._stream):
            raise RecorderError(
                f"{self.path} was removed while it was written: its calls are gone; choose an -o FILE that stays"
            )

    def is_full(self) -> bool:
        """Return whether the recording has reached its largest size."""
        return self.bounds.max_size is not None and self.bytes_written >= self.bounds.max_size

    def is_due(self, calls: int, now_ns: int) -> bool:
        """Return whether the next part must begin. `calls` counts those in this part: modules alone do not fill it."""
        size, age_ns = self.bounds.part_size, self.bounds.part_age_ns
        full = size is not None and calls > 0 and self._writer.bytes_written >= size
        return full or (age_ns is not None and now_ns - self._began_ns >= age_ns)

    def rotate(self, end: End) -> Writer:
        """End this part, begin the next one, and return its writer. Raises OSError or RecorderError if that fails."""
        self._writer.end(end)
        self._stream.close()
        self._size_before += self._writer.bytes_written
        self._number += 1
        self._open(overwrite=False)
        if self.bounds.keep is not None and len(self._paths) > self.bounds.keep:
            self._remove(self._paths.popleft())
        return self.begin()

    def _remove(self, path: str) -> None:
        try:
            remove(path)
            self._print_line(f"began {self.path}, deleted {path}")
        except RecorderError as error:
            self._print_line(f"began {self.path}; {error}")
