"""Tell of each kept call in one line, for a pipe or a file.

A line is made one turn after its call was first read: what the call asked for stands behind it in the capture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .calls import call_cells, call_heads
from .state import State

_WIDTHS = (12, 8, 6, 30)  # of the columns before the last one


@dataclass(frozen=True)
class Told:
    """Remember of the newest calls which were told of, and which had been read a turn ago; and how many were told of in
    all."""

    keys: frozenset[tuple[int, int]] = frozenset()
    read: frozenset[tuple[int, int]] = frozenset()
    count: int = 0


def tell(state: State, told: Told, *, is_last: bool = False) -> tuple[list[str], Told]:
    """Return the lines of this turn, the call that ended first before others, and what is told after it.

    If a turn has more than MOST_SHOWN new calls, only the newest are told of. `is_last` tells of those too that were
    just read.
    """
    newest = {one.key: one for one in reversed(state.counted.newest)}
    due = [one for key, one in newest.items() if key not in told.keys and (is_last or key in told.read)]
    keys = told.keys.union(one.key for one in due).intersection(newest)
    lines = [_line(call_cells(state, one)) for one in due]
    return lines, Told(keys, frozenset(newest), told.count + len(due))


def heads_line(state: State) -> str:
    """Return the line above the first call."""
    return _line(call_heads(state))


def _line(cells: Sequence[str]) -> str:
    *columns, last = (f"{text:<{width}}" for text, width in zip(cells, (*_WIDTHS, 0)))
    return "  ".join([*columns, last])
