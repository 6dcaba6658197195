"""Find the cause of client calls: the server call of the same process on whose behalf each was made.

The candidates are the server calls of the process that were open when the call was made. Of these, rules choose one or
say nothing. The first rule that is sure decides; if none is, the first one that is probably right:

1. **ID**: exactly one candidate has an ID of a request or a trace in its heads that the client call has, too.
2. **Thread**: the thread that makes the call has received exactly one of the candidates, and sends its answer.
3. **Stack**: a word in the stack copy of the call is in the stack copies of the answer of exactly one candidate.
4. **Exclusion**: there is only one candidate. That is probable at most.

Each rule but the first is checked on all calls of a capture, because programs differ in it. What is not known to be the
cause is none. The calls that a capture lacks are shorter than its threshold, so they cannot have waited for a call that
it has. All steps are sorts and look-ups of whole columns.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

import numpy as np

from .cause_columns import NO_CAUSE, Columns
from .causes_by_exclusion import by_exclusion
from .causes_by_id import NO_IDS, Ids, by_id
from .causes_by_stack import StackWords, by_stack
from .causes_by_thread import by_thread
from .certainty import Certainty, Small
from .open_intervals import Indices
from .schema import ColumnsByName


class Rule(enum.IntEnum):
    """Say by what a cause was found. The numbers are those of a capture's CALL_CAUSES."""

    NONE = 0
    ID = 1
    THREAD = 2
    STACK = 3
    EXCLUSION = 4

    @property
    def text(self) -> str:
        """Return what tells the cause, as text."""
        return ("", "an ID in the heads", "its thread", "its stack", "exclusion")[self]


@dataclass(frozen=True)
class Causes:
    """Hold for each call the index of its cause or NO_CAUSE, a Certainty, a Rule, and how many server calls of its
    process were open when it was made. Of calls that are not client calls, all of these are 0 or NO_CAUSE."""

    indices: Indices
    certainty: Small
    rules: Small
    candidates: Indices

    def of(self, some: slice) -> Causes:
        """Return the causes of some of the calls."""
        return Causes(self.indices[some], self.certainty[some], self.rules[some], self.candidates[some])

    def followed_by(self, other: Causes) -> Causes:
        """Return the causes of calls that follow each other. Indices are those of all calls."""
        names = ("indices", "certainty", "rules", "candidates")
        return Causes(*(np.concatenate([getattr(self, name), getattr(other, name)]) for name in names))


def no_causes(count: int) -> Causes:
    """Return that no cause is known of so many calls, as if no server call had been open."""
    certainty, rules = np.zeros((2, count), np.uint8)
    return Causes(np.full(count, NO_CAUSE), certainty, rules, np.zeros(count, np.intp))


def causes(calls: ColumnsByName, shapes: Indices, ids: Ids = NO_IDS, words: StackWords | None = None) -> Causes:
    """Return the causes of calls, which have the columns of CALL. `shapes` numbers the stack trace of each call."""
    columns = Columns(calls, shapes)
    found, only = candidates_of(columns)
    _take(found, Rule.ID, by_id(columns, ids), np.full(len(columns), Certainty.SURE, np.uint8))
    _take(found, Rule.THREAD, *by_thread(columns))
    if words is not None:
        undecided = (found.candidates > 0) & (found.certainty != Certainty.SURE)
        _take(found, Rule.STACK, *by_stack(columns, np.flatnonzero(undecided), words))
    _take(found, Rule.EXCLUSION, *by_exclusion(columns, found.candidates[columns.clients], only))
    return found


def short_causes(calls: ColumnsByName, shapes: Indices, first: int) -> Causes:
    """Return the causes of calls from an index on, which are below the threshold: they have no stacks and no heads, so
    only their thread can tell. `calls` are all calls, and `shapes` as in `causes`."""
    columns = Columns(calls, shapes)
    found, _ = candidates_of(columns)
    _take(found, Rule.THREAD, *by_thread(columns))
    return found.of(slice(first, None))


def candidates_of(columns: Columns) -> tuple[Causes, Indices]:
    """Return no causes yet, but how many server calls were open when each client call was made; and for each of the
    client calls the only one, if there was one."""
    found, clients = no_causes(len(columns)), columns.clients
    made, candidates = columns.t0[clients], columns.opened(columns.process[columns.servers], columns.servers)
    found.candidates[clients], only = candidates.during(columns.process[clients], made, made)
    return found, only


def _take(found: Causes, rule: Rule, indices: Indices, certainty: Small) -> None:
    """Take over the causes that are more certain than those of the rules before."""
    better = (indices != NO_CAUSE) & (certainty > found.certainty)
    found.indices[better], found.certainty[better], found.rules[better] = indices[better], certainty[better], rule
