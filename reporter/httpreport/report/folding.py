"""Fold stacks: `process;outermost;...;leaf WEIGHT`, which flamegraph.pl and similar tools read.

The weight is the duration of the calls in whole microseconds, so the width of a flame is the time that callers waited;
or it is the number of calls. The first frame is the name of the process and not of the thread, because a pool of
threads is one service. If there are several hosts, the host comes before it. A call without a stack trace is
`process;[no stack: reason]`. In a stack trace that lacks outer frames, `[incomplete: reason]` stands for them, unless
the whole capture is by frame pointers. Identical stacks are one line; lines are sorted by their bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from ..calls.totals import Totals
from ..common import printable
from .samples import Sample, Weight


def folded(samples: Iterable[Sample], by: Weight = Weight.TIME) -> Iterator[str]:
    """Yield the lines, without newlines.

    The sum of their weights is that of the durations, each rounded down to microseconds, or the number of calls.
    """
    for stack, totals in sorted(folded_totals(samples).items(), key=lambda item: item[0].encode()):
        yield f"{stack} {by.folded(totals)}"


def folded_totals(samples: Iterable[Sample]) -> Mapping[str, Totals]:
    """Return the totals by folded stack."""
    totals: dict[str, Totals] = {}
    for sample in samples:
        stack = fold(sample)
        totals[stack] = totals.get(stack, Totals()) + sample.totals
    return totals


def fold(sample: Sample) -> str:
    """Return one folded stack, outermost frame first."""
    return ";".join(map(printable.frame, (*sample.above, *(frame.label for frame in sample.stack.frames))))
