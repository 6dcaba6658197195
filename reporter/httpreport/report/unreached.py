"""Make the sentence for a report in which calls pass the filters but none reaches the threshold.

This is a result. If no call passes the filters, the filters may be wrong: see cli/commands.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from httpcapture.durations import duration_text

from ..calls.filters import TO_FIRST_BYTE, exact_ms
from .recordings import Facts

_DIGITS = 3


def unreached(captures: Sequence[Facts]) -> list[str]:
    """Return the sentence about all captures, or nothing if a call is kept or none passes the filters."""
    slowest = [facts.unreached_ns for facts in captures if facts.unreached_ns is not None]
    if not slowest or any(facts.kept for facts in captures):
        return []
    first_byte, asked = captures[0].first_byte, {facts.asked_ns for facts in captures}
    return [sentence(captures[0].subject, asked, max(slowest), first_byte=first_byte)]


def sentence(subject: str, thresholds_ns: Iterable[int], slowest_ns: int, *, first_byte: bool = False) -> str:
    """Return `No call of nova-api took 300 ms; the slowest took 146 ms`. `subject` is Selection.subject."""
    thresholds = " or ".join(map(exact_ms, sorted(thresholds_ns)))
    to = f" {TO_FIRST_BYTE}" if first_byte else ""
    return f"No {subject} took {thresholds} ms{to}; the slowest took {_rounded_down(slowest_ns)}"


def _rounded_down(nanoseconds: int) -> str:
    """Return the duration with three digits, never rounded up to a threshold that it does not reach."""
    step = 10 ** max(len(str(nanoseconds)) - _DIGITS, 0)
    return duration_text(nanoseconds // step * step)
