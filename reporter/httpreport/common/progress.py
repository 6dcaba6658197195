"""Show progress on standard error if that is a terminal and the work takes over a second."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Iterable, Iterator
from typing import BinaryIO, TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

QUIET_S = 1.0
ITEMS = 1000  # so many are taken between two looks at the clock

Item = TypeVar("Item")


class ProgressBar:
    """Show how much of `total`, bytes or other units, is done. Use it in a `with` statement; it disappears at the
    end."""

    def __init__(self, what: str, total: int) -> None:
        self._what, self._total = what, total
        self._done = 0
        self._started = time.monotonic()
        self._shown: Progress | None = None
        self._console = Console(stderr=True, markup=False, emoji=False)

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(self, *_: object) -> None:
        if self._shown is not None:
            self._shown.stop()

    def expect(self, size: int) -> None:
        """Add work to the total."""
        self._total += size

    def advance(self, size: int) -> None:
        """Count work as done, and show the bar once the work has taken long enough."""
        self._done += size
        if self._shown is None and sys.stderr.isatty() and time.monotonic() - self._started > QUIET_S:
            columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeRemainingColumn())
            self._shown = Progress(*columns, console=self._console, transient=True)
            self._shown.add_task(self._what, total=self._total)
            self._shown.start()
        if self._shown is not None:
            self._shown.update(self._shown.task_ids[0], completed=self._done, total=self._total)


class ProgressReader(io.BufferedReader):
    """Read a file and advance a progress bar by the bytes read."""

    def __init__(self, file: BinaryIO, bar: ProgressBar) -> None:
        super().__init__(file)  # type: ignore[arg-type]  # it needs no more than readinto
        self._bar = bar

    def read(self, size: int | None = -1, /) -> bytes:
        """Read up to `size` bytes, or all if it is -1 or None, and advance the bar by as many."""
        data = super().read(size)
        self._bar.advance(len(data))
        return data


def with_progress(what: str, total: int, items: Iterable[Item]) -> Iterator[Item]:
    """Yield the items, about `total` of them, and show a progress bar meanwhile."""
    with ProgressBar(what, total) as bar:
        for number, item in enumerate(items, 1):
            yield item
            if not number % ITEMS:
                bar.advance(ITEMS)
