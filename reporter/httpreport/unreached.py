"""What is said where calls pass the filters and none of them reaches the threshold: that, and how slow the slowest was.

That is a result. Where no call passes the filters, they may be wrong: see actions.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .runs import Facts
from .selection import exact_ms

_DIGITS = 3
_UNITS = ((6, "ms"), (3, "us"), (0, "ns"))  # by the power of ten of nanoseconds


def unreached(captures: Sequence[Facts]) -> list[str]:
    """The sentence about all captures together; none where a call is kept, or none passes the filters."""
    slowest = [facts.unreached_ns for facts in captures if facts.unreached_ns is not None]
    if not slowest or any(facts.kept for facts in captures):
        return []
    return [sentence(captures[0].subject, {facts.asked_ns for facts in captures}, max(slowest))]


def sentence(subject: str, thresholds_ns: Iterable[int], slowest_ns: int) -> str:
    """`No call of nova-api took 300 ms; the slowest took 146 ms`. The subject is that of a Selection."""
    thresholds = " or ".join(map(exact_ms, sorted(thresholds_ns)))
    return f"No {subject} took {thresholds} ms; the slowest took {_rounded_down(slowest_ns)}"


def _rounded_down(nanoseconds: int) -> str:
    """To three digits, and never up to a threshold that the duration does not reach."""
    power, unit = next((each for each in _UNITS if nanoseconds >= 10 ** each[0]), _UNITS[0])
    whole, rest = divmod(nanoseconds, 10**power)
    decimals = max(_DIGITS - len(str(whole)), 0)
    fraction = f"{rest:0{power}}"[:decimals].rstrip("0") if power else ""
    return f"{whole:,}{'.' if fraction else ''}{fraction} {unit}"
