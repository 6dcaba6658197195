"""Find the causes of calls by the threads that handle requests: one that has received exactly one of the open requests,
and sends its answer, makes its calls for that.

Programs differ in whether that is so, which is checked on all calls of a capture. These shares must be high:

- of the server calls of the program: those answered by the thread that received the request, while it had no other;
- of the client calls with the same stack trace: those for which the rule finds a cause, of those that were made after
  the process had been asked something; and of what it finds: the client calls that end before their cause does.
"""

from __future__ import annotations

import numpy as np

from .cause_columns import NO_CAUSE, Columns
from .certainty import FEWEST, Mask, Shares, Small, certainty, share
from .open_intervals import Indices


def by_thread(columns: Columns) -> tuple[Indices, Small]:
    """Return for each call the only server call that its thread had open, if one thread begins and ends both, and how
    certain it is that this is the cause."""
    other_thread = _end_in_other_threads(columns)
    indices, known = np.full(len(columns), NO_CAUSE), np.zeros(len(columns), np.uint8)
    servers, clients = (calls[~other_thread[calls]] for calls in (columns.servers, columns.clients))
    made = columns.t0[clients]
    _, only = columns.opened(columns.thread[servers], servers).during(columns.thread[clients], made, made)
    indices[clients[only != NO_CAUSE]] = servers[only[only != NO_CAUSE]]

    exclusive, count = _exclusive(columns, other_thread)
    clients = columns.clients
    program, shape, is_found = columns.program[clients], columns.shape[clients], indices[clients] != NO_CAUSE
    found = share(is_found, is_found | columns.was_asked(clients), shape)[shape]
    _, inside = columns.inside(clients, indices[clients])
    known[clients] = certainty(np.minimum(found, exclusive[program]), inside, count[program] >= FEWEST)
    return indices, known


def _end_in_other_threads(columns: Columns) -> Mask:
    """Return which calls are sent and received by different threads, or by one that is not known."""
    return np.asarray((columns.receive_tid != columns.tid) & (columns.answered | (columns.receive_tid != 0)))


def _exclusive(columns: Columns, other_thread: Mask) -> tuple[Shares, Indices]:
    """Return for each program the share of its answered server calls that one thread received and answered while it had
    no other, and how many it answered."""
    servers = columns.servers[columns.answered[columns.servers]]
    together, _ = columns.opened(columns.thread[columns.servers], columns.servers).during(
        columns.thread[servers], columns.t0[servers], columns.ends[servers]
    )
    alone = np.zeros(len(columns), np.bool_)
    alone[servers] = ~other_thread[servers] & (together <= 1)
    is_counted = np.zeros(len(columns), np.bool_)
    is_counted[servers] = True
    return share(alone, is_counted, columns.program), np.bincount(columns.program[servers], minlength=len(columns))
