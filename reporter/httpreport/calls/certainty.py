"""Say how certain the cause of a call is, by the shares of calls of which what it rests on holds."""

from __future__ import annotations

import enum

import numpy as np
import numpy.typing as npt

Shares = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Small = npt.NDArray[np.uint8]

SURE_SHARE, PROBABLE_SHARE = 0.99, 0.7
INSIDE_SHARE = 0.98  # of the calls whose cause is sure: what nobody waits for may end later than its cause
PROBABLE_INSIDE_SHARE = 0.9
FEWEST = 3  # calls that must have agreed before a cause is sure
MOST_OF_ONE = 0.5  # of the calls with one stack trace, that have the same cause


class Certainty(enum.IntEnum):
    """Say how certain the cause of a call is. The numbers are those of a capture's CALL_CAUSES."""

    NOT_KNOWN = 0
    PROBABLE = 1
    SURE = 2


def certainty(agree: Shares, inside: Shares, *sure_if: Mask) -> Small:
    """Return a Certainty for each call: given the share of its like that agree with a rule, and of those that end
    before their causes do, and what must be true before a cause is sure."""
    probable = (agree >= PROBABLE_SHARE) & (inside >= PROBABLE_INSIDE_SHARE)
    sure = (agree >= SURE_SHARE) & (inside >= INSIDE_SHARE) & np.logical_and.reduce(sure_if)
    known = np.where(sure, Certainty.SURE, np.where(probable, Certainty.PROBABLE, Certainty.NOT_KNOWN))
    return known.astype(np.uint8)


def share(part: Mask, whole: Mask, groups: npt.NDArray[np.intp]) -> Shares:
    """Return for each group which share the part has of the whole; 0 if there is nothing."""
    parts, wholes = (np.bincount(groups[mask], minlength=int(groups.max(initial=-1)) + 1) for mask in (part, whole))
    return np.asarray(parts / np.maximum(wholes, 1))


def few_of_one(shapes: npt.NDArray[np.intp], causes: npt.NDArray[np.intp]) -> Mask:
    """Return for each call whether, of the calls with its shape that have a cause, no cause has more than MOST_OF_ONE.
    Causes are indices, or negative where there is none."""
    count, is_found = int(shapes.max(initial=-1)) + 1, causes >= 0
    pairs, calls = np.unique(np.stack([shapes[is_found], causes[is_found]]), axis=1, return_counts=True)
    most = np.zeros(count, np.intp)
    np.maximum.at(most, pairs[0], calls)
    return np.asarray((most <= MOST_OF_ONE * np.bincount(shapes[is_found], minlength=count))[shapes])
