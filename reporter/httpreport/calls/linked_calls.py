"""Give the columns of all calls that are linked to each other: the listed ones, and behind them those that are not
listed because they are too short."""

from __future__ import annotations

import numpy as np

from .schema import CALL, Array
from .unlisted_calls import Column, Indices, UnlistedCalls


class LinkedCalls:
    """Hold calls whose index tells which they are: it is that in the list, or higher."""

    def __init__(self, listed: Array, unlisted: UnlistedCalls) -> None:
        self._listed, self._unlisted = listed, unlisted

    def __getitem__(self, name: str) -> Column:
        listed = self._listed[name]
        return np.concatenate([listed, self._unlisted[name]]) if len(self._unlisted) else listed

    def at(self, name: str, indices: Indices) -> Column:
        """Return one column of the calls at these indices. It takes no longer for many calls that are not asked for."""
        listed = self._listed[name]
        values, is_listed = np.empty(len(indices), listed.dtype), indices < len(listed)
        values[is_listed] = listed[indices[is_listed]]
        values[~is_listed] = self._unlisted.rows(indices[~is_listed] - len(listed))[name]
        return values

    def rows(self, indices: Indices) -> Array:
        """Return the calls at these indices as rows of CALL."""
        rows, is_listed = np.empty(len(indices), CALL), indices < len(self._listed)
        rows[is_listed] = self._listed[indices[is_listed]]
        rows[~is_listed] = self._unlisted.rows(indices[~is_listed] - len(self._listed))
        return rows
