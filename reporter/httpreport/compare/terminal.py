"""The comparison on the terminal: what was compared, then who waited longer or shorter, and in which stacks: those that
changed most, what got slower first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..sums import Latencies
from ..terminal import QUANTILES, TOP, leaves_of, new_table, peer_name, plain_ms, print_lines
from .changes import Comparison, Lengths, PeerChange
from .words import GONE, NEW, per_second, relative, summary, unit, waited

BEFORE, AFTER, CHANGE = "before", "after", "change"


def print_comparison(out: Console, comparison: Comparison) -> None:
    """Everything but the warnings."""
    print_lines(out, summary(comparison))
    if comparison.stacks:
        out.print()
        out.print(_peers(comparison))
        out.print()
        out.print(_stacks(comparison))


def _peers(comparison: Comparison) -> Table:
    """For each process and peer what was before and after, and by how much it changed."""
    rates = ("calls/s",) if comparison.lengths else ()
    columns = ("calls", *rates, "p50", "p90", "p99", "max", f"time {unit(comparison)}")
    table = new_table("", *columns, last="process and peer (times in ms)")
    for change in comparison.largest(comparison.peers, TOP):
        for row in _rows(comparison, change):
            table.add_row(*row)
    _add_rest(table, len(columns), len(comparison.peers), "processes and peers")
    return table


def _rows(comparison: Comparison, change: PeerChange) -> Iterable[Sequence[str | Text]]:
    name = Text(peer_name(change.peer))
    before, after = change.sums
    if before.calls:
        label = BEFORE if after.calls else GONE
        length_ns = comparison.lengths.before_ns if comparison.lengths else None
        yield label, *_numbers(change.before, length_ns, waited(comparison, comparison.scaled(before.time_ns))), name
    if after.calls:
        label = AFTER if before.calls else NEW
        length_ns = comparison.lengths.after_ns if comparison.lengths else None
        yield label, *_numbers(change.after, length_ns, waited(comparison, after.time_ns)), "" if before.calls else name
    if before.calls and after.calls:
        yield CHANGE, *_changes(comparison, change), ""


def _numbers(latencies: Latencies, length_ns: int | None, waited: float) -> Sequence[str]:
    sums = latencies.sums
    rates = (f"{per_second(sums.calls, length_ns):,.2f}",) if length_ns else ()
    quantiles = (latencies.quantile_ns(share) for share in QUANTILES)
    return f"{sums.calls:,}", *rates, *map(plain_ms, quantiles), plain_ms(sums.slowest_ns), f"{waited:,.2f}"


def _changes(comparison: Comparison, change: PeerChange) -> Sequence[str]:
    before, after = change.sums
    lengths = comparison.lengths or Lengths(1, 1)
    calls = relative(per_second(before.calls, lengths.before_ns), per_second(after.calls, lengths.after_ns))
    quantiles = ((side.quantile_ns(share) for side in (change.before, change.after)) for share in QUANTILES)
    return (
        *(("", calls) if comparison.lengths else (calls,)),
        *(relative(*each) for each in quantiles),
        relative(before.slowest_ns, after.slowest_ns),
        relative(comparison.scaled(before.time_ns), after.time_ns),
    )


def _stacks(comparison: Comparison) -> Table:
    of = f"top changes of stacks, leaf first (time waited, {unit(comparison)})"
    table = new_table(BEFORE, AFTER, CHANGE, "", last=of)
    for change in comparison.largest(comparison.stacks, TOP):
        before, after = comparison.scaled(change.before.time_ns), change.after.time_ns
        times = (f"{waited(comparison, time_ns):,.2f}" for time_ns in (before, after))
        name, *frames = change.stack.split(";")
        added = f"{waited(comparison, after - before):+,.2f}"
        table.add_row(*times, added, relative(before, after), Text(f"{name}: {leaves_of(frames)}"))
    _add_rest(table, 4, len(comparison.stacks), "stacks")
    return table


def _add_rest(table: Table, columns: int, count: int, what: str) -> None:
    """One row for those that changed less."""
    if count > TOP:
        table.add_row(*[""] * columns, Text(f"{count - TOP:,} more {what}, which changed less"))
