"""Print the summary on the terminal: what was kept, lost and named, how long each process waited for each peer, the
top stacks.

Warnings come before it. Nothing recorded is ever taken for markup: every text is a rich `Text` of printable characters.
There are colours only on a terminal, and not if NO_COLOR is set; elsewhere the same words are printed plain and never
wrapped.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from textwrap import wrap
from typing import IO, Callable

from rich.console import Console
from rich.table import Table
from rich.text import Text

from httpcapture import Role
from httpcapture.durations import duration_text
from httpcapture.shell import quoted

from ..answer.answer import Answer
from ..answer.decide import answers
from ..answer.words import lines
from ..calls.available_values import peer_text
from ..calls.totals import PeerKey
from ..common.printable import comm, printable
from ..common.printable import frame as printable_frame
from ..report.aggregate import Aggregate
from ..report.folding import fold, folded_totals
from ..report.headline import captures_text, incomplete, kept, naming_facts, selection_facts
from ..report.plumbing import own_frames
from ..report.recordings import runs_of
from ..report.samples import ShownFrame, Weight, with_line
from ..report.time_span import place_and_time
from .latency_table import TOP, Row, latency_table, new_table, share_text
from .output import Reported, Style
from .tree_terminal import print_trees

PLAIN_WIDTH = 160  # columns of a table if there is no terminal that has a width
LEAVES = 3  # how many frames of a stack are shown if none is the program's own
_TRAILING_BLANKS = re.compile(r" +(?=(?:\x1b\[[0-9;]*m)*$)", re.MULTILINE)
ANSWER_INDENT = 12  # columns of what a line of the answer is about
GAP = 2  # columns between those of a table
MORE = " < ..."
BAR = 12  # columns; the width of the longest bar
LEAST_SHARE = 0.005  # that has a bar


def console(file: IO[str]) -> Console:
    """Return a console on a stream."""
    width = None if file.isatty() else PLAIN_WIDTH
    return Console(file=file, width=width, highlight=False, markup=False, emoji=False)


def report(reported: Reported) -> Iterable[bytes]:
    """Return everything but the warnings, as the terminal shows it."""
    return printed(reported.console, lambda out: _print_report(out, reported))


def _print_report(out: Console, reported: Reported) -> None:
    print_summary(out, reported.whole, reported.style)
    print_trees(out, reported.whole, reported.style.trees)


def printed(out: Console, prints: Callable[[Console], None]) -> Iterable[bytes]:
    """Return what the function prints on the console, without printing it there."""
    with out.capture() as captured:
        prints(out)
    return [_TRAILING_BLANKS.sub("", captured.get()).encode(out.encoding, "backslashreplace")]


def print_warnings(out: Console, warnings: Iterable[str]) -> None:
    """Print each warning on a line of its own, marked as a warning."""
    for warning in warnings:
        _line(out, Text.assemble(("warning: ", "bold yellow"), warning))


def print_lines(out: Console, lines: Iterable[str]) -> None:
    """Print each text on a line of its own, never as markup."""
    for line in lines:
        _line(out, Text(line))


def print_summary(out: Console, whole: Aggregate, style: Style) -> None:
    """Print everything but the warnings, with a part for each host if there are several. The facts about stack traces
    are left out unless they are asked for, or something is missing."""
    facts = naming_facts(whole) if style.facts or incomplete(whole) else []
    print_lines(out, [*_kept(whole), *selection_facts(whole), place_and_time(whole), *facts])
    if len(whole.hosts) == 1:
        print_answers(out, answers(whole))
        _print_tables(out, whole, style.own)
        return
    for host in whole.hosts:
        out.print()
        _line(out, Text(f"host {host}", "bold"))
        print_answers(out, answers(whole.of_host(host)))
        _print_tables(out, whole.of_host(host), style.own)


def print_answers(out: Console, found: Iterable[Answer]) -> None:
    """Print answers. On a terminal, lines are broken where they fit."""
    for answer in found:
        out.print()
        for about, text in lines(answer):
            head, indent = (f"  {about}".ljust(ANSWER_INDENT), ANSWER_INDENT) if about else ("", 0)
            fits = wrap(text, out.width - 2 - indent, break_long_words=False) if out.is_terminal else [text]
            print_lines(out, [head + fits[0], *(" " * indent + more for more in fits[1:])])


def _kept(whole: Aggregate) -> Iterator[str]:
    """Yield a line for the only capture, or one for each host."""
    if len(whole.captures) == 1:
        yield f"{whole.captures[0].file}: {kept(whole.captures)}"
        return
    for host in whole.hosts:
        captures = [facts for facts in whole.captures if facts.host == host]
        yield f"{host}: {kept(captures)}, {captures_text(runs_of(captures))}"


def _print_tables(out: Console, whole: Aggregate, own: Sequence[str]) -> None:
    if whole.stacks:
        out.print()
        out.print(_peers(whole, out.width))
        out.print()
        if any(key.workload.text for key in whole.workloads):
            out.print(_workloads(whole, out.width))
            out.print()
        if whole.has_heads:
            out.print(_routes(whole, out.width))
            out.print()
        block = "\N{FULL BLOCK}" if out.encoding.startswith("utf") else "#"
        out.print(_stacks(whole, own, block, out.width))


def print_written(out: Console, paths: Iterable[str]) -> None:
    """Name files that were written, on one line."""
    _line(out, Text(f"wrote {' and '.join(map(printable, paths))}"))


def print_next(out: Console, folded: str, weight: Weight) -> None:
    """Print the command that draws folded stacks. It fails on a file that is empty or has only zero weights."""
    unit = "us" if weight is Weight.TIME else "calls"
    svg = folded.rsplit(".", 1)[0] + ".svg"
    _line(out, Text(f"next: flamegraph.pl --countname {unit} {quoted(folded)} > {quoted(svg)}"))


def _peers(whole: Aggregate, width: int) -> Table:
    """Return the table of processes and peers, those with the most time first."""
    peers = sorted(whole.peers.items())
    rows = (Row(peer_name(key.peer), latencies) for key, latencies in peers)
    return latency_table("process and peer", _most_time_first(rows), width)


def _workloads(whole: Aggregate, width: int) -> Table:
    """Return the table of containers, pods and units, those with the most time first."""
    workloads = sorted(whole.workloads.items())
    rows = (Row(key.workload.name, latencies) for key, latencies in workloads)
    return latency_table("container or unit", _most_time_first(rows), width)


def _routes(whole: Aggregate, width: int) -> Table:
    """Return the table of routes, those with the most time first."""
    rows = [Row(route.name, totals.latencies, totals.errors) for route, totals in whole.by_route.items()]
    return latency_table("route", rows, width)


def _most_time_first(rows: Iterable[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: -row.latencies.totals.time_ns)


def _stacks(whole: Aggregate, own: Sequence[str], block: str, width: int) -> Table:
    """Return the table of top stacks: of each, as many of the program's own frames as fit into the width.

    Stacks of one process with the same names are one, whatever their addresses.
    """
    heads = ("time", "share", "calls")
    table = new_table(*heads, last="top stacks, leaf first")
    first = {fold(sample): sample for sample in reversed(whole.samples)}
    stacks = sorted(folded_totals(whole.samples).items(), key=lambda item: (-item[1].time_ns, item[0]))
    time_ns = sum(totals.time_ns for _, totals in stacks)
    rows = [
        (duration_text(totals.time_ns), share_text(totals, time_ns), f"{totals.calls:,}") for _, totals in stacks[:TOP]
    ]
    numbers = sum(max(map(len, column)) + GAP for column in zip(heads, *rows))
    for row, (stack, totals) in zip(rows, stacks):
        of = f"{bar(totals.time_ns, time_ns, block):{BAR}} {first[stack].of}: "
        table.add_row(*row, Text(of + leaves_that_fit(first[stack].stack.frames, width - numbers - len(of), own)))
    return table


def bar(part: int, whole: int, block: str) -> str:
    """Return a bar of at most BAR blocks; it has none for a part that rounds to 0 %."""
    share = part / max(whole, 1)
    return block * max(1, round(BAR * share)) if share >= LEAST_SHARE else ""


def leaves_that_fit(frames: Sequence[ShownFrame], width: int, own: Sequence[str] = ()) -> str:
    """Return the last of a program's own frames, leaf first, that fit into the width, at least one; if it has none, the
    last LEAVES of all. `frames` are outermost first, `own` are the patterns of --own."""
    texts = [*map(with_line, reversed(own_frames(frames, own)))]
    if not texts:
        leaves = [printable_frame(frame.label) for frame in reversed(frames)]
        return " < ".join(leaves[:LEAVES]) + (MORE if len(leaves) > LEAVES else "")
    fitting = texts[:1]
    for text in texts[1:]:
        rest = len(MORE) if len(fitting) + 1 < len(texts) else 0
        if len(" < ".join([*fitting, text])) + rest > width:
            return " < ".join(fitting) + MORE
        fitting.append(text)
    return " < ".join(fitting)


def peer_name(key: PeerKey) -> str:
    """Return the name of a process, of a server with its port, and its peer."""
    port = f":{key.own_port}" if key.own_port else ""
    how = "to" if key.role == Role.CLIENT else "from" if key.role == Role.SERVER else "with"
    return f"{comm(key.process)}{port} {how} {peer_text(key.address, key.port)}"


def _line(out: Console, text: Text) -> None:
    """Print one line, however long. A terminal wraps it; a file keeps it whole."""
    out.print(text, soft_wrap=True)
