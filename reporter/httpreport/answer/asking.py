"""Tell of the calls that asked a holder which code made them, and whether they may have waited for the network."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from statistics import median_low

from ..report.evidence import Held, HolderKind
from .answer import Code, Network, Verdict

LITTLE = 10  # round trips do not explain a time that is more than so many times as long


def code(rows: Sequence[Held]) -> Code | None:
    """Return the own frames of the code that asked for at least half of what a holder had, if there are any."""
    times = Counter[tuple[str, tuple[str, ...]]]()
    for row in rows:
        times[row.asking.process, row.asking.frames] += row.most_ns
    ((process, frames), time_ns), of_ns = max(times.items(), key=lambda item: item[::-1]), sum(times.values())
    return Code(process, frames, time_ns, of_ns) if frames and 2 * time_ns >= of_ns else None


def network(kind: HolderKind, rows: Sequence[Held]) -> Network:
    """Return what TCP tells of the calls that asked a holder. Without the counts of both ends it is not known, since
    only the sender knows what it sent again."""
    calls, both_ends, segments, retransmitted = (
        sum(getattr(row.asking, name) for row in rows) for name in ("calls", "counted", "segments", "retransmitted")
    )
    round_trips = [row.asking.round_trip_ns for row in rows if row.asking.round_trip_ns is not None]
    round_trip_ns = median_low(round_trips) if round_trips else None
    is_clean = 0 < calls == both_ends and not retransmitted and round_trip_ns is not None
    held_ns = sum(row.least_ns for row in rows)
    is_no = is_clean and (kind is HolderKind.ITSELF or LITTLE * calls * (round_trip_ns or 0) < held_ns)
    return Network(Verdict.NO if is_no else Verdict.NOT_KNOWN, calls, both_ends, segments, retransmitted, round_trip_ns)
