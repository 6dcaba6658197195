"""Compare self times: how much longer a process itself takes for what it answers, without what it waits for.

A self time may be a range. Then so is its change, and which grew most is judged by what is certain of that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from ..report.aggregate import Aggregate
from ..report.self_totals import Answered, by_route
from ..report.tree_totals import SelfTotals
from .largest import largest


class SelfChange(NamedTuple):
    """Hold what a process answered before and after, with sums of self times. A side on which nothing was answered has
    no calls. `scaled` is what was before, with times scaled to the length of the recording after."""

    answered: Answered
    before: SelfTotals
    scaled: SelfTotals
    after: SelfTotals

    @property
    def added_ns(self) -> tuple[int, int]:
        """Return by how much the self time grew at least and at most, in ns; negative if it shrank."""
        return self.after.least_ns - self.scaled.most_ns, self.after.most_ns - self.scaled.least_ns

    @property
    def certain_ns(self) -> int:
        """Return by how much the self time grew or shrank for certain, in ns; 0 if it may have done either."""
        least, most = self.added_ns
        return least if least > 0 else min(most, 0)


def self_changes(before: Aggregate, after: Aggregate, scaled: Callable[[int], int]) -> Sequence[SelfChange]:
    """Return the changes of all self times, those that grew most for certain first; nothing if either side has no calls
    that are linked to each other. `scaled` scales what was before."""
    sides = [by_route(side.trees.self_times, side.routes) for side in (before, after)]
    if not all(side.trees.roots for side in (before, after)):
        return ()
    one, other = sides
    changes = (
        _change(key, one.get(key, SelfTotals()), other.get(key, SelfTotals()), scaled) for key in sorted({*one, *other})
    )
    return sorted(changes, key=lambda change: -change.certain_ns)


def _change(answered: Answered, before: SelfTotals, after: SelfTotals, scaled: Callable[[int], int]) -> SelfChange:
    times = map(scaled, (before.time_ns, before.least_ns, before.most_ns))
    return SelfChange(answered, before, SelfTotals(before.calls, *times), after)


def largest_self(changes: Sequence[SelfChange], most: int) -> list[SelfChange]:
    """Return the `most` changes that are largest for certain, in their order."""
    return largest(changes, most, lambda change: change.certain_ns)
