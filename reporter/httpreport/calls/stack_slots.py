"""Learn from stack copies in which places the object that stands for a request has its address.

A slot is a place in a stack copy: a register, or a word at some distance from the stack pointer. A pair of slots, one
in the stack copies of client calls and one in those of answers, is good if for a client call exactly one of the open
server calls has the same word there. That needs no truth, and no knowledge of the program.

Three kinds of words mislead. What an earlier request left on the stack names a wrong request, but not always one that
is open: such pairs answer less often. A word that is always there may be on the stack of one answer by chance: such
pairs tell few requests apart. Words of other objects disagree with the words of most others.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from ..common.interning import Words
from .certainty import Mask, Shares
from .open_intervals import NONE, Indices

REGISTERS, WORDS = 40, 2048  # as many registers as any processor has here, and 16 KiB of the stack
SLOTS = REGISTERS + WORDS
FIRST_ADDRESS, LAST_ADDRESS = 0x10_0000, (1 << 48) - 1  # of user space, at most 48 bits unless a program asks for more

MOST_PAIRS = 200  # that are tried on all calls
MOST_CHOSEN = 48
_MOST_PLACES = 4  # of one word in a stack copy; a word that is everywhere tells nothing
_FEWEST = 3  # samples, or calls, that a pair must answer
_ANSWERED = 0.9  # of the samples, or calls, in which the words of a pair are equal for some request, for one only
_AGREE = 0.97  # of the calls that two pairs answer
_NEW = 0.02  # of all calls that a pair must answer alone if it never answers together with others


class SlotPairs(NamedTuple):
    """Hold pairs of slots: one in the stack copies of client calls, one in those of answers."""

    ours: Indices
    theirs: Indices


def addresses(words: Words) -> Words:
    """Return the words, with 0 for those that are no addresses of user space."""
    return np.where((words >= FIRST_ADDRESS) & (words <= LAST_ADDRESS), words, np.uint64(0))


def candidate_pairs(samples: Iterable[tuple[Words, Words]]) -> SlotPairs:
    """Return the most promising pairs. A sample has the words of a client call, shape (SLOTS,), and those of the
    answers of several candidates, shape (candidates, SLOTS)."""
    parts = [_equal(ours, theirs) for ours, theirs in samples]
    pairs, is_one = (np.concatenate(column) for column in zip((_NO_PAIRS, np.zeros(0, np.bool_)), *parts))
    distinct, number = np.unique(pairs, return_inverse=True)
    votes, ones = np.bincount(number, minlength=len(distinct)), np.bincount(number[is_one], minlength=len(distinct))
    good = np.flatnonzero((ones >= _FEWEST) & (ones >= _ANSWERED * votes))
    best = good[np.argsort(-(ones[good] ** 2 / votes[good]), kind="stable")][:MOST_PAIRS]
    return SlotPairs(*np.divmod(distinct[best], SLOTS))


_NO_PAIRS = np.zeros(0, np.intp)


def _equal(ours: Words, theirs: Words) -> tuple[Indices, Mask]:
    """Return the pairs whose words are equal for some candidate, each once, and whether for one only.

    Words that most candidates have somewhere, such as addresses of code, are left out.
    """
    known, place_of, places = np.unique(ours, return_inverse=True, return_counts=True)
    candidate, slot = np.nonzero(theirs)
    word = np.minimum(np.searchsorted(known, theirs[candidate, slot]), len(known) - 1)
    is_known = (known[word] == theirs[candidate, slot]) & (places[word] <= _MOST_PLACES)
    candidate, slot, word = candidate[is_known], slot[is_known], word[is_known]
    holders = np.bincount(np.unique(word * len(theirs) + candidate) // len(theirs), minlength=len(known))
    is_rare = holders[word] <= max(1, len(theirs) // 2)
    candidate, slot, word = candidate[is_rare], slot[is_rare], word[is_rare]
    order = np.argsort(place_of, kind="stable")  # our slots, by their word
    first = np.cumsum(places) - places
    mine = order[np.repeat(first[word], places[word]) + _counted(places[word])]
    pairs = mine * SLOTS + np.repeat(slot, places[word])
    distinct, count = np.unique(pairs, return_counts=True)  # a pair has at most one word for each candidate
    return distinct, count == 1


def _counted(counts: Indices) -> Indices:
    """Return 0, 1, ... up to each of the counts, one after the other."""
    return np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)


def chosen_pairs(answers: Indices, equal: Indices, is_hard: Mask, most_causes: int) -> tuple[Indices, Shares]:
    """Return the indices of the pairs to use, the best first, and how good each is, from 0 to 1.

    `answers`, of shape (pairs, calls), has what each pair says of each client call or NONE, and `equal` for how many
    candidates its words are equal. What a pair can do shows in the calls that are hard: those with several candidates.
    There are at most so many causes.
    """
    hard = np.flatnonzero(is_hard)
    answers, equal = answers[:, hard], equal[:, hard]
    ones, somes = (answers != NONE).sum(axis=1), (equal > 0).sum(axis=1)
    quality = ones**2 / np.maximum(somes, 1) / max(len(hard), 1)
    spread = np.array([len(np.unique(row[row != NONE])) for row in answers]) / max(min(most_causes, len(hard)), 1)
    chosen, said = list[int](), np.full(len(hard), NONE)
    for pair in np.argsort(-quality * spread, kind="stable").tolist():
        if ones[pair] >= _FEWEST and ones[pair] >= _ANSWERED * somes[pair] and _fits(answers[pair], said, chosen):
            chosen.append(pair)
            said = np.where(said == NONE, answers[pair], said)
    return np.array(chosen, np.intp), quality[chosen]


def _fits(answers: Indices, said: Indices, chosen: list[int]) -> bool:
    """Return whether a pair agrees with what better ones said, or adds to it."""
    both = (answers != NONE) & (said != NONE)
    new = int(((answers != NONE) & (said == NONE)).sum())
    if both.any():
        agrees = float((answers == said)[both].mean()) >= _AGREE
        return agrees and (len(chosen) < MOST_CHOSEN or new >= _FEWEST) and len(chosen) < 2 * MOST_CHOSEN
    return not chosen or new >= _NEW * len(said)
