"""Decide when each call ended and how long it took (format/FORMAT.md, What a call means).

A call has the duration t3 - t0, to the last byte of its response. It has t2 - t0, to the first byte, if no end of its
response can be told, or if the report judges all calls by the first byte.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from httpcapture import JudgedBy, Outcome

from .call_ends import CallEnds
from .protocol import Kind

if TYPE_CHECKING:
    from .lazy_table import LazyTable

COLUMNS = ("t3", "t3_known", "has_end", "duration", "at_least")  # see schema.CALL


@dataclass(frozen=True)
class DurationRule:
    """Hold what the durations of one capture's calls depend on, apart from their rows."""

    ends: CallEnds = field(default_factory=CallEnds)
    all_ends_known: bool = True  # no completion was lost or not read
    judged_whole: bool = True  # the recorder judged calls by their whole duration
    first_byte: bool = False  # the report judges calls by their first byte

    def columns(self, calls: LazyTable, *, count: bool) -> dict[str, npt.NDArray[Any]]:
        """Return COLUMNS of calls whose times are clamped. From then on, the calls have the bytes that were sent and
        received up to their ends. With `count`, completions count the calls that have them."""
        outcome, t0, t2, t3 = (calls[name] for name in ("outcome", "t0", "t2", "t3"))
        answered, known = outcome == Outcome.ANSWERED, np.zeros(calls.rows, np.bool_)
        indices, places = self.ends.find(calls)
        if count:
            self.ends.count(places)
        ends = self.ends.values("t3", places)
        later = answered[indices] & calls.possible(indices) & (ends >= t3[indices])
        indices, places, ends = indices[later], places[later], ends[later]
        if len(indices):
            t3 = t3.copy()
            t3[indices] = ends
            known[indices] = True
            calls.replace_bytes(indices, lambda name: self.ends.values(name, places))
        ended = (outcome == Outcome.EOF) | (outcome == Outcome.RESET) | (outcome == Outcome.CLOSED)
        has_end = ~answered | self._has_end(calls)
        known = (known | ended | (answered & self.all_ends_known)) & has_end
        if self.first_byte:
            values = t3, known, has_end, t2 - t0, ~(answered | ended)
        else:
            values = t3, known, has_end, np.where(has_end, t3, t2) - t0, has_end & ~known
        return dict(zip(COLUMNS, values))

    def _has_end(self, calls: LazyTable) -> npt.NDArray[np.bool_]:
        """Return whether an end of each call's response can be told."""
        if self.judged_whole:
            return np.asarray(calls["judged_by"] != JudgedBy.FIRST_BYTE)
        return np.asarray(calls["kind"] == Kind.HTTP)
