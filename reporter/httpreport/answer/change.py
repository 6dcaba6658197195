"""Find since when requests take longer, or shorter, than before, or whether they do so in another recording, if that
stands out from the noise.

That there is a change is told by the test of Mann and Whitney (1947), the rank-sum test, for each moment at which it
may be, with Bonferroni's correction for their number. Durations are not independent of each other: load comes and goes.
So the chance that is accepted is far smaller than usual, and what changed must also be larger than the spread on either
side, hold from then on, and not have come little by little. The moment is that before which most durations are on one
side of the middle, and since which most are on the other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ..report.evidence import Sampled
from .answer import Change, Side

FEWEST = 30  # requests on each side
LARGEST_CHANCE = 1e-6  # that ranks are like that without a change
LEAST_SHARE, LEAST_NS = 0.2, 5_000_000  # of the median before
SPANS, SPAN = 10, 10  # at most so many spans into which a side is divided, and so many requests in each, at least
SUDDEN = 0.7  # of the change, that the spans right before and after the moment differ by at least
CUT_QUANTILE, CUT = 0.05, 1.25  # more requests than that part take less than so many times the threshold
LEVEL = 0.25  # of the change, that the halves of a side differ by at most

Durations = npt.NDArray[np.int64]


def change(requests: Sequence[Sampled], floor_ns: int) -> Change | None:
    """Return since when requests, in the order in which they began, take another time than before. Shorter ones than
    `floor_ns` are not known."""
    durations = _durations(requests)
    split = _split(durations)
    split = None if split is None else _moment(durations, split)
    if split is None or any(_is_cut(side, floor_ns) for side in (durations[:split], durations[split:])):
        return None
    if not _stands_out(durations[:split], durations[split:]):
        return None
    return Change(requests[split].start_ns, _side(durations[:split]), _side(durations[split:]))


def difference(before: Sequence[Sampled], since: Sequence[Sampled], floor_ns: int) -> Change | None:
    """Return how requests of one recording and of a later one differ. None if that may be chance, or if `floor_ns` cuts
    off many of them."""
    one, other = map(_durations, (before, since))
    if min(len(one), len(other)) < FEWEST or not _is_apart(one, other):
        return None
    if _is_cut(one, floor_ns) or _is_cut(other, floor_ns):
        return None
    ranks = _ranks(np.concatenate([one, other]))
    score = _scores(np.array([len(one)]), np.array([ranks[: len(one)].sum()]), len(ranks))[0]
    return Change(None, _side(one), _side(other)) if math.erfc(score / math.sqrt(2)) < LARGEST_CHANCE else None


def is_cut(requests: Sequence[Sampled], floor_ns: int) -> bool:
    """Return whether so many requests take about `floor_ns` that there may be as many shorter ones, which are not
    known: then nothing follows from how long the others take."""
    return _is_cut(_durations(requests), floor_ns)


def _durations(requests: Sequence[Sampled]) -> Durations:
    return np.array([request.duration_ns for request in requests], np.int64)


def _is_cut(durations: Durations, floor_ns: int) -> bool:
    return bool(np.quantile(durations, CUT_QUANTILE) < CUT * floor_ns)


def _split(durations: Durations) -> int | None:
    """Return before which duration the ranks change most, or None if that may be chance."""
    count = len(durations)
    if count < 2 * FEWEST:
        return None
    before = np.arange(FEWEST, count - FEWEST + 1)  # so many durations come before each moment
    scores = _scores(before, np.cumsum(_ranks(durations))[before - 1], count)
    best = int(np.argmax(scores))
    chance = len(before) * math.erfc(scores[best] / math.sqrt(2))
    return int(before[best]) if chance < LARGEST_CHANCE else None


def _scores(before: Durations, sums: npt.NDArray[np.float64], count: int) -> npt.NDArray[np.float64]:
    """Return by how many standard deviations the sums of the ranks of so many durations, of `count` in all, differ from
    what they would be without a change."""
    deviation = np.sqrt(before * (count - before) * (count + 1) / 12)
    return np.asarray(np.abs(sums - before * (count + 1) / 2) / deviation)


def _moment(durations: Durations, near: int) -> int | None:
    """Return before which duration they cross the middle between the medians of two sides, or None if too few are on
    one side. The sides are given roughly, by the first duration of the second."""
    before, since = np.median(durations[:near]), np.median(durations[near:])
    steps = np.where((durations > (before + since) / 2) == (since > before), 1, -1)
    split = int(np.argmin(np.cumsum(steps))) + 1
    return split if FEWEST <= split <= len(durations) - FEWEST else None


def _ranks(values: Durations) -> npt.NDArray[np.float64]:
    """Return the rank of each value, from 1; equal ones share the middle of their ranks."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[places])


def _stands_out(before: Durations, after: Durations) -> bool:
    """Return whether the two sides differ by more than their spread, throughout, and from one moment to the next."""
    if not _is_apart(before, after):
        return False
    one, other = _side(before), _side(after)
    by = other.p50_ns - one.p50_ns
    middle = (one.p50_ns + other.p50_ns) / 2
    earlier, later = (_medians(side, min(SPANS, len(side) // SPAN)) for side in (before, after))
    holds = ((earlier < middle) == (by > 0)).all() and ((later > middle) == (by > 0)).all()
    is_sudden = abs(later[0] - earlier[-1]) > SUDDEN * abs(by)
    is_level = all(abs(np.diff(_medians(side, 2))[0]) < LEVEL * abs(by) for side in (before, after))
    return bool(holds and is_sudden and is_level)


def _is_apart(before: Durations, after: Durations) -> bool:
    """Return whether the two sides differ by enough, and by more than their spread."""
    one, other = _side(before), _side(after)
    by = other.p50_ns - one.p50_ns
    if abs(by) <= max(LEAST_SHARE * one.p50_ns, LEAST_NS):
        return False
    return one.p75_ns < other.p25_ns if by > 0 else other.p75_ns < one.p25_ns


def _medians(durations: Durations, count: int) -> npt.NDArray[np.float64]:
    """Return the medians of so many spans of a side."""
    return np.array([np.median(span) for span in np.array_split(durations, count)])


def _side(durations: Durations) -> Side:
    return Side(len(durations), *np.quantile(durations, (0.25, 0.5, 0.75), method="lower").tolist())
