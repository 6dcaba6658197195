"""Make the texts about a whole report that all outputs share: its name, warnings, and what was kept, lost, unwound and
named.

All of them are safe to print.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence

from ..common.counted import counted
from . import counted_once
from .aggregate import Aggregate
from .recordings import Facts, RecordedRun
from .report import NamingCounts, UnnamedIn
from .unreached import unreached
from .warnings import to_the_second

HOSTS_NAMED = 3
UNNAMED_LISTED = 3  # reasons and modules


def summary(whole: Aggregate) -> list[str]:
    """Return the lines of the summary: kept calls, each of them once, those of which too little is known, whether none
    reaches the threshold, stack traces, frames."""
    return [kept(whole.captures), *selection_facts(whole), *naming_facts(whole)]


def selection_facts(whole: Aggregate) -> list[str]:
    """Return the lines about calls that are counted once, those of which too little is known, and whether none reaches
    the threshold."""
    return [*counted_once.lines(whole), *not_known(whole.captures), *unreached(whole.captures)]


def naming_facts(whole: Aggregate) -> list[str]:
    """Return the lines about stack traces and frames."""
    return [stack_traces(whole.naming), frames(whole.naming)]


def name(whole: Aggregate) -> str:
    """Return the name of the capture or captures that the report is about."""
    if len(whole.captures) == 1:
        return os.path.basename(whole.captures[0].file)
    return captures_text(whole.runs)


def title(whole: Aggregate) -> str:
    """Return the title of a picture of the report."""
    return f"{name(whole)}: {selections(whole.captures)}"


def where(whole: Aggregate) -> str:
    """Return the hosts, or their number if there are many."""
    return ", ".join(whole.hosts) if len(whole.hosts) <= HOSTS_NAMED else f"{len(whole.hosts):,} hosts"


def captures_text(runs: Sequence[RecordedRun]) -> str:
    """Return how many captures and recordings these are, as text."""
    captures = sum(len(run.parts) for run in runs)
    if captures == len(runs):
        return counted(captures, "capture")
    return (
        f"recording of {captures:,} parts" if len(runs) == 1 else f"{len(runs):,} recordings in {captures:,} captures"
    )


def origins(whole: Aggregate) -> Iterator[str]:
    """Yield a line for each recording."""
    for run in whole.runs:
        first, parts = run.first, f"{captures_text([run])}, " if len(run.parts) > 1 else ""
        origin = f"{run.file}: {parts}recorded on {first.host} ({first.system}) by {first.tool} from "
        yield origin + to_the_second(first.started, first.started)


def warning_lines(whole: Aggregate, *, named: bool = False) -> Iterator[str]:
    """Yield a line for each capture that could not be read and for each warning.

    The lines name their captures if there are several, or if `named`.
    """
    for one in whole.unreadable:
        yield f"left out: {one.reason}"
    named = named or len(whole.captures) + len(whole.unreadable) > 1
    for run in whole.runs:
        yield from (f"{file}: {text}" if named else text for file, text in run.warnings())


def incomplete(whole: Aggregate) -> bool:
    """Return whether data was lost, cut off or could not be read. --strict refuses such reports."""
    return bool(whole.unreadable) or not all(run.complete for run in whole.runs)


def kept(captures: Sequence[Facts]) -> str:
    """Return which calls were kept, and that nothing was lost if that is known, as text. What was lost is a warning."""
    kept = sum(facts.kept for facts in captures)
    recorded = sum(facts.recorded + (facts.below or 0) for facts in captures)
    qualities = " or ".join(dict.fromkeys(facts.qualities for facts in captures if facts.qualities))
    calls = " ".join(filter(None, [counted(kept, "call"), qualities]))
    of_all = f", out of {recorded:,}" if kept != recorded else ""
    return f"{calls}{of_all}{', 0 lost' if all(facts.has_no_losses for facts in captures) else ''}"


def not_known(captures: Iterable[Facts]) -> Iterator[str]:
    """Yield a line if calls were left out because what a filter asks for is not known of them."""
    count = sum(facts.not_known for facts in captures)
    if count:
        yield f"left out: {counted(count, 'call')} of which it is not known whether they pass the filters"


def selections(captures: Iterable[Facts]) -> str:
    """Return the distinct selections of the captures, as text."""
    return " or ".join(dict.fromkeys(facts.selection for facts in captures))


def stack_traces(counts: NamingCounts) -> str:
    """Return how many stack traces are complete, and why others are not, as text."""
    if not counts.traces:
        return "stack traces: none"
    complete = counts.traces - sum(counts.incomplete.values())
    share = f"stack traces: {complete:,} of {counts.traces:,} are complete"
    ranked = sorted((-count, reason.text) for reason, count in counts.incomplete.items())
    return "; others: ".join(filter(None, [share, ", ".join(f"{-count:,} ({reason})" for count, reason in ranked)]))


def frames(counts: NamingCounts) -> str:
    """Return how many frames have a name, the program's own first, and why others have none, as text."""
    if not counts.frames:
        return "frames: none"
    unnamed = ", ".join(_unnamed(counts.unnamed))
    own = _share(counts.own_named, counts.own)
    others = _share(counts.named - counts.own_named, counts.frames - counts.own)
    share = f"frames named: {own} own, {others} others"
    guessed = f"; found without unwind information: {counts.guessed:,}" if counts.guessed else ""
    return (f"{share}; without a name: {unnamed}" if unnamed else share) + guessed


def _share(part: int, whole: int) -> str:
    """Return a part of some frames as text. Only the whole is 100%."""
    return f"{part * 100 // whole}% of {whole:,}" if whole else "0 of 0"


def _unnamed(counts: Mapping[UnnamedIn, int]) -> Iterator[str]:
    """Yield how many frames have no name, where and why, the most first."""
    ranked = sorted((-count, one.module, one.reason.text) for one, count in counts.items())
    for minus_count, module, reason in ranked[:UNNAMED_LISTED]:
        yield f"{-minus_count:,}{f' in {module}' if module else ''} ({reason})"
    rest = -sum(minus_count for minus_count, _, _ in ranked[UNNAMED_LISTED:])
    if rest:
        yield f"{rest:,} elsewhere"
