"""Count printed calls by what they asked for, and say which were most frequent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from httpcapture.durations import duration_text

from . import tuning
from .asked import Asked
from .call_lines import request, who
from .call_text import PrintedCall

_LISTED = 3


class Kind(NamedTuple):
    """Say what calls have in common: what they ask for, and the process and the port that are asked or ask."""

    asked: str
    where: str


class FrequentCalls:
    """Hold the number of calls of each kind and how long the longest took. If there are more than
    `tuning.MAX_COUNTED_KINDS`, it is not known which are most frequent."""

    def __init__(self) -> None:
        self._kinds: dict[Kind, tuple[int, int]] = {}
        self._has_all = True

    def add(self, call: PrintedCall, asked: Asked) -> None:
        """Count a call."""
        kind = Kind(asked.shape or request(call, asked), who(call).partition(" < ")[0])
        calls, longest_ns = self._kinds.get(kind, (0, 0))
        if calls or len(self._kinds) < tuning.MAX_COUNTED_KINDS:
            self._kinds[kind] = calls + 1, max(longest_ns, call.end_ns - call.begin_ns)
        else:
            self._has_all = False

    def lines(self) -> Sequence[str]:
        """Return a line for each of the most frequent kinds, the most frequent first; none if that is not known."""
        if not self._has_all:
            return []
        ranked = sorted((-calls, -longest_ns, kind) for kind, (calls, longest_ns) in self._kinds.items())[:_LISTED]
        rows = [(f"{-calls:,}", duration_text(-longest_ns), *kind) for calls, longest_ns, kind in ranked]
        count, longest, asked, _ = (max(map(len, column)) for column in zip(*rows)) if rows else (0,) * 4
        return [f"  {row[0]:>{count}}  up to {row[1]:>{longest}}  {row[2]:<{asked}}  {row[3]}" for row in rows]
