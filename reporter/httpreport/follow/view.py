"""Define `View`: what of a state is on the screen; and change it by the keys that are pressed."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Callable, Optional, Union

from .calls import call_cells
from .counted import Shown
from .rows import SORTS, Row, name_of, rows_of
from .state import State

LONGEST_PATTERN = 64  # characters
UP, DOWN, ENTER, ESCAPE, BACKSPACE = "up", "down", "enter", "escape", "backspace"
"""The names of keys that are no characters."""

Item = Union[Row, Shown]
Action = Callable[["View", Sequence[Item]], "View"]


@dataclass(frozen=True)
class View:
    """Hold what is shown. On top of the table of rows may be the calls of one of them, and one of these."""

    sort: str = "time"
    lately: bool = False  # rows are of the last minute
    newest: bool = False  # calls are the newest, not the longest
    pattern: str = ""  # what the shown rows or calls have in their text
    is_typing: bool = False  # the pattern is being typed
    selected: Optional[Hashable] = None  # identity of an item; None: the first
    row: Optional[str] = None  # the name of the row whose calls are shown
    call: Optional[Shown] = None  # the call that is shown alone


def identity(item: Item) -> Hashable:
    """Return what an item is known by, while its numbers change."""
    return item.name if isinstance(item, Row) else item.key


def items(state: State, view: View) -> Sequence[Item]:
    """Return what the view lists."""
    return rows_in(state, view) if view.row is None else calls_in(state, view)


def rows_in(state: State, view: View) -> list[Row]:
    """Return the rows that have the pattern, in the order of the view."""
    rows = [row for row in rows_of(state, lately=view.lately) if view.pattern.lower() in row.name.lower()]
    return sorted(rows, key=SORTS[view.sort], reverse=True)


def calls_in(state: State, view: View) -> list[Shown]:
    """Return the calls of the row that is open which have the pattern, in the order of the view."""
    calls = state.counted.newest if view.newest else state.counted.longest
    mine = [one for one in calls if name_of(state, one) == view.row]
    return [one for one in mine if view.pattern.lower() in " ".join(call_cells(state, one)).lower()]


def pressed(view: View, key: str, shown: Sequence[Item]) -> View:
    """Return the view after a key: a character, or one of the names above. `shown` is what the view lists."""
    if view.is_typing:
        return _typed(view, key)
    action = _ACTIONS.get(key)
    return view if action is None else action(view, shown)


def _typed(view: View, key: str) -> View:
    """Return the view after a key of a pattern."""
    if key == ENTER:
        return replace(view, is_typing=False)
    if key == ESCAPE:
        return replace(view, is_typing=False, pattern="")
    if key == BACKSPACE:
        return replace(view, pattern=view.pattern[:-1])
    is_text = len(key) == 1 and key.isprintable() and len(view.pattern) < LONGEST_PATTERN
    return replace(view, pattern=view.pattern + key, selected=None) if is_text else view


def place_of_selected(view: View, shown: Sequence[Item]) -> int:
    """Return the index of the selected item; 0 if it is no longer shown."""
    identities = list(map(identity, shown))
    return identities.index(view.selected) if view.selected in identities else 0


def _moved(by: int) -> Action:
    def action(view: View, shown: Sequence[Item]) -> View:
        place = min(max(place_of_selected(view, shown) + by, 0), len(shown) - 1)
        return replace(view, selected=identity(shown[place])) if shown else view

    return action


def _open(view: View, shown: Sequence[Item]) -> View:
    if view.call is not None or not shown:
        return view
    item = shown[place_of_selected(view, shown)]
    if isinstance(item, Row):
        return replace(view, row=item.name, selected=None, pattern="")
    return replace(view, call=item)


def _back(view: View, _shown: Sequence[Item]) -> View:
    """Close what is on top: the call, the pattern, the calls of a row."""
    if view.call is not None:
        return replace(view, call=None)
    if view.pattern:
        return replace(view, pattern="")
    return replace(view, row=None, selected=view.row)


def _sort(view: View, _shown: Sequence[Item]) -> View:
    if view.row is not None:
        return replace(view, newest=not view.newest)
    sorts = list(SORTS)
    return replace(view, sort=sorts[(sorts.index(view.sort) + 1) % len(sorts)])


def _type(view: View, _shown: Sequence[Item]) -> View:
    return replace(view, is_typing=view.call is None)


def _minute(view: View, _shown: Sequence[Item]) -> View:
    return replace(view, lately=not view.lately)


_ACTIONS: dict[str, Action] = {
    **{UP: _moved(-1), "k": _moved(-1), DOWN: _moved(1), "j": _moved(1)},
    **{ENTER: _open, ESCAPE: _back, BACKSPACE: _back, "s": _sort, "/": _type, "m": _minute},
}
