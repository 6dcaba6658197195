"""The summary on the terminal: warnings first, then what was kept, lost and named, the processes, the top
stacks.

Nothing recorded is ever taken for markup: every text is a rich `Text` of printable characters. Colours only
on a terminal, and not where NO_COLOR is set; elsewhere the same words, plain and never wrapped.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import IO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from .calls import duration_ns, total
from .cautions import Caution
from .clean import comm, printable
from .report import Group, Naming, Report, by_process, by_stack, naming
from .trace import StackTrace

PLAIN_WIDTH = 160  # columns of a table where there is no terminal to ask
TOP = 10
LEAVES = 3  # frames of a top stack that are shown


def console(file: IO[str]) -> Console:
    """A console on a stream."""
    width = None if file.isatty() else PLAIN_WIDTH
    return Console(file=file, width=width, highlight=False, markup=False, emoji=False)


def print_cautions(out: Console, cautions: Sequence[Caution]) -> None:
    for caution in cautions:
        _line(out, Text.assemble(("warning: ", "bold yellow"), caution.text))


def print_summary(out: Console, report: Report, capture: str) -> None:
    """Everything but the cautions."""
    recording = report.recording
    kept = f"{len(recording.calls):,} of {recording.recorded:,} calls kept"
    _line(out, Text(f"{printable(capture)}: {kept} ({report.selection})"))
    lost = ", ".join(f"{count:,} {printable(cause)}" for cause, count in recording.lost.items() if count)
    _line(out, Text(f"lost: {lost or 'nothing'}"))
    counts = naming(report)
    _line(out, Text(_stack_traces(counts)))
    _line(out, Text(_naming(counts)))
    if len(recording.calls):
        out.print()
        out.print(_processes(report))
        out.print()
        out.print(_stacks(report))


def print_written(out: Console, traces: str, folded: str) -> None:
    """What was written, and what to type next."""
    svg = folded.rsplit(".", 1)[0] + ".svg"
    out.print()
    _line(out, Text(f"wrote {printable(traces)} and {printable(folded)}"))
    _line(out, Text(f"next: flamegraph.pl --countname us {shlex.quote(folded)} > {shlex.quote(svg)}"))


def _stack_traces(counts: Naming) -> str:
    if not counts.traces:
        return "stack traces: none"
    whole = counts.traces - sum(counts.incomplete.values())
    share = f"stack traces: {whole:,} of {counts.traces:,} whole"
    reasons = ", ".join(f"{count:,} {reason.value}" for reason, count in counts.incomplete.most_common())
    return f"{share}; others: {reasons}" if reasons else share


def _naming(counts: Naming) -> str:
    if not counts.frames:
        return "frames: none"
    unnamed = ", ".join(f"{count:,} {reason.value}" for reason, count in counts.unnamed.most_common())
    share = f"frames: {counts.named / counts.frames:.0%} of {counts.frames:,} named"
    guessed = f"; found without unwind information: {counts.guessed:,}" if counts.guessed else ""
    return (f"{share}; without a name: {unnamed}" if unnamed else share) + guessed


def _processes(report: Report) -> Table:
    table = _table("time", "share", "calls", "slowest", last="process")
    whole = total(duration_ns(report.recording.calls))
    for group in by_process(report)[:TOP]:
        name = Text(comm(report.process(group.first)))
        table.add_row(*_sums(group, whole), _ms(group.slowest_ns), name)
    return table


def _stacks(report: Report) -> Table:
    table = _table("time", "share", "calls", last="top stacks, leaf first")
    whole = total(duration_ns(report.recording.calls))
    for group in by_stack(report)[:TOP]:
        leaves = _leaves(report.trace(group.first))
        table.add_row(*_sums(group, whole), Text(f"{comm(report.process(group.first))}: {leaves}"))
    return table


def _table(*numbers: str, last: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for number in numbers:
        table.add_column(number, justify="right", no_wrap=True)
    table.add_column(last, overflow="fold")
    return table


def _sums(group: Group, whole: int) -> tuple[str, str, str]:
    return _ms(group.time_ns), f"{group.time_ns / max(whole, 1):.1%}", f"{len(group.members):,}"


def _leaves(trace: StackTrace) -> str:
    if trace.missing is not None:
        return f"[no stack: {trace.missing.value}]"
    labels = [printable(frame.label) for frame in trace.frames[:LEAVES]]
    return " < ".join(labels) + (" < ..." if len(trace.frames) > LEAVES else "")


def _ms(nanoseconds: int) -> str:
    return f"{nanoseconds / 1e6:,.2f} ms"


def _line(out: Console, text: Text) -> None:
    """One line, however long: a terminal wraps it, a file keeps it whole."""
    out.print(text, soft_wrap=True)
