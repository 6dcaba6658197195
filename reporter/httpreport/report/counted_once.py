"""Count calls once that were recorded at both ends: the client's end is the call.

Tables of processes, peers, routes and stacks show what each process did, so they have both ends.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from httpcapture.durations import duration_text

from ..common.counted import counted
from .aggregate import Aggregate
from .report import Report


class CountedOnce(NamedTuple):
    """Hold how many calls were kept and how long they took, each of them once, and of how many both ends are known."""

    calls: int
    time_ns: int
    both_ends: int


def of_report(report: Report) -> CountedOnce:
    """Return the counts of one capture."""
    recording, both_ends = report.recording, len(report.both_ends_ns)
    time_ns = sum(latencies.totals.time_ns for latencies in recording.by_peer.values())
    return CountedOnce(recording.kept - both_ends, time_ns - report.both_ends_time_ns, both_ends)


def of_aggregate(whole: Aggregate) -> CountedOnce:
    """Return the counts of all captures."""
    both_ends = sum(facts.both_ends for facts in whole.captures)
    time_ns = sum(latencies.totals.time_ns for latencies in whole.peers.values())
    return CountedOnce(
        sum(facts.kept for facts in whole.captures) - both_ends,
        time_ns - sum(facts.both_ends_ns for facts in whole.captures),
        both_ends,
    )


def lines(whole: Aggregate) -> Iterator[str]:
    """Yield a line if both ends of some call were recorded."""
    once = of_aggregate(whole)
    if once.both_ends:
        calls = counted(once.calls, "call")
        were = "was" if once.both_ends == 1 else "were"
        yield f"{calls}, of which {once.both_ends:,} {were} recorded at both ends: {duration_text(once.time_ns)} in all"
