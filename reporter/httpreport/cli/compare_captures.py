"""Read the captures of both sides of a comparison, with the same filters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Callable

from ..common.errors import ReportError
from ..compare.changes import Comparison, compare
from ..outputs.output import Style
from ..report.aggregate import Aggregate, Request
from . import parallel


def read_both(
    before: Sequence[str], after: Sequence[str], request: Request, jobs: int, done: Callable[[str], None]
) -> Comparison:
    """Return what changed between the captures at the paths. Without a threshold, the largest of the captures' own
    thresholds applies, because below it a capture may lack calls. Calls `done` with each capture when it has been read.

    Raises ReportError, also if no capture of a side can be read.
    """
    if "-" in (*before, *after):
        raise ReportError("standard input cannot be compared: write it to a file")
    if request.milliseconds is None:
        largest = max((meta.threshold_ns for meta in parallel.metas_of((*before, *after)).values()), default=0)
        request = replace(request, milliseconds=largest / 1e6)
    return compare(*(_read(paths, request, jobs, done) for paths in (before, after)))


def _read(paths: Sequence[str], request: Request, jobs: int, done: Callable[[str], None]) -> Aggregate:
    spools = parallel.Spools(Path(), paths, (), Style())  # comparisons list no calls
    side = parallel.aggregate_all(spools, request, jobs, done=done)
    if not side.captures:
        raise ReportError("; ".join(one.reason for one in side.unreadable))
    return side
