"""Make the tables of a report: of processes and peers, of containers, and of routes. A narrow terminal shows fewer
columns than a wide one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Optional

from rich.table import Table
from rich.text import Text

from httpcapture.durations import duration_text

from ..calls.totals import Latencies, Totals

TOP = 10  # rows of a table
WIDE = 140  # columns of a terminal from which on all columns are shown
QUANTILES = (0.5, 0.9, 0.99)
_OF_NARROW = (0.5, 0.99)


class Row(NamedTuple):
    """Hold one row: a name, the latencies of its calls, and how many of them failed if the table has that."""

    name: str
    latencies: Latencies
    errors: Optional[int] = None


def latency_table(title: str, rows: Sequence[Row], width: int) -> Table:
    """Return the table of these rows, in their order; those after the first TOP are one. `width` is that of the
    terminal."""
    quantiles = QUANTILES if width >= WIDE else _OF_NARROW
    has_errors = any(row.errors if width < WIDE else row.errors is not None for row in rows)
    heads = ["calls", *(["errors"] if has_errors else []), *(f"p{share * 100:.0f}" for share in quantiles)]
    table = new_table(*heads, *(["max", "time"] if width >= WIDE else []), "share", last=title)
    time_ns = sum(row.latencies.totals.time_ns for row in rows)
    for row in rows[:TOP]:
        totals = row.latencies.totals
        errors = [f"{row.errors or 0:,}"] if has_errors else []
        times = (duration_text(row.latencies.quantile_ns(share)) for share in quantiles)
        table.add_row(f"{totals.calls:,}", *errors, *times, *_last_cells(totals, time_ns, width), Text(row.name))
    rest = [row.latencies.totals for row in rows[TOP:]]
    if rest:
        totals = sum(rest, Totals())
        skipped = ("",) * (len(heads) - 1)
        others = Text(f"{len(rest):,} others")
        table.add_row(f"{totals.calls:,}", *skipped, *_last_cells(totals, time_ns, width), others)
    return table


def _last_cells(totals: Totals, time_ns: int, width: int) -> Sequence[str]:
    times = [duration_text(totals.slowest_ns), duration_text(totals.time_ns)] if width >= WIDE else []
    return *times, share_text(totals, time_ns)


def share_text(totals: Totals, time_ns: int) -> str:
    """Return the part of all time that these calls took, in percent."""
    return f"{totals.time_ns / max(time_ns, 1):.1%}"


def new_table(*numbers: str, last: str) -> Table:
    """Return an empty table: right-aligned columns with these heads, then a column of text."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for number in numbers:
        table.add_column(number, justify="right", no_wrap=True)
    table.add_column(last, overflow="fold")
    return table
