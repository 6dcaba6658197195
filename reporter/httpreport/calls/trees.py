"""Put calls together into trees: above a server call is the client's end of the same call, above a client call its
cause.

What is above a call began before it, so no call is above itself: `other_ends.py`, `causes.py` and `recorded_causes.py`
see to that on one clock. A client call whose cause is one of several candidates, and is not known which, is in no tree
but its own, and is no root.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from httpcapture import Role

from .causes import Causes
from .certainty import Certainty, Small
from .open_intervals import NONE, Indices
from .schema import ColumnsByName

Mask = npt.NDArray[np.bool_]
_MOST_STEPS = 64  # each doubles how far is looked up: more are needed by no capture


class Trees(NamedTuple):
    """Hold for each call the index of the call above it or NONE, that of the top of its tree, and whether it is a
    root: nothing caused it, as far as was recorded."""

    above: Indices
    tops: Indices
    are_roots: Mask


def in_doubt(certainty: Small, above: Indices) -> Mask:
    """Return which calls have a cause that is only probable, or are below one that has, given a Certainty of the cause
    of each call and the call above it."""
    doubt: Mask = certainty == Certainty.PROBABLE
    up = np.where(above == NONE, np.arange(len(above)), above)
    for _ in range(_MOST_STEPS):
        doubt, further = doubt | doubt[up], up[up]
        if (further == up).all():
            break
        up = further
    return doubt


def trees_of(calls: ColumnsByName, other_ends: Indices, causes: Causes) -> Trees:
    """Return the trees of calls on one clock."""
    above = np.where(np.asarray(calls["role"]) == Role.SERVER, other_ends, causes.indices)
    tops = np.where(above == NONE, np.arange(len(above)), above)
    for _ in range(_MOST_STEPS):
        further = tops[tops]
        if (further == tops).all():
            break
        tops = further
    return Trees(above, tops, (above == NONE) & (causes.candidates == 0))
