"""Format a duration for people: three digits and the unit that suits it. The page has the same rule in JavaScript
(httpreport/outputs/page/format.js)."""

from __future__ import annotations

_UNITS = ("ns", "us", "ms", "s")
_SECOND = 9  # the power of ten of the largest unit, in ns
_DIGITS = 1000  # smaller numbers have at most three digits


def duration_text(ns: int) -> str:
    """Return a duration in ns as text: `46.1 ms`, `1.25 s`, `3 us`. Trailing zeros after the point are left out, 1,000
    seconds and more have no decimals, and halves are rounded up."""
    if not ns:
        return "0 ms"
    power = 0
    while (rounded := _rounded(ns, power)) >= _DIGITS and power < _SECOND:
        power += 1
    unit, decimals = -(-power // 3), -power % 3
    whole, rest = divmod(rounded, 10**decimals)
    fraction = f".{rest:0{decimals}}".rstrip("0") if rest else ""
    return f"{whole:,}{fraction} {_UNITS[unit]}"


def _rounded(ns: int, power: int) -> int:
    step: int = 10**power
    return (ns + step // 2) // step
