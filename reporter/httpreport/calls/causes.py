"""Find the cause of client calls: the server call of the same process on whose behalf each was made.

The candidates are the server calls of the process that were open when the call was made. Of these, rules choose one or
say nothing. The first rule that is sure decides; if none is, the first one that is probably right:

1. **ID**: exactly one candidate has an ID of a request or a trace in its heads that the client call has, too.
2. **Thread**: the thread that makes the call has received exactly one of the candidates, and sends its answer.

Whether the thread tells the cause is checked on all calls of a capture, because programs differ in it. All of these
shares must be high (SURE_SHARE, or PROBABLE_SHARE for a cause that is only probable):

- of the server calls of the program: those answered by the thread that received the request, while it had no other;
- of the client calls with the same stack trace: those for which the rule finds a cause, of those that were made after
  the process had been asked something; and of what it finds: the client calls that end before their cause does.

A call that is not known to be somebody's cause is none. The calls that a capture lacks are shorter than its threshold,
so they cannot have waited for a call that it has. All steps are sorts and look-ups of whole columns.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from httpcapture import Outcome, Role

from ..common.interning import Interner, words_of
from .open_intervals import NONE, Indices, OpenIntervals
from .schema import ColumnsByName, ends_of

Mask = npt.NDArray[np.bool_]
Small = npt.NDArray[np.uint8]
Shares = npt.NDArray[np.float64]

NO_CAUSE = NONE
SURE_SHARE, PROBABLE_SHARE = 0.99, 0.7
INSIDE_SHARE = 0.98  # of the calls whose cause is sure: what nobody waits for may end later than its cause
FEWEST = 3  # server calls of a program that must have agreed before a cause is sure


class Certainty(enum.IntEnum):
    """Say how certain the cause of a call is."""

    NOT_KNOWN = 0
    PROBABLE = 1
    SURE = 2


class Rule(enum.IntEnum):
    """Say by what a cause was found."""

    NONE = 0
    ID = 1
    THREAD = 2

    @property
    def text(self) -> str:
        """Return what tells the cause, as text."""
        return {Rule.ID: "an ID in the heads", Rule.THREAD: "its thread"}.get(self, "")


@dataclass(frozen=True)
class Causes:
    """Hold for each call the index of its cause or NO_CAUSE, a Certainty, a Rule, and how many server calls of its
    process were open when it was made. Of calls that are not client calls, all of these are 0 or NO_CAUSE."""

    indices: Indices
    certainty: Small
    rules: Small
    candidates: Indices


def no_causes(count: int) -> Causes:
    """Return that no cause is known of so many calls, as if no server call had been open."""
    certainty, rules = np.zeros((2, count), np.uint8)
    return Causes(np.full(count, NO_CAUSE), certainty, rules, np.zeros(count, np.intp))


@dataclass(frozen=True)
class Ids:
    """Hold pairs of the index of a call and the number of an ID in its heads. A call may have several IDs."""

    calls: Indices
    numbers: Indices


NO_IDS = Ids(np.zeros(0, np.intp), np.zeros(0, np.intp))


class _Calls:
    """Hold the columns of all calls, and the indices of client and server calls."""

    def __init__(self, calls: ColumnsByName) -> None:
        self.t0, self.ends = np.asarray(calls["t0"]).astype(np.int64), ends_of(calls)
        role = np.asarray(calls["role"])
        self.clients, self.servers = np.flatnonzero(role == Role.CLIENT), np.flatnonzero(role == Role.SERVER)
        self.answered = np.asarray(calls["outcome"]) == Outcome.ANSWERED
        self.tid, self.receive_tid = np.asarray(calls["tid"]), np.asarray(calls["receive_tid"])
        process = [*words_of(np.asarray(calls["pid"])), *words_of(np.asarray(calls["process_start"]))]
        self.process = Interner(2).intern(*process)
        self.thread = Interner(3).intern(*process, *words_of(self.tid))
        self.program = Interner(2).intern(*words_of(np.asarray(calls["process"])))
        self.other_thread = (self.receive_tid != self.tid) & (self.answered | (self.receive_tid != 0))


def causes(calls: ColumnsByName, shapes: Indices, ids: Ids = NO_IDS) -> Causes:
    """Return the causes of calls, which have the columns of CALL. `shapes` numbers the stack trace of each call."""
    columns = _Calls(calls)
    found = no_causes(len(shapes))
    made = columns.t0[columns.clients]
    candidates = _open(columns, columns.process, columns.servers)
    found.candidates[columns.clients], _ = candidates.during(columns.process[columns.clients], made, made)
    _take(found, Rule.ID, _by_id(columns, ids), np.full(len(shapes), Certainty.SURE, np.uint8))
    by_thread = _by_thread(columns)
    _take(found, Rule.THREAD, by_thread, _certainty_of_thread(columns, by_thread, shapes))
    return found


def _open(columns: _Calls, groups: Indices, calls: Indices) -> OpenIntervals:
    return OpenIntervals(groups[calls], columns.t0[calls], columns.ends[calls])


def _take(found: Causes, rule: Rule, indices: Indices, certainty: Small) -> None:
    """Take over the causes that are more certain than those of the rules before."""
    better = (indices != NO_CAUSE) & (certainty > found.certainty)
    found.indices[better], found.certainty[better], found.rules[better] = indices[better], certainty[better], rule


def _by_id(columns: _Calls, ids: Ids) -> Indices:
    """Return for each call the only server call that was open in its process and has an ID that it has, too. If its
    IDs name different ones, none is returned."""
    is_client, is_server = (np.isin(ids.calls, of_role) for of_role in (columns.clients, columns.servers))
    groups = Interner(2).intern(columns.process[ids.calls].astype(np.uint64), ids.numbers.astype(np.uint64))
    servers, clients = ids.calls[is_server], ids.calls[is_client]
    made = columns.t0[clients]
    opened = OpenIntervals(groups[is_server], columns.t0[servers], columns.ends[servers])
    _, only = opened.during(groups[is_client], made, made)
    clients, named = clients[only != NONE], servers[only[only != NONE]]
    least, most = np.full(len(columns.t0), len(columns.t0)), np.full(len(columns.t0), NO_CAUSE)
    np.minimum.at(least, clients, named)
    np.maximum.at(most, clients, named)
    return np.where(least == most, most, NO_CAUSE)


def _by_thread(columns: _Calls) -> Indices:
    """Return for each call the only server call that its thread had open, if the same thread answers both."""
    indices = np.full(len(columns.t0), NO_CAUSE)
    servers = columns.servers[columns.receive_tid[columns.servers] != 0]
    own = servers[~columns.other_thread[servers]]
    clients = columns.clients[~columns.other_thread[columns.clients]]
    made = columns.t0[clients]
    _, only = _open(columns, columns.thread, own).during(columns.thread[clients], made, made)
    indices[clients[only != NONE]] = own[only[only != NONE]]
    return indices


def _certainty_of_thread(columns: _Calls, indices: Indices, shapes: Indices) -> Small:
    """Return how certain it is for each call that its thread tells its cause."""
    exclusive, count = _exclusive(columns)
    clients, certainty = columns.clients, np.zeros(len(shapes), np.uint8)
    shape = Interner(2).intern(columns.program[clients].astype(np.uint64), shapes[clients].astype(np.uint64))
    is_found = indices[clients] != NO_CAUSE
    asked = is_found | _was_asked(columns, clients)
    inside = is_found & (columns.ends[clients] <= columns.ends[indices[clients]])
    agree = np.minimum(_share(is_found, asked, shape)[shape], exclusive[columns.program[clients]])
    are_inside = _share(inside, is_found, shape)[shape]
    probable = (agree >= PROBABLE_SHARE) & (are_inside >= PROBABLE_SHARE)
    sure = (agree >= SURE_SHARE) & (are_inside >= INSIDE_SHARE) & (count[columns.program[clients]] >= FEWEST)
    certainty[clients] = np.where(sure, Certainty.SURE, np.where(probable, Certainty.PROBABLE, Certainty.NOT_KNOWN))
    return certainty


def _exclusive(columns: _Calls) -> tuple[Shares, Indices]:
    """Return for each program the share of its answered server calls that one thread received and answered while it had
    no other, and how many it answered."""
    servers, programs = columns.servers[columns.answered[columns.servers]], int(columns.program.max(initial=-1)) + 1
    received = columns.receive_tid[servers] != 0
    together, _ = _open(columns, columns.thread, columns.servers).during(
        columns.thread[servers], columns.t0[servers], columns.ends[servers]
    )
    alone = received & ~columns.other_thread[servers] & (together <= 1)
    of = columns.program[servers]
    return _share(alone, np.ones(len(servers), np.bool_), of, programs), np.bincount(of, minlength=programs)


def _was_asked(columns: _Calls, clients: Indices) -> Mask:
    """Return for which client calls the process had received a request before."""
    process = columns.process
    first = np.full(int(process.max(initial=-1)) + 1, np.iinfo(np.int64).max)
    np.minimum.at(first, process[columns.servers], columns.t0[columns.servers])
    return np.asarray(first[process[clients]] < columns.t0[clients])


def _share(part: Mask, whole: Mask, groups: Indices, count: int = 0) -> Shares:
    """Return for each group which share the part has of the whole; 0 if there is nothing."""
    parts, wholes = (
        np.bincount(groups[mask], minlength=max(count, int(groups.max(initial=-1)) + 1)) for mask in (part, whole)
    )
    return np.asarray(parts / np.maximum(wholes, 1))
