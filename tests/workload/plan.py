"""Plan what a client requests: its slow requests are spread evenly among the fast ones, so that both meet all states.

The path says how slow the upstream is: /slow/MILLISECONDS, or /fast.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

FAST = "/fast"
_SLOW = re.compile(r"/slow/([0-9]{1,5})")


@dataclass(frozen=True)
class Plan:
    """Say how many requests of each kind one client makes."""

    slow: int
    fast: int
    slow_ms: int

    def paths(self) -> list[str]:
        """Return the paths to ask for, in order, ending with a slow one."""
        total = self.slow + self.fast
        return [
            f"/slow/{self.slow_ms}" if (place + 1) * self.slow // total > place * self.slow // total else FAST
            for place in range(total)
        ]


def delay_ms(path: str) -> int:
    """Return how long the upstream waits before it answers."""
    match = _SLOW.fullmatch(path)
    return int(match[1]) if match else 0
