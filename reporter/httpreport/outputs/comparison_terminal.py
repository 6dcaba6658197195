"""Print a comparison on the terminal: what was compared, then the peers and stacks that changed most, what got slower
first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..answer.compare import answers_between
from ..compare.changes import Comparison, PeerChange, RouteChange, StackChange
from ..compare.self_changes import largest_self
from .comparison_table import AFTER, BEFORE, CHANGE, SELF_HEADS, heads, rows, self_cells, short_cells, short_heads
from .comparison_words import GONE, relative, summary, waited, waited_more
from .latency_table import TOP, WIDE, new_table
from .output import Compared
from .terminal import GAP, leaves_that_fit, peer_name, print_answers, print_lines, printed


def comparison(compared: Compared) -> Iterable[bytes]:
    """Return everything but the warnings, as the terminal shows it."""
    return printed(compared.console, lambda out: print_comparison(out, compared.comparison, compared.style.own))


def print_comparison(out: Console, comparison: Comparison, own: Sequence[str] = ()) -> None:
    """Print everything but the warnings. `own` are the patterns of --own."""
    print_lines(out, summary(comparison))
    print_answers(out, answers_between(comparison.before, comparison.after))
    if comparison.stacks:
        out.print()
        out.print(_peers(comparison, out.width))
        out.print()
        if comparison.has_heads:
            out.print(_routes(comparison, out.width))
            out.print()
        if comparison.self_times:
            out.print(_self_times(comparison))
            out.print()
        out.print(_stacks(comparison, own, out.width))


def _peers(comparison: Comparison, width: int) -> Table:
    """Return the table of processes and peers."""
    changes = comparison.largest(comparison.peers, TOP)
    named = [(change, peer_name(change.peer)) for change in changes]
    if width < WIDE:
        return _short(comparison, named, len(comparison.peers), "process and peer", "processes and peers")
    columns = heads(comparison)
    table = new_table("", *columns, last="process and peer")
    for change, text in named:
        name = Text(text)
        for row in rows(comparison, change):
            table.add_row(row.label, *row.cells, name)
            name = Text()
    _add_rest(table, 1 + len(columns), len(comparison.peers), "processes and peers")
    return table


def _routes(comparison: Comparison, width: int) -> Table:
    """Return the table of routes."""
    changes = comparison.largest(comparison.routes, TOP)
    if width < WIDE:
        named = [(change, change.route.name) for change in changes]
        return _short(comparison, named, len(comparison.routes), "route", "routes")
    columns = heads(comparison)
    table = new_table("", *columns, "errors", last="route")
    for change in changes:
        errors = {BEFORE: change.errors_before, GONE: change.errors_before, CHANGE: None}
        name = Text(change.route.name)
        for row in rows(comparison, change):
            count = errors.get(row.label, change.errors_after)
            table.add_row(row.label, *row.cells, "" if count is None else f"{count:,}", name)
            name = Text()
    _add_rest(table, 2 + len(columns), len(comparison.routes), "routes")
    return table


def _short(
    comparison: Comparison,
    named: Iterable[tuple[PeerChange | RouteChange, str]],
    count: int,
    title: str,
    what: str,
) -> Table:
    """Return a table with one row for each change."""
    columns = short_heads(comparison)
    table = new_table(*columns, last=title)
    for change, name in named:
        table.add_row(*short_cells(comparison, change), Text(name))
    _add_rest(table, len(columns), count, what)
    return table


def _self_times(comparison: Comparison) -> Table:
    """Return the table of self times, those that grew or shrank most for certain."""
    table = new_table(*SELF_HEADS, last="self time of each request that a process answered")
    for change in largest_self(comparison.self_times, TOP):
        table.add_row(*self_cells(comparison, change), Text(change.answered.name))
    _add_rest(table, len(SELF_HEADS), len(comparison.self_times), "answers of processes")
    return table


def _stacks(comparison: Comparison, own: Sequence[str], width: int) -> Table:
    """Return the table of the stacks that changed most: of each, as many of the program's own frames as fit into the
    width."""
    numbers = (BEFORE, AFTER, CHANGE, "")
    table = new_table(*numbers, last="top changes of stacks, leaf first (time waited)")
    changes = comparison.largest(comparison.stacks, TOP)
    rows = [_times(comparison, change) for change in changes]
    left = width - sum(max(map(len, column)) + GAP for column in zip(numbers, *rows))
    for row, change in zip(rows, changes):
        above = change.stack.split(";")[: -len(change.frames) or None]
        of = f"{': '.join(above)}: "
        table.add_row(*row, Text(of + leaves_that_fit(change.frames, left - len(of), own)))
    _add_rest(table, 4, len(comparison.stacks), "stacks")
    return table


def _times(comparison: Comparison, change: StackChange) -> tuple[str, ...]:
    before, after = comparison.scaled(change.before.time_ns), change.after.time_ns
    times = (waited(comparison, time_ns) for time_ns in (before, after))
    return (*times, waited_more(comparison, after - before), relative(before, after))


def _add_rest(table: Table, columns: int, count: int, what: str) -> None:
    """Add one row for everything that changed less."""
    if count > TOP:
        table.add_row(*[""] * columns, Text(f"{count - TOP:,} more {what}, which changed less"))
