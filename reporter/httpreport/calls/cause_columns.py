"""Hold the columns of calls by which their causes are found."""

from __future__ import annotations

import numpy as np

from httpcapture import Outcome, Role

from ..common.interning import Interner, words_of
from .certainty import Mask, Shares, share
from .open_intervals import NONE, Indices, OpenIntervals
from .schema import ColumnsByName, ends_of

NO_CAUSE = NONE


class Columns:
    """Hold the columns of all calls, and the indices of client and server calls. `shapes` numbers the stack traces."""

    def __init__(self, calls: ColumnsByName, shapes: Indices) -> None:
        self.t0, self.ends = np.asarray(calls["t0"]).astype(np.int64), ends_of(calls)
        role = np.asarray(calls["role"])
        self.clients, self.servers = np.flatnonzero(role == Role.CLIENT), np.flatnonzero(role == Role.SERVER)
        self.answered = np.asarray(calls["outcome"]) == Outcome.ANSWERED
        self.tid, self.receive_tid = np.asarray(calls["tid"]), np.asarray(calls["receive_tid"])
        process = [*words_of(np.asarray(calls["pid"])), *words_of(np.asarray(calls["process_start"]))]
        self.process = Interner(2).intern(*process)
        self.thread = Interner(3).intern(*process, *words_of(self.tid))
        self.program = Interner(2).intern(*words_of(np.asarray(calls["process"])))
        self.shape = Interner(2).intern(self.program.astype(np.uint64), shapes.astype(np.uint64))
        """Numbers of what should be alike in all calls: the program and the stack trace."""

    def __len__(self) -> int:
        return len(self.t0)

    def opened(self, groups: Indices, calls: Indices) -> OpenIntervals:
        """Return when the calls were open, whose groups are given."""
        return OpenIntervals(groups, self.t0[calls], self.ends[calls])

    def inside(self, clients: Indices, causes: Indices) -> tuple[Mask, Shares]:
        """Return which of the client calls have a cause and end before it does, and for each the share of them among
        those with a cause that have its shape."""
        is_found = causes != NO_CAUSE
        inside = is_found & (self.ends[clients] <= self.ends[causes])
        return inside, share(inside, is_found, self.shape[clients])[self.shape[clients]]

    def was_asked(self, clients: Indices) -> Mask:
        """Return for which client calls the process had received a request before."""
        first = np.full(int(self.process.max(initial=-1)) + 1, np.iinfo(np.int64).max)
        np.minimum.at(first, self.process[self.servers], self.t0[self.servers])
        return np.asarray(first[self.process[clients]] < self.t0[clients])
