"""The files of one recording: a single one, or parts, each a capture of its own, of which the newest are kept.

Parts are numbered with five digits, as by Wireshark's dumpcap: run.cap becomes run.00001.cap, run.00002.cap and so on.
The next part is opened when the one before it has ended, so a recording never has two open.
"""

from __future__ import annotations

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
    """What ends the recording or a part of it, and how many parts are kept. Sizes in bytes; None: unbounded."""

    max_size: int | None = None
    part_size: int | None = None
    part_age_ns: int | None = None
    keep: int | None = None

    @property
    def rotates(self) -> bool:
        return self.part_size is not None or self.part_age_ns is not None


def part_path(output: str, number: int) -> str:
    stem, extension = os.path.splitext(output)
    return f"{stem}.{number:05}{extension}"


def existing_parts(output: str) -> list[str]:
    """The files that are called like a part of `output`."""
    folder, name = os.path.split(output)
    stem, extension = map(re.escape, os.path.splitext(name))
    try:
        names = os.listdir(folder or ".")
    except OSError:
        return []
    return [os.path.join(folder, name) for name in sorted(names) if re.fullmatch(rf"{stem}\.\d{{5}}{extension}", name)]


def check_parts(output: str, bounds: Bounds, *, replace: bool) -> None:
    """Raises RecorderError where `Parts` could not begin; changes nothing."""
    paths = (existing_parts(output) or [part_path(output, 1)]) if bounds.rotates else [output]
    for path in paths:
        check_output(path, replace=replace)


class Parts:
    """Use as a context manager. `make_meta` gives META for a part that begins now; `say` gets a line for the user."""

    def __init__(
        self,
        output: str,
        bounds: Bounds,
        make_meta: Callable[[], Meta],
        *,
        overwrite: bool,
        say: Callable[[str], None],
    ) -> None:
        self._output, self.bounds, self._make_meta, self._say = output, bounds, make_meta, say
        self._run = os.urandom(16).hex()
        self._number = 1
        self._kept: deque[str] = deque()
        self._size_before = 0  # of all parts that have ended
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
        self._kept.append(self.path)

    def begin(self) -> Writer:
        """A capture in the file that was opened last. Raises OSError where it cannot be written."""
        meta = replace(self._make_meta(), run=self._run, part=self._number)
        self._began_ns = meta.started_monotonic_ns
        self._writer = Writer(self._stream, meta)
        return self._writer

    @property
    def name(self) -> str:
        """What messages call the file that is written."""
        return "standard output" if self._output == STDOUT else self.path

    @property
    def bytes_written(self) -> int:
        """Of all parts, those that are no more too."""
        return self._size_before + self._writer.bytes_written

    @property
    def next_command(self) -> str:
        """What to do with what is written, all parts together."""
        if self._output == STDOUT:
            return "httpreport FILE"
        if len(self._kept) == 1:
            return f"httpreport {quoted(self.path)}"
        stem, extension = os.path.splitext(self._output)
        return f"httpreport {quoted(f'{stem}.')}*{quoted(extension) if extension else ''}"

    def check(self) -> None:
        """Raises RecorderError when nobody will find what is written."""
        if self._output != STDOUT and is_removed(self._stream):
            raise RecorderError(
                f"{self.path} was removed while it was written: nothing is left of it; choose an -o FILE that stays"
            )

    def is_full(self) -> bool:
        return self.bounds.max_size is not None and self.bytes_written >= self.bounds.max_size

    def is_due(self, calls: int, now_ns: int) -> bool:
        """Whether the next part is to begin. `calls` are in this one: modules alone do not fill it."""
        size, age_ns = self.bounds.part_size, self.bounds.part_age_ns
        full = size is not None and calls > 0 and self._writer.bytes_written >= size
        return full or (age_ns is not None and now_ns - self._began_ns >= age_ns)

    def rotate(self, end: End) -> Writer:
        """Ends this part and begins the next one. Raises OSError or RecorderError where that cannot be."""
        self._writer.end(end)
        self._stream.close()
        self._size_before += self._writer.bytes_written
        self._number += 1
        self._open(overwrite=False)
        if self.bounds.keep is not None and len(self._kept) > self.bounds.keep:
            self._remove(self._kept.popleft())
        return self.begin()

    def _remove(self, path: str) -> None:
        try:
            remove(path)
            self._say(f"{self.path} begun, {path} removed")
        except RecorderError as error:
            self._say(f"{self.path} begun, {error}")
