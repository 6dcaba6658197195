"""Bound what an untrusted capture can make httpreport hold in memory. Once a budget is spent, the rest
is left out."""

from __future__ import annotations

from collections import Counter


class Budget:
    """Allow `size` bytes, or units of another kind, to be held. The last thing held may exceed what is left."""

    def __init__(self, size: int, what: str, left_out: Counter[str]) -> None:
        self._left, self._what, self._left_out = size, what, left_out

    def is_spent(self) -> bool:
        """Return whether the next thing has to be left out, and count it in `left_out` if so."""
        if self._left > 0:
            return False
        self._left_out[self._what] += 1
        return True

    def spend(self, cost: int) -> None:
        """Count something of this cost as held from now on."""
        self._left -= cost
