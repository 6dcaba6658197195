"""Compute the values of a comparison's page: the tables of processes and peers, of routes and of self times as texts,
and both times of each stack.

All text is printable (`common/printable.py`), but not yet escaped for HTML.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ... import __version__
from ...answer.compare import answers_between
from ...compare.changes import Comparison, StackChange
from ...compare.self_changes import largest_self
from ...compare.warnings import comparison_lines
from ..comparison_table import SELF_HEADS, ComparisonRow, heads, rows, self_cells
from ..comparison_words import SHADES, each, rate, side_name, summary
from ..terminal import peer_name
from .answers import AnswerLines, answer_lines

MOST_PEERS = MOST_ROUTES = MOST_SELF_TIMES = 2_000  # in one page
MOST_STACKS = 20_000


class Changed(NamedTuple):
    """Hold a process and a peer, a route, or a process and what it answered: its rows of the table, and the change of
    its time in scaled ns."""

    name: str
    rows: Sequence[ComparisonRow]
    added_ns: int


class ChangedStack(NamedTuple):
    """Hold a folded stack as indices in `ComparisonPage.labels`, the process first. The time before is scaled."""

    labels: Sequence[int]
    before_ns: int
    after_ns: int
    before_calls: int
    after_calls: int


@dataclass(frozen=True)
class ComparisonPage:
    """Hold everything that the page shows. `peers`, `routes` and `stacks` are in the order of the comparison's."""

    version: str
    before: str
    after: str
    answers: Sequence[AnswerLines]
    facts: Sequence[str]
    warnings: Sequence[str]
    each: str  # the unit that follows a time
    rate: float  # what one scaled nanosecond is shown as, in ns
    shades: Sequence[float]
    heads: Sequence[str]
    peers: Sequence[Changed]
    routes: Sequence[Changed]  # empty if there are no heads
    self_heads: Sequence[str]
    self_times: Sequence[Changed]  # empty if calls of a side are not linked to each other
    labels: Sequence[str]
    stacks: Sequence[ChangedStack]


def comparison_data(
    comparison: Comparison, most_peers: int = MOST_PEERS, most_stacks: int = MOST_STACKS
) -> ComparisonPage:
    """Return the values of the page. If there are more peers, routes, self times or stacks than the limits, the page
    has those that changed most, and a warning."""
    peers = comparison.largest(comparison.peers, most_peers)
    all_routes = comparison.routes if comparison.has_heads else ()
    routes = comparison.largest(all_routes, MOST_ROUTES)
    stacks = comparison.largest(comparison.stacks, most_stacks)
    selves = largest_self(comparison.self_times, MOST_SELF_TIMES)
    labels: dict[str, int] = {}
    return ComparisonPage(
        version=__version__,
        before=os.path.basename(side_name(comparison.before)),
        after=os.path.basename(side_name(comparison.after)),
        answers=answer_lines(answers_between(comparison.before, comparison.after)),
        facts=list(summary(comparison)),
        warnings=[
            *comparison_lines(comparison),
            *_left_out("processes and peers", len(comparison.peers), len(peers)),
            *_left_out("routes", len(all_routes), len(routes)),
            *_left_out("self times", len(comparison.self_times), len(selves)),
            *_left_out("stacks", len(comparison.stacks), len(stacks)),
        ],
        each=each(comparison),
        rate=rate(comparison),
        shades=SHADES,
        heads=heads(comparison),
        peers=[
            Changed(peer_name(change.peer), list(rows(comparison, change)), comparison.added_ns(change))
            for change in peers
        ],
        routes=[
            Changed(change.route.name, list(rows(comparison, change)), comparison.added_ns(change)) for change in routes
        ],
        self_heads=SELF_HEADS,
        self_times=[
            Changed(change.answered.name, [ComparisonRow("", self_cells(comparison, change))], change.certain_ns)
            for change in selves
        ],
        stacks=[_stack(comparison, change, labels) for change in stacks],
        labels=list(labels),
    )


def _left_out(what: str, count: int, shown: int) -> list[str]:
    """Return the warning that the page does not have all of `what`, if it does not."""
    return [f"{count:,} {what} are too many for one page: it has the {shown:,} that changed most"] * (shown < count)


def _stack(comparison: Comparison, change: StackChange, labels: dict[str, int]) -> ChangedStack:
    before, after = change.totals
    return ChangedStack(
        [labels.setdefault(label, len(labels)) for label in change.stack.split(";")],
        comparison.scaled(before.time_ns),
        after.time_ns,
        before.calls,
        after.calls,
    )
