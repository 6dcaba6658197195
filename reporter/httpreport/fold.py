"""Folded stacks: `process;outermost;...;leaf WEIGHT`, what flamegraph.pl and its kin read.

The weight is the duration of the calls in whole microseconds, so the width of a flame is the time that
callers waited; or it is their number. The first frame is the name of the process, not of the thread: a pool of
threads is one service. A call without a stack trace is `process;[no stack: reason]`; in one that lacks outer frames
`[incomplete: reason]` stands for them, unless the whole capture is by frame pointers. Identical stacks are one line;
lines are sorted by their bytes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from . import clean
from .report import Report
from .samples import Weight, places
from .sums import Sums
from .trace import StackTrace


def folded(report: Report, by: Weight = Weight.TIME) -> Iterator[str]:
    """The lines, without newlines. Their weights sum up to the durations, each rounded down to microseconds, or to the
    number of calls."""
    weights: Counter[str] = Counter()
    for key, sums in report.recording.by_stack.items():
        weights[fold(key.process, report.traces[report.trace_of_key[key]])] += weight_of(sums, by)
    for stack, weight in sorted(weights.items(), key=lambda item: item[0].encode()):
        yield f"{stack} {weight}"


def weight_of(sums: Sums, by: Weight) -> int:
    return sums.microseconds if by is Weight.TIME else sums.calls


def fold(process: bytes, trace: StackTrace) -> str:
    """One stack, outermost first."""
    return ";".join([clean.frame(clean.comm(process)), *frames(trace)])


def frames(trace: StackTrace) -> list[str]:
    """The frames of a folded stack, outermost first, without the process."""
    return [clean.frame(place.label) for place in places(trace)]
