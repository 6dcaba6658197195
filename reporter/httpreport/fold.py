"""Folded stacks: `process;outermost;...;leaf WEIGHT`, what flamegraph.pl and its kin read.

The weight is the duration of the calls in whole microseconds, so the width of a flame is the time that
callers waited. The first frame is the name of the process, not of the thread: a pool of threads is one
service. A call without a stack trace is `process;[no stack: reason]`; in one that lacks outer frames
`[incomplete: reason]` stands for them, unless the whole capture is by frame pointers. Identical stacks are one line;
lines are sorted by their bytes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from . import clean
from .report import Report
from .trace import Incomplete, StackTrace


def folded(report: Report) -> Iterator[str]:
    """The lines, without newlines. Their weights sum up to the durations, each rounded down to
    microseconds."""
    weights: Counter[str] = Counter()
    for key, sums in report.recording.by_stack.items():
        weights[fold(key.process, report.traces[report.trace_of_key[key]])] += sums.microseconds
    for stack, weight in sorted(weights.items(), key=lambda item: item[0].encode()):
        yield f"{stack} {weight}"


def fold(process: bytes, trace: StackTrace) -> str:
    """One stack, outermost first."""
    return ";".join([clean.frame(clean.comm(process)), *frames(trace)])


def frames(trace: StackTrace) -> list[str]:
    """The frames of a folded stack, outermost first, without the process; what has no frame (why there is none, or why
    outer ones are missing) is in brackets."""
    if trace.missing is not None:
        labels = [f"[no stack: {trace.missing.value}]"]
    else:
        labels = [frame.label for frame in reversed(trace.frames)]
        labels[:0] = ["[frames left out]"] if trace.left_out else []
        if trace.incomplete not in (None, Incomplete.AS_RECORDED):
            labels.insert(0, f"[incomplete: {trace.incomplete.value}]")
    return list(map(clean.frame, labels))
