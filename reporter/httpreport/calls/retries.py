"""Tell which client calls were made again after the same one had failed.

Of the calls that one server call caused, those are the same that have the same first line, nothing of which was left
out. Where one of them follows a success, they are not made because of failures: a program works through a list.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from httpcapture import Outcome, Role

from ..common.interning import Interner
from .certainty import Mask
from .open_intervals import NONE, Indices
from .schema import ColumnsByName

FIRST_FAILURE = 500  # status: what the client did wrong will be wrong again
UNANSWERED = (Outcome.EOF, Outcome.RESET, Outcome.CLOSED)
LEFT_OUT = (b"{...}", b"?...")  # stand for what the recorder left out of a line
UNKNOWN = 0  # number of a line of which not everything is known


def retries(calls: ColumnsByName, causes: Indices, texts: Sequence[bytes]) -> Mask:
    """Return which calls were made again. `causes` has the index of each call's cause or NONE, and `texts` the heads of
    requests by their places."""
    failed = np.isin(calls["outcome"], UNANSWERED) | (calls["status"] >= FIRST_FAILURE)
    caused = (calls["role"] == Role.CLIENT) & (causes != NONE)
    has_failures = np.zeros(len(causes), np.bool_)
    has_failures[causes[caused & failed]] = True
    chosen = np.flatnonzero(caused & has_failures[causes])
    lines = _lines(calls["request"][chosen], texts)
    chosen, lines = chosen[lines != UNKNOWN], lines[lines != UNKNOWN]
    group = Interner(2).intern(causes[chosen].astype(np.uint64), lines.astype(np.uint64))
    order = np.lexsort((calls["t0"][chosen], group))
    in_order, group = chosen[order], group[order]
    follows = group[1:] == group[:-1]
    after_failure = failed[in_order[:-1]]
    are_lists = group[1:][follows & ~after_failure]
    again = np.zeros(len(causes), np.bool_)
    again[in_order[1:][follows & after_failure & ~np.isin(group[1:], are_lists)]] = True
    return again


def _lines(requests: Indices, texts: Sequence[bytes]) -> Indices:
    """Return the number of the first line of each request, or UNKNOWN."""
    places, of_call = np.unique(requests, return_inverse=True)
    numbers: dict[bytes, int] = {}
    lines = (texts[place].partition(b"\n")[0] for place in places.tolist())
    known = [line if line and not any(text in line for text in LEFT_OUT) else None for line in lines]
    of_place = [UNKNOWN if line is None else numbers.setdefault(line, len(numbers) + 1) for line in known]
    return np.array(of_place, np.intp)[of_call]
