"""Put the trees of calls into a page: the lines that `--tree` prints, from which the page draws its waterfalls.

The trees of the slowest calls come first; once they have MOST_SPANS spans, the other calls have none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Optional

from ...report.slowest_trees import Line, SlowTree
from ...report.tree_places import NO_LINE, TreePlace
from .unique_values import UniqueValues

MOST_SPANS = 100_000  # a line has one at least
PLACE_FIELDS = ("tree", "line")
NO_TREE, LEFT_OUT = -1, -2  # stand for the index of a tree: there is none, or there were too many before it


class LineData(NamedTuple):
    """Hold a `Line`, with indices in `Page.words` for its texts. What it has not is None."""

    depth: int
    is_server: bool
    process: int
    asked: int
    peer: int
    start_ns: int
    duration_ns: int
    at_least: bool
    status: int
    least_self_ns: Optional[int]
    most_self_ns: Optional[int]
    outside_ns: Optional[int]
    is_probable: bool
    is_critical: bool
    calls: int
    time_ns: int
    spans: Sequence[Sequence[int]]  # empty if it is one call: from its start to its end


class TreeData(NamedTuple):
    """Hold a tree: how many calls it has, how many of them are not in the lines, of how many requests one may have
    caused it, and its lines."""

    calls: int
    left_out: int
    candidates: int
    lines: Sequence[LineData]


class PageTrees:
    """Gather the trees of a page."""

    def __init__(self) -> None:
        self.trees: list[TreeData] = []
        self.words = UniqueValues[str]()
        self._numbers: dict[SlowTree, int] = {}
        self._spans = 0

    def place(self, place: TreePlace | None) -> tuple[int, int]:
        """Return the index of a call's tree and the number of its line, in the order of PLACE_FIELDS. Places of slower
        calls must have been asked for before."""
        if place is None:
            return NO_TREE, NO_LINE
        if place.tree is None:
            return LEFT_OUT, NO_LINE
        if place.tree not in self._numbers:
            self._spans += sum(len(line.spans) for line in place.tree.lines)
            self._numbers[place.tree] = len(self.trees) if self._spans <= MOST_SPANS else LEFT_OUT
            if self._spans <= MOST_SPANS:
                self._add(place.tree)
        return self._numbers[place.tree], place.line

    def _add(self, tree: SlowTree) -> None:
        self.trees.append(TreeData(tree.calls, tree.left_out, tree.candidates, list(map(self._line, tree.lines))))

    def _line(self, line: Line) -> LineData:
        least, most = line.self_time or (None, None)
        return LineData(
            depth=line.depth,
            is_server=line.is_server,
            process=self.words.index(line.process),
            asked=self.words.index(line.asked),
            peer=self.words.index(line.peer),
            start_ns=line.start_ns,
            duration_ns=line.duration_ns,
            at_least=line.at_least,
            status=line.status,
            least_self_ns=least,
            most_self_ns=most,
            outside_ns=line.outside_ns,
            is_probable=line.is_probable,
            is_critical=line.is_critical,
            calls=line.calls,
            time_ns=line.time_ns,
            spans=line.spans if line.calls > 1 else (),
        )
