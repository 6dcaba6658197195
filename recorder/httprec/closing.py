"""Say at the end of a recording what was recorded and what was lost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from httpcapture.durations import duration_text

from .fast_calls import threshold_summary
from .frequent_calls import FrequentCalls
from .recording_loop import Totals

_SIZES = ("bytes", "kB", "MB", "GB", "TB")


def closing_lines(
    totals: Totals,
    frequent: FrequentCalls,
    threshold_ns: int,
    *,
    size: int,
    length_ns: int,
    names: Sequence[str] = (),
) -> Iterator[str]:
    """Yield the lines: the figures, how many calls were slow, and the most frequent of those that were printed. `size`
    is how many bytes were written, and `names` are those of -p."""
    causes = ", ".join(f"{name} {count:,}" for name, count in totals.lost.items())
    lost = f"lost: {causes}" if causes else "0 lost"
    calls, processes = f"{totals.calls:,} calls", f"{totals.processes:,} processes"
    yield ", ".join([calls, lost, processes, size_text(size), duration_text(length_ns)])
    if threshold_ns:
        yield threshold_summary(totals.slow, totals.fast, threshold_ns, names)
    yield from frequent.lines()


def size_text(size: int) -> str:
    """Return a number of bytes with at most three digits before its unit: `834 kB`, `1.31 MB`."""
    value, unit = float(size), 0
    while value >= 999.5 and unit < len(_SIZES) - 1:
        value, unit = value / 1000, unit + 1
    return f"{value:.{0 if value >= 99.95 or not unit else 1 if value >= 9.995 else 2}f} {_SIZES[unit]}"
