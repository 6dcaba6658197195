"""Tell for calls that are shown one by one which tree each belongs to, and in which line of it the call is.

The trees are those of the terminal (`slowest_trees.py`), so whoever shows them says the same. How many calls are looked
at is bounded: trees of the calls that come first are taken.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Optional

import numpy as np

from ..calls.open_intervals import NONE
from .report import Report
from .slowest_trees import MOST_CALLS, Indices, SlowTree, tree_of

MOST_LINES = 200  # of one tree
MOST_CALLS_OF_TREES = 200_000  # of one capture
NO_LINE = -1


class TreePlace(NamedTuple):
    """Hold a tree, or None if it is too far behind to be looked at, and the number of the line that a call of it is
    in, or NO_LINE if the call is in none."""

    tree: Optional[SlowTree]
    line: int


def tree_places(report: Report, calls: Indices) -> Sequence[Optional[TreePlace]]:
    """Return the places of the listed calls at these indices. A call that is linked to no other, and of which it is not
    known either that it should be, has none."""
    above, tops, are_roots = report.linked_trees
    if not (above != NONE).any():
        return [None] * len(calls)
    by_top = np.argsort(tops, kind="stable")
    firsts, lasts = (np.searchsorted(tops[by_top], tops[calls], side) for side in ("left", "right"))
    is_alone = (lasts - firsts == 1) & are_roots[calls]
    _, distinct = np.unique(firsts, return_index=True)
    looked_at = np.sort(distinct)
    looked_at = looked_at[np.cumsum(np.minimum(lasts - firsts, MOST_CALLS)[looked_at]) <= MOST_CALLS_OF_TREES]
    trees = {
        int(firsts[place]): tree_of(report, by_top[firsts[place] : lasts[place]], MOST_LINES)
        for place in looked_at[~is_alone[looked_at]].tolist()
    }
    return [
        None if alone else _place(index, *trees.get(first, (None, {})))
        for alone, first, index in zip(is_alone.tolist(), firsts.tolist(), calls.tolist())
    ]


def _place(index: int, tree: SlowTree | None, lines: Mapping[int, int]) -> TreePlace:
    return TreePlace(tree, lines.get(index, NO_LINE))
