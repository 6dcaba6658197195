"""Find the causes of calls by what lies on the stacks: the object that stands for a request, such as a task, a greenlet
or a connection, has its address in the stack copy of each call that is made for it, and in that of its answer.

Where it lies is not known of a program but learned from its calls (`stack_slots.py`): pairs of places, one in the stack
copies of client calls, one in those of answers. A pair tells the cause if the words there are equal for exactly one of
the open requests. For each call, the best pair that tells one decides, unless others outweigh it.

It is sure only if, of the calls of the program with the same stack trace, enough are told a cause (COVERED), nearly all
pairs agree, and nearly all calls end before their cause does; if no cause has most of the calls, since a word that is
always there tells nothing; and if the words are no leftovers. Those give themselves away by which requests they name
(`last_requests.py`), and in a program with tasks by being on the stack of another task than the one that answers.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

import numpy as np

from ..common.interning import Interner, Words
from .cause_columns import NO_CAUSE, Columns
from .certainty import FEWEST, Shares, Small, certainty, few_of_one, share
from .last_requests import tell_of_requests
from .open_intervals import Indices
from .stack_slots import SlotPairs, candidate_pairs, chosen_pairs

COVERED = 0.99  # of the calls with one stack trace: where a word is missing, another one may be equal by chance
MOST_SAMPLES, MOST_CANDIDATES = 80, 40  # client calls from which is learned, and requests of each that may be its cause
MOST_CALLS = 20_000  # of one program, the longest, of which the stacks are looked at
MOST_PROGRAMS = 8  # those with the most calls: the stacks are read again for each


class StackWords(Protocol):
    """Give words of the stack copies of calls: registers first, then the stack upwards from its pointer. What is no
    address, or was not copied, is 0."""

    def whole(self, calls: Indices) -> Words:
        """Return the words of some calls: shape (calls, SLOTS)."""

    def some(self, calls: Indices, slots: Indices) -> Words:
        """Return the words of calls at these slots: shape (calls, slots)."""

    def tasks(self, calls: Indices) -> Indices:
        """Return for each call a number of the task by which its thread sent: equal ones may be the same task, others
        are not. It is negative if that is not known."""


class _Told(NamedTuple):
    """Hold for each of some client calls the cause that its stack tells, or NO_CAUSE, and which share of the pairs
    that tell one agree, weighted by how good they are."""

    causes: Indices
    agree: Shares


def by_stack(columns: Columns, undecided: Indices, words: StackWords) -> tuple[Indices, Small]:
    """Return for each call the cause that its stack tells, and how certain that is. `undecided` are client calls that
    have candidates."""
    indices, known = np.full(len(columns), NO_CAUSE), np.zeros(len(columns), np.uint8)
    programs, counts = np.unique(columns.program[undecided], return_counts=True)
    for program in programs[np.argsort(-counts, kind="stable")][:MOST_PROGRAMS].tolist():
        clients, servers = (
            _longest(columns, calls[columns.program[calls] == program]) for calls in (undecided, columns.servers)
        )
        told = _told(columns, clients, servers, words)
        indices[clients], known[clients] = told.causes, _certainty(columns, clients, told, words)
    return indices, known


def _longest(columns: Columns, calls: Indices) -> Indices:
    order = np.argsort(columns.t0[calls] - columns.ends[calls], kind="stable")
    return calls[order[:MOST_CALLS]]


def _told(columns: Columns, clients: Indices, servers: Indices, words: StackWords) -> _Told:
    """Return what the stacks of client calls of one program tell, given its server calls."""
    made, process = columns.t0[clients], columns.process[servers]
    candidates, _ = columns.opened(process, servers).during(columns.process[clients], made, made)
    pairs = candidate_pairs(_samples(columns, clients[candidates >= 2], servers, words))
    tried = _Tried(columns, clients, servers, pairs, words)
    if not len(pairs.ours):
        return _Told(np.full(len(clients), NO_CAUSE), np.zeros(len(clients)))
    equal, answers = (np.stack(column) for column in zip(*map(tried.answers, range(len(pairs.ours)))))
    chosen, quality = chosen_pairs(answers, equal, candidates >= 2, len(servers))
    return _outweighing(answers[chosen], quality)


def _outweighing(answers: Indices, quality: Shares) -> _Told:
    """Return for each call the answer of the best pair, if those that agree outweigh the others."""
    said = np.full(answers.shape[1], NO_CAUSE)
    for answer in answers:
        said = np.where(said == NO_CAUSE, answer, said)
    weights = quality[:, np.newaxis] * (answers != NO_CAUSE)
    agree, whole = (weights * (answers == said)).sum(axis=0), weights.sum(axis=0)
    shares = agree / np.maximum(whole, np.finfo(np.float64).tiny)
    return _Told(np.where(shares > 0.5, said, NO_CAUSE), shares)


def _samples(columns: Columns, clients: Indices, servers: Indices, words: StackWords) -> Iterator[tuple[Words, Words]]:
    """Yield the words of some client calls, and those of the answers of some of the candidates of each."""
    draw = np.random.default_rng(1)  # the same capture gives the same report
    sampled = draw.permutation(clients)[:MOST_SAMPLES]
    pools = []
    for client in sampled.tolist():
        is_open = columns.process[servers] == columns.process[client]
        is_open &= (columns.t0[servers] < columns.t0[client]) & (columns.ends[servers] >= columns.t0[client])
        pools.append(draw.permutation(servers[is_open])[:MOST_CANDIDATES])
    needed = np.unique(np.concatenate([sampled, *pools]))
    copies = words.whole(needed)
    for client, pool in zip(sampled, pools):
        yield copies[np.searchsorted(needed, client)], copies[np.searchsorted(needed, pool)]


class _Tried:
    """Try pairs of slots on calls."""

    def __init__(
        self, columns: Columns, clients: Indices, servers: Indices, pairs: SlotPairs, words: StackWords
    ) -> None:
        self._columns, self._clients, self._servers = columns, clients, servers
        ours, self._mine = np.unique(pairs.ours, return_inverse=True)
        theirs, self._others = np.unique(pairs.theirs, return_inverse=True)
        slots = np.union1d(ours, theirs)
        found = words.some(np.concatenate([clients, servers]), slots)
        self._ours = found[: len(clients), np.searchsorted(slots, ours)]
        self._theirs = found[len(clients) :, np.searchsorted(slots, theirs)]

    def answers(self, pair: int) -> tuple[Indices, Indices]:
        """Return for how many candidates of each client call the words of a pair are equal, and for which if there is
        one, else NO_CAUSE."""
        columns, words = self._columns, (self._ours[:, self._mine[pair]], self._theirs[:, self._others[pair]])
        (clients, ours), (servers, theirs) = (
            (calls[of_calls != 0], of_calls[of_calls != 0])
            for calls, of_calls in zip((self._clients, self._servers), words)
        )
        groups = Interner(2).intern(
            columns.process[np.concatenate([clients, servers])].astype(np.uint64), np.concatenate([ours, theirs])
        )
        made = columns.t0[clients]
        counts, only = columns.opened(groups[len(clients) :], servers).during(groups[: len(clients)], made, made)
        equal, found = np.zeros(len(self._clients), np.intp), np.full(len(self._clients), NO_CAUSE)
        equal[words[0] != 0] = counts
        found[words[0] != 0] = np.where(only == NO_CAUSE, NO_CAUSE, np.append(servers, NO_CAUSE)[only])
        return equal, found


def _certainty(columns: Columns, clients: Indices, told: _Told, words: StackWords) -> Small:
    """Return how certain the causes are that were told of the client calls of one program."""
    shape, is_told = columns.shape[clients], told.causes != NO_CAUSE
    covered = share(is_told, np.ones(len(clients), np.bool_), shape)[shape]
    agree = np.bincount(shape, told.agree * is_told)[shape] / np.maximum(np.bincount(shape, is_told)[shape], 1)
    _, inside = columns.inside(clients, told.causes)
    enough = np.bincount(shape, is_told)[shape] >= FEWEST
    agree = np.where(covered >= COVERED, agree, np.minimum(agree, covered))
    task, of_cause = words.tasks(clients), words.tasks(np.maximum(told.causes, 0))
    of_requests = tell_of_requests(columns, clients, told.causes) & (task == of_cause) & (task >= 0)
    return certainty(agree, inside, enough, few_of_one(shape, told.causes), of_requests)
