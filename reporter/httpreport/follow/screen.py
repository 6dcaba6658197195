"""Render a state and a view: the head, a table of rows above the newest calls, or the calls of one row, or one
call; and the keys. Every text is printable, and a rich `Text`, so that nothing recorded is taken for markup."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from httpcapture.durations import duration_text

from ..common.counted import counted
from ..common.printable import host, printable
from ..outputs.latency_table import TOP
from ..report.warnings import selection_warnings
from .calls import call_cells, call_heads, details
from .counted import Shown
from .rows import HEADS as NUMBERS
from .rows import Row, rows_of
from .state import State
from .view import View, calls_in, place_of_selected, rows_in

KEYS_OF_ROWS = "s sort  m last minute  / filter  up, down, Enter calls  q quit"
KEYS_OF_CALLS = "s longest, newest  / filter  up, down, Enter open  Esc back  q quit"
KEYS_OF_CALL = "Esc back  q quit"
KEYS_OF_TYPING = "Enter keep  Esc clear"
NO_KEYS = "Ctrl-C ends the view"
LEAST = 3  # rows of a table, however low the terminal is
RIGHT = {*NUMBERS, "took", "so far"}  # columns that are aligned to the right


class Source(NamedTuple):
    """Say what is shown besides the state: the path of the capture, what was noticed about the file, and whether keys
    can be read."""

    path: str
    notice: str = ""
    has_keys: bool = True


def render(state: State, view: View, source: Source, height: int) -> RenderableType:
    """Return what a terminal with so many lines shows."""
    head = list(head_lines(state, source))
    room = height - len(head) - 2  # a blank line, and that of the keys
    if view.call is not None:
        body: RenderableType = _call(state, view.call, source.path)
    else:
        body = _rows(state, view, room) if view.row is None else _calls_of_row(state, view, room)
    return Group(*map(_line, head), Text(), body, _line(_keys(view, has_keys=source.has_keys), "dim"))


def totals(state: State, source: Source) -> RenderableType:
    """Return what stays on the terminal when the view has ended: the head, and the rows with the most time."""
    return Group(*map(_line, head_lines(state, source)), Text(), _row_table(state, rows_of(state)[:TOP], None))


def head_lines(state: State, source: Source) -> Iterator[str]:
    """Yield what was recorded and kept, then what is missing, then what was noticed about the file."""
    kept, lost = state.counted, sum(state.lost.values())
    so_far = "" if state.end else " so far"
    ended = f", ended ({printable(state.end.reason)})" if state.end else ""
    recorded = duration_text(state.now_ns - state.meta.started_monotonic_ns)
    yield f"{printable(source.path)} on {host(state.meta.host)}: {recorded} recorded, {lost:,} lost{so_far}{ended}"
    qualities = state.window.selection.qualities
    calls = " ".join(filter(None, (counted(kept.kept, "call"), qualities)))
    yield f"{calls}, out of {kept.recorded:,}" if kept.kept != kept.recorded else calls
    for warning in selection_warnings(state.meta, state.window.selection):
        yield warning.text
    if kept.not_known:
        yield f"left out: {counted(kept.not_known, 'call')} of which it is not known whether they pass the filters"
    if lost:
        yield "something was lost: httpreport says what, and what follows from it"
    if state.late:
        yield f"{counted(state.late, 'call')} ended or had a head too late to be counted so here: httpreport has it"
    if source.notice:
        yield source.notice


def _rows(state: State, view: View, room: int) -> RenderableType:
    """Return the table of rows above the newest calls."""
    rows = rows_in(state, view)
    place = place_of_selected(view, rows)
    count = min(max(room * 2 // 3 - 2, LEAST), len(rows))
    newest = state.counted.newest[: max(room - count - 5, LEAST)]
    first = _first(place, count, len(rows))
    table = _row_table(state, rows[first : first + count], place - first)
    title = f"sorted by {view.sort}, {'the last minute' if view.lately else 'the whole recording'}{_filter(view)}"
    return Group(_line(title), table, Text(), _line("newest calls"), _calls(state, newest, None))


def _row_table(state: State, rows: Sequence[Row], selected: int | None) -> Table:
    table = _table(*NUMBERS, "route" if state.has_heads else "process and peer")
    for number, row in enumerate(rows):
        table.add_row(*map(Text, row.cells), style=_style(number == selected))
    return table


def _calls_of_row(state: State, view: View, room: int) -> RenderableType:
    """Return the calls of the row that is open."""
    calls = calls_in(state, view)
    place = place_of_selected(view, calls)
    count = max(room - 2, LEAST)
    first = _first(place, count, len(calls))
    title = f"{view.row}: the {'newest' if view.newest else 'longest'} calls{_filter(view)}"
    return Group(_line(title), _calls(state, calls[first : first + count], place - first))


def _call(state: State, one: Shown, path: str) -> Table:
    """Return what is known of one call by now."""
    known = (*state.counted.longest, *state.counted.newest)
    one = next((now for now in known if now.key == one.key), one)
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for name, text in details(state, one, path):
        table.add_row(name, Text(text))
    return table


def _calls(state: State, calls: Sequence[Shown], selected: int | None) -> Table:
    table = _table(*call_heads(state))
    for number, one in enumerate(calls):
        table.add_row(*map(Text, call_cells(state, one)), style=_style(number == selected))
    return table


def _table(*heads: str) -> Table:
    """Return an empty table with these heads, whose rows are one line each. The last column has the width that the
    others leave."""
    table = Table(box=None, pad_edge=False, header_style="bold", expand=True)
    for head in heads[:-1]:
        table.add_column(head, justify="right" if head in RIGHT else "left", no_wrap=True)
    table.add_column(heads[-1], no_wrap=True, overflow="ellipsis", ratio=1)
    return table


def _first(place: int, count: int, total: int) -> int:
    """Return the index of the first of `count` items that are shown, so that the one at `place` is among them."""
    return min(max(place - count // 2, 0), max(total - count, 0))


def _style(is_selected: bool) -> str:
    return "reverse" if is_selected else ""


def _filter(view: View) -> str:
    typed = f"{printable(view.pattern)}{'_' if view.is_typing else ''}"
    return f", filter: {typed}" if typed else ""


def _keys(view: View, *, has_keys: bool) -> str:
    if not has_keys:
        return NO_KEYS
    if view.is_typing:
        return KEYS_OF_TYPING
    return KEYS_OF_ROWS if view.row is None else KEYS_OF_CALLS if view.call is None else KEYS_OF_CALL


def _line(text: str, style: str = "") -> Text:
    return Text(text, style, no_wrap=True, overflow="ellipsis")
