"""Draw a differential flame graph: a box is as wide as its time after, red if that increased and blue if it decreased.

The colours are those of flamegraph.pl. The change is also written: each text begins with it in percent, and each
tooltip has both times. It is the change of all time in a frame and in what it called. A stack that is gone has no
width, so the subtitle says how much time such stacks had.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from ..calls.totals import Totals
from ..compare.changes import Comparison, StackChange
from ..report.samples import Weight
from .comparison_words import SHADES, relative, shade, side_name, times, total, waited
from .output import Compared, encoded
from .svg_tree import Look, Tree, draw

COLOURS = (
    "#86b4ff",
    "#afcdff",
    "#d7e6ff",
    "#e8e8e8",
    "#ffdad6",
    "#ffb5ad",
    "#ff8f85",
)  # black text is readable on each


@dataclass
class _BothSides:
    """Hold one box: the totals before and after of the calls in a frame."""

    label: str
    before: Totals = field(default_factory=Totals)
    after: Totals = field(default_factory=Totals)

    def add(self, change: StackChange) -> None:
        self.before += change.before
        self.after += change.after


def comparison(compared: Compared) -> Iterable[bytes]:
    """Return the picture line by line."""
    sides = compared.comparison.after, compared.comparison.before
    title = " since ".join(os.path.basename(side_name(side)) for side in sides)
    return encoded(differential(compared.comparison, compared.style.weight, title), "\n")


def differential(comparison: Comparison, weight: Weight, title: str) -> Iterator[str]:
    """Yield the lines, without newlines."""
    root = Tree(_BothSides("all"))
    for change in comparison.stacks:
        node = root
        node.value.add(change)
        for label in change.stack.split(";"):
            node = node.children.setdefault(label, Tree(_BothSides(label)))
            node.value.add(change)
    return draw(root, lambda both: _look(comparison, both, weight), title, _subtitle(comparison, weight))


def _subtitle(comparison: Comparison, weight: Weight) -> str:
    gone_ns = comparison.scaled(sum(change.before.time_ns for change in comparison.stacks if not change.after.calls))
    gone = f"; {waited(comparison, gone_ns)} were in stacks that are gone" if gone_ns else ""
    return f"{times(comparison, *total(comparison))}{gone}; a box is as wide as its {weight.value} after"


def _look(comparison: Comparison, both: _BothSides, weight: Weight) -> Look:
    before, after = comparison.scaled(weight.of(both.before)), weight.of(both.after)
    calls = f"{both.before.calls:,} calls before, {both.after.calls:,} after"
    tooltip = f"{both.label}\n{times(comparison, both.before, both.after)}\n{calls}"
    return Look(after, f"{relative(before, after)} {both.label}", tooltip, COLOURS[shade(before, after) + len(SHADES)])
