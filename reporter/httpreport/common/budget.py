"""A `Budget` bounds what a stranger's capture can make httpreport hold: what comes once it is spent is left out."""

from __future__ import annotations

from collections import Counter


class Budget:
    """So many bytes, or whatever is counted. The last thing that is held may take more than is left."""

    def __init__(self, size: int, what: str, left_out: Counter[str]) -> None:
        self._left, self._what, self._left_out = size, what, left_out

    def is_spent(self) -> bool:
        """Whether the next thing is to be left out, which is counted in `left_out` as `what` it is."""
        if self._left > 0:
            return False
        self._left_out[self._what] += 1
        return True

    def spend(self, cost: int) -> None:
        """Something of this cost is held from now on."""
        self._left -= cost
