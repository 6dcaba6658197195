"""Folded stacks: `process;outermost;...;leaf WEIGHT`, what flamegraph.pl and its kin read.

The weight is the duration of the calls in whole microseconds, so the width of a flame is the time that
callers waited; or it is their number. The first frame is the name of the process, not of the thread: a pool of
threads is one service. Where there are several hosts the host is before it. A call without a stack trace is
`process;[no stack: reason]`; in one that lacks outer frames `[incomplete: reason]` stands for them, unless the whole
capture is by frame pointers. Identical stacks are one line; lines are sorted by their bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from ..calls.totals import Sums
from ..common import printable
from .samples import Sample, Weight


def folded(samples: Iterable[Sample], by: Weight = Weight.TIME) -> Iterator[str]:
    """Yield the lines, without newlines. Their weights sum up to the durations, each rounded down to microseconds, or
    to the number of calls."""
    for stack, sums in sorted(folded_sums(samples).items(), key=lambda item: item[0].encode()):
        yield f"{stack} {by.folded(sums)}"


def folded_sums(samples: Iterable[Sample]) -> Mapping[str, Sums]:
    """Return the totals by folded stack."""
    summed: dict[str, Sums] = {}
    for sample in samples:
        stack = fold(sample)
        summed[stack] = summed.get(stack, Sums()) + sample.sums
    return summed


def fold(sample: Sample) -> str:
    """Return one folded stack, outermost frame first."""
    return ";".join(map(printable.frame, (*sample.above, *(place.label for place in sample.stack.frames))))
