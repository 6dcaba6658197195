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
    thresholds applies, because below it a capture may lack calls. If only some of the recorders judged calls by their
    whole duration, calls are compared by their first byte. Calls `done` with each capture when it has been read.

    Raises ReportError, also if no capture of a side can be read.
    """
    if "-" in (*before, *after):
        raise ReportError("standard input cannot be compared: write it to a file")
    metas = parallel.metas_of((*before, *after)).values()
    if len({bool(meta.duration_rule) for meta in metas}) > 1:
        request = replace(request, first_byte=True)
    if request.milliseconds is None:
        largest = max((meta.threshold_ns for meta in metas), default=0)
        request = replace(request, milliseconds=largest / 1e6)
    sides = [_read(paths, request, jobs, done) for paths in (before, after)]
    rules = {facts.judged_whole for side in sides for facts in side.captures}
    if len(rules) > 1 and not request.first_byte:  # of a pipe, META is not known before it is read
        raise ReportError("some captures are of an older recorder, which judged by the first byte: add --first-byte")
    return compare(*sides)


def _read(paths: Sequence[str], request: Request, jobs: int, done: Callable[[str], None]) -> Aggregate:
    spools = parallel.Spools(Path(), paths, (), Style())  # comparisons list no calls
    side = parallel.aggregate_all(spools, request, jobs, done=done)
    if not side.captures:
        raise ReportError("; ".join(one.reason for one in side.unreadable))
    return side
