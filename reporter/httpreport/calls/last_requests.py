"""Tell words that belong to a request from those that an earlier one has left on the stack.

What is left over is of the request that the thread handled last. Mostly that is the request for which the next call is
made, so that such words seem to tell its cause, until a thread receives two requests before it makes calls for either:
then the calls of both name the later one. A word that belongs to a request names either about equally often.
"""

from __future__ import annotations

import numpy as np

from ..common.interning import Interner, words_of
from .cause_columns import NO_CAUSE, Columns
from .certainty import Mask, share
from .open_intervals import Indices

_EARLIER_SHARE = 1 / 3  # of the calls made after two requests, that must name another one than the later


def tell_of_requests(columns: Columns, clients: Indices, causes: Indices) -> Mask:
    """Return for each client call whether the causes that were found for its like may be more than leftovers: it is
    False if they nearly always name the request that the thread received last, where they could name another."""
    last, before = _last_two(columns, clients)
    shape = columns.shape[clients]
    could = (causes != NO_CAUSE) & (before != NO_CAUSE)
    could[could] = columns.ends[before[could]] >= columns.t0[clients[could]]
    earlier = share(could & (causes != last), could, shape)
    return np.asarray((earlier >= _EARLIER_SHARE) | (np.bincount(shape[could], minlength=len(earlier)) == 0))[shape]


def _last_two(columns: Columns, clients: Indices) -> tuple[Indices, Indices]:
    """Return for each client call the server call that its thread received last, and the one that it received before
    that if it made no call in between; else NO_CAUSE."""
    calls = np.concatenate([columns.servers, clients])
    is_server = np.arange(len(calls)) < len(columns.servers)
    received_by = np.where(columns.receive_tid != 0, columns.receive_tid, columns.tid)
    tids = np.where(is_server, received_by[calls], columns.tid[calls])
    threads = Interner(2).intern(columns.process[calls].astype(np.uint64), *words_of(tids))
    order = np.lexsort((columns.t0[calls], threads))
    sorted_threads, servers = threads[order], np.where(is_server[order], calls[order], NO_CAUSE)
    place = np.arange(len(calls))
    last = np.maximum.accumulate(np.where(servers != NO_CAUSE, place, -1))
    found = np.full((2, len(calls)), NO_CAUSE)
    for back, ours in enumerate(found):
        at = np.maximum(last - back, 0)
        is_same = (last >= back) & (sorted_threads[at] == sorted_threads)
        ours[order] = np.where(is_same, servers[at], NO_CAUSE)
    return found[0, ~is_server], found[1, ~is_server]
