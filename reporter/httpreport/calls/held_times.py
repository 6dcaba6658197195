"""Divide the time of requests among those that held it: processes that answered, what lies between the two ends of
calls, and whoever was asked and is not among the calls.

A call has as its own time that in which none of the calls right below it was open. A client call that ended later than
its cause may not have been waited for, so it takes no time from its cause. At a moment at which the own times of
several holders meet, any of them may be the one that holds the request. While a request or a response is transferred,
either end may be what is slow. So the most that a holder held is all of its own time, and the least is what it has
alone, without transfers, and without what is uncertain: as while calls of its process were open whose cause is not
known. While calls were open that it made and that are too short to be among the calls, it held the request or they did.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from httpcapture import Role

from ..common.interning import Interner
from .covered_time import CoveredTime
from .open_intervals import NONE, Indices, Times
from .schema import ColumnsByName, ends_of
from .trees import Trees


class HeldTimes(NamedTuple):
    """Hold for each pair of a request and a holder the index of the request, the number of the holder, and the least
    and the most time that it held, in ns, and how much more the least is together with its shorter calls; and for each
    call the index of its pair."""

    requests: Indices
    holders: Indices
    least: Times
    most: Times
    shorter: Times
    pair_of: Indices


def held_times(calls: ColumnsByName, trees: Trees, uncertain: Times, shorter: Times, holders: Indices) -> HeldTimes:
    """Return the times of calls, each of which is in the tree of a request. `holders` numbers to whom the own time of
    each call belongs. Of that, in ns, `uncertain` is how much is uncertain, apart from what times tell, and `shorter`
    how long it had calls open that are too short to be among these."""
    above, tops, _ = trees
    pairs = Interner(2)
    pair_of = pairs.intern(tops.astype(np.uint64), holders.astype(np.uint64))
    requests, numbers = pairs.values.astype(np.intp)
    starts, ends = np.asarray(calls["t0"]).astype(np.int64), ends_of(calls)
    owners, firsts, lasts = _own_times(starts, ends, above, np.asarray(calls["role"]) == Role.SERVER)
    first, last = starts[tops[owners]], ends[tops[owners]]
    spans = CoveredTime(pair_of[owners], np.clip(firsts, first, last), np.clip(lasts, first, last))
    most, doubtful, in_shorter = np.zeros((3, len(requests)), np.int64)
    np.add.at(most, spans.groups, spans.ends - spans.starts)
    np.add.at(doubtful, pair_of, _transfer_times(calls, starts, ends) + uncertain)
    np.add.at(in_shorter, pair_of, shorter)
    together = np.maximum(_alone(spans, requests) - doubtful, 0)
    least = np.maximum(together - in_shorter, 0)
    return HeldTimes(requests, numbers, least, most, together - least, pair_of)


def _transfer_times(calls: ColumnsByName, starts: Times, ends: Times) -> Times:
    """Return how long the request and the response of each call took to be transferred."""
    sent, answered = (np.clip(np.asarray(calls[name]).astype(np.int64), starts, ends) for name in ("t1", "t2"))
    return np.asarray(ends - starts - np.maximum(answered - sent, 0))


def _own_times(
    starts: Times, ends: Times, above: Indices, are_servers: npt.NDArray[np.bool_]
) -> tuple[Indices, Times, Times]:
    """Return the times in which nothing right below a call was open: the index of the call, when each begins and when
    it ends."""
    below = np.flatnonzero((above != NONE) & (are_servers | (ends <= ends[above])))
    parent, every = above[below], np.arange(len(starts))
    open_below = CoveredTime(parent, *(np.clip(times[below], starts[parent], ends[parent]) for times in (starts, ends)))
    owners = np.append(every, open_below.groups)  # each has as many beginnings as ends
    begins, finishes = np.append(starts, open_below.ends), np.append(ends, open_below.starts)
    by_begin, by_finish = np.lexsort((begins, owners)), np.lexsort((finishes, owners))
    return owners[by_begin], begins[by_begin], finishes[by_finish]


def _alone(spans: CoveredTime, requests: Indices) -> Times:
    """Return how long each pair has its request alone. `requests` has the request of each pair."""
    count = len(spans.groups)
    times, pairs = np.append(spans.starts, spans.ends), np.append(spans.groups, spans.groups)
    changes = np.repeat([1, -1], count)
    order = np.lexsort((times, requests[pairs]))
    open_pairs, sum_of_pairs = np.cumsum(changes[order]), np.cumsum((changes * pairs)[order])
    lengths = np.diff(times[order], append=times[order][-1:])
    only = open_pairs == 1  # of one that is open, the sum is its index
    alone = np.zeros(len(requests), np.int64)
    np.add.at(alone, sum_of_pairs[only], lengths[only])
    return alone
