"""Make the tables of processes and peers, of routes and of self times as texts, the same for the terminal and the
page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from httpcapture.durations import duration_text

from ..calls.totals import Latencies
from ..compare.changes import Comparison, Lengths, PeerChange, RouteChange
from ..compare.self_changes import SelfChange
from ..report.tree_totals import SelfTotals
from .comparison_words import GONE, NEW, per_second, relative, time_range, waited, waited_more
from .latency_table import QUANTILES

BEFORE, AFTER, CHANGE = "before", "after", "change"
SELF_HEADS = (BEFORE, AFTER, "calls", "time")  # of self times: of a request on average, their number, and the sum


class ComparisonRow(NamedTuple):
    """Hold one row of the table. The rows of a peer or route have the labels BEFORE, AFTER and CHANGE, or NEW or GONE
    alone.

    `cells` has one text for each of the heads.
    """

    label: str
    cells: Sequence[str]


def heads(comparison: Comparison) -> Sequence[str]:
    """Return the heads of the columns. There are rates only if both recordings have a known length."""
    rates = ("calls/s",) if comparison.lengths else ()
    return "calls", *rates, "p50", "p90", "p99", "max", "time"


def rows(comparison: Comparison, change: PeerChange | RouteChange) -> Iterator[ComparisonRow]:
    """Yield the rows of one process and peer, or of one route."""
    lengths = comparison.lengths or Lengths(0, 0)
    before, after = change.totals
    if before.calls:
        time = waited(comparison, comparison.scaled(before.time_ns))
        yield ComparisonRow(BEFORE if after.calls else GONE, _numbers(change.before, lengths.before_ns, time))
    if after.calls:
        time = waited(comparison, after.time_ns)
        yield ComparisonRow(AFTER if before.calls else NEW, _numbers(change.after, lengths.after_ns, time))
    if before.calls and after.calls:
        yield ComparisonRow(CHANGE, _changes(comparison, change))


def short_heads(comparison: Comparison) -> Sequence[str]:
    """Return the heads of the columns of a narrow table, with a row of `short_cells` for each process and peer or
    route."""
    return "p50", "before", "change", "calls/s" if comparison.lengths else "calls", "change", "time"


def short_cells(comparison: Comparison, change: PeerChange | RouteChange) -> Sequence[str]:
    """Return the cells of one process and peer, or of one route: what it is now, and the changes."""
    before, after = change.totals
    lengths = comparison.lengths or Lengths(10**9, 10**9)
    medians = [side.quantile_ns(0.5) for side in (change.before, change.after)]
    texts = [duration_text(median) if totals.calls else "-" for median, totals in zip(medians, change.totals)]
    calls = [per_second(before.calls, lengths.before_ns), per_second(after.calls, lengths.after_ns)]
    rate = f"{calls[1]:,.2f}" if comparison.lengths else f"{after.calls:,}"
    time = waited_more(comparison, comparison.added_ns(change))
    return texts[1], texts[0], relative(*medians), rate, relative(*calls), time


def self_cells(comparison: Comparison, change: SelfChange) -> Sequence[str]:
    """Return the cells of one process and what it answered, one for each of SELF_HEADS."""
    calls = relative(comparison.scaled(change.before.calls), change.after.calls)
    time = time_range(*(waited_more(comparison, added_ns) for added_ns in change.added_ns))
    return *map(_of_each, (change.before, change.after)), calls, time


def _of_each(times: SelfTotals) -> str:
    """Return the self time of a request on average, as text."""
    if not times.calls:
        return "-"
    return time_range(*(duration_text(time_ns // times.calls) for time_ns in (times.least_ns, times.most_ns)))


def _numbers(latencies: Latencies, length_ns: int, time: str) -> Sequence[str]:
    totals = latencies.totals
    rates = (f"{per_second(totals.calls, length_ns):,.2f}",) if length_ns else ()
    durations = (*(latencies.quantile_ns(share) for share in QUANTILES), totals.slowest_ns)
    return f"{totals.calls:,}", *rates, *map(duration_text, durations), time


def _changes(comparison: Comparison, change: PeerChange | RouteChange) -> Sequence[str]:
    before, after = change.totals
    lengths = comparison.lengths or Lengths(1, 1)
    calls = relative(per_second(before.calls, lengths.before_ns), per_second(after.calls, lengths.after_ns))
    quantiles = ((side.quantile_ns(share) for side in (change.before, change.after)) for share in QUANTILES)
    return (
        *(("", calls) if comparison.lengths else (calls,)),
        *(relative(*each) for each in quantiles),
        relative(before.slowest_ns, after.slowest_ns),
        relative(comparison.scaled(before.time_ns), after.time_ns),
    )
