"""Print trees of calls on the terminal: how many requests there were, the self times of what processes were asked, the
critical paths of the slowest trees, and whole trees."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from httpcapture.durations import duration_text

from ..calls.certainty import Certainty
from ..common.counted import counted
from ..report.aggregate import Aggregate
from ..report.links import SelfTime
from ..report.self_totals import by_route
from ..report.slowest_trees import Line, SlowTree
from ..report.tree_totals import SelfTotals, TreeTotals

TOP = 10
SLOWEST = 3
CRITICAL = "*"


def print_trees(out: Console, whole: Aggregate, numbers: Iterable[int]) -> None:
    """Print all of it, if calls are linked to each other, with the trees of these numbers, from 1, whole."""
    totals = whole.trees
    if not totals.roots:
        return
    out.print()
    _print(out, [requests_line(totals)])
    floor_ns = max((facts.floor_ns for facts in whole.captures if facts.below is None), default=0)
    if floor_ns:
        _print(
            out, [f"self times include calls that took less than {duration_text(floor_ns)}, as they are not reported"]
        )
    out.print()
    out.print(_self_times(whole))
    if totals.slowest:
        out.print()
        _print(out, ["slowest requests (--tree N shows the calls of request N)"])
        for number, tree in enumerate(totals.slowest[:SLOWEST], 1):
            _print(out, summary_lines(number, tree))
    for number in numbers:
        out.print()
        _print(out, whole_tree(number, totals.slowest))


def requests_line(totals: TreeTotals) -> str:
    """Return how many requests there were, and of how many calls that they caused the cause is known."""
    known = ", ".join(
        f"{totals.certainty[certainty]:,} {certainty.name.lower().replace('_', ' ')}"
        for certainty in (Certainty.SURE, Certainty.PROBABLE, Certainty.NOT_KNOWN)
    )
    requests = f"{counted(totals.roots, 'request')} of {duration_text(totals.roots_ns)} in all"
    calls = sum(totals.certainty.values())
    return f"{requests}; causes of {calls:,} calls made for them: {known}" if calls else requests


def summary_lines(number: int, tree: SlowTree) -> Iterator[str]:
    """Yield three lines about a tree: what it is, its critical path, and the longest part of that."""
    root = tree.critical[0]
    yield f"{number}. {duration_text(tree.duration_ns)}, {_call(root)}, {tree.start}: {counted(tree.calls, 'call')}"
    processes = [line.process for line in tree.critical if line.is_server or line is root]
    yield f"   critical path: {' > '.join(processes)}"
    yield f"   longest part: {_longest_part(tree)}"


def _longest_part(tree: SlowTree) -> str:
    """Return where the most time of a critical path was spent, if that is certain."""
    ranges = [(line.self_time.most_ns - line.self_time.least_ns, line) for line in tree.critical if line.self_time]
    unknown_ns, unknown = max(ranges, key=lambda one: one[0], default=(0, tree.critical[0]))
    spent_ns, where = max((_spent(line) for line in tree.critical), key=lambda one: one[0])
    if unknown_ns >= spent_ns:
        return f"not known, because it is not known which calls of {unknown.process} were made for it"
    return f"{where}: {duration_text(spent_ns)}, {spent_ns / max(tree.duration_ns, 1):.0%}"


def whole_tree(number: int, trees: Sequence[SlowTree]) -> Iterator[str]:
    """Yield the lines of a tree, or that there is none with this number."""
    if number > len(trees):
        yield f"there is no request {number:,}: there are {len(trees):,}"
        return
    tree = trees[number - 1]
    yield f"request {number:,}, {tree.start} on {tree.host}: {CRITICAL} marks the critical path"
    for line in tree.lines:
        mark = CRITICAL if line.is_critical else " "
        yield f"{duration_text(line.duration_ns):>9} {mark} {'  ' * line.depth}{_call(line)}{_of(line)}"
    if tree.left_out:
        yield f"{tree.left_out:,} more calls, which are below others or too many, are not shown"


def _self_times(whole: Aggregate) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for head in ("self time", "time", "calls"):
        table.add_column(head, justify="right", no_wrap=True)
    table.add_column("process and what it answered", overflow="fold")
    rows = list(by_route(whole.trees.self_times, whole.routes).items())
    for answered, times in rows[:TOP]:
        row = _self_text(times), duration_text(times.time_ns), f"{times.calls:,}"
        table.add_row(*row, Text(answered.name))
    if rows[TOP:]:
        rest = sum((times for _, times in rows[TOP:]), SelfTotals())
        others = f"{len(rows) - TOP:,} others"
        table.add_row(_self_text(rest), duration_text(rest.time_ns), f"{rest.calls:,}", others)
    return table


def _self_text(time: SelfTime | SelfTotals) -> str:
    """Return a self time, or the range in which it is, as text."""
    least, most = duration_text(time.least_ns), duration_text(time.most_ns)
    return most if least == most else f"{least} to {most}"


def _call(line: Line) -> str:
    """Return what a line of a tree is about."""
    asked = f" {line.asked}" if line.asked else ""
    return f"{line.process} answers{asked}" if line.is_server else f"{line.process} asks {line.peer}{asked}"


def _of(line: Line) -> str:
    """Return what is known of the call of a line, as the end of the line."""
    facts = [
        "at least so long" if line.at_least else "",
        f"x {line.calls:,}, {duration_text(line.time_ns)} in all, the longest shown" if line.calls > 1 else "",
        f"self {_self_text(line.self_time)}" if line.self_time else "",
        "" if line.outside_ns is None else f"outside {duration_text(line.outside_ns)}",
        "probably" if line.is_probable else "",
    ]
    known = ", ".join(filter(None, facts))
    return f" ({known})" if known else ""


def _spent(line: Line) -> tuple[int, str]:
    """Return how long a call of a critical path took apart from the calls below it, at least, and where."""
    if line.self_time is not None:
        return line.self_time.least_ns, f"self time of {_call(line)}"
    if line.outside_ns is not None:
        return line.outside_ns, f"outside the processes, {_call(line)}"
    return line.duration_ns, f"{_call(line)}, whose other end is not in the report"


def _print(out: Console, lines: Iterable[str]) -> None:
    for line in lines:
        out.print(Text(line), soft_wrap=True)
