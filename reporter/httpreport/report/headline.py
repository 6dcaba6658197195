"""Make the texts about a whole report that all outputs share: its name, warnings, and what was kept, lost, unwound and
named.

All of them are safe to print.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from ..languages.stack_trace import Incomplete, Unnamed
from . import counted_once
from .aggregate import Aggregate
from .recordings import Facts, RecordedRun
from .report import NamingCounts
from .unreached import unreached
from .warnings import to_the_second

HOSTS_NAMED = 3


def summary(whole: Aggregate) -> list[str]:
    """Return the lines of the summary: kept calls, each of them once, those of which too little is known, whether none
    reaches the threshold, losses, stack traces, frames."""
    others = [lost(whole.captures), stack_traces(whole.naming), frames(whole.naming)]
    return [
        kept(whole.captures),
        *counted_once.lines(whole),
        *not_known(whole.captures),
        *unreached(whole.captures),
        *others,
    ]


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
        return f"{captures:,} capture{'' if captures == 1 else 's'}"
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
    """Return how many calls were kept, as text."""
    of_all = f"{sum(facts.kept for facts in captures):,} of {sum(facts.recorded for facts in captures):,}"
    return f"{of_all} calls kept ({selections(captures)})"


def not_known(captures: Iterable[Facts]) -> Iterator[str]:
    """Yield a line if calls were left out because what a filter asks for is not known of them."""
    count = sum(facts.not_known for facts in captures)
    if count:
        calls = f"{count:,} call{'' if count == 1 else 's'}"
        yield f"left out: {calls} of which it is not known whether they pass the filters"


def selections(captures: Iterable[Facts]) -> str:
    """Return the distinct selections of the captures, as text."""
    return " or ".join(dict.fromkeys(facts.selection for facts in captures))


def lost(captures: Iterable[Facts]) -> str:
    """Return what was lost by cause, as text."""
    causes: Counter[str] = sum((Counter(facts.lost) for facts in captures), Counter())
    return "lost: " + (", ".join(f"{count:,} {cause}" for cause, count in causes.items()) or "nothing")


def stack_traces(counts: NamingCounts) -> str:
    """Return how many stack traces are complete, and why others are not, as text."""
    if not counts.traces:
        return "stack traces: none"
    complete = counts.traces - sum(counts.incomplete.values())
    share = f"stack traces: {complete:,} of {counts.traces:,} complete"
    reasons = _reasons(counts.incomplete)
    return f"{share}; others: {reasons}" if reasons else share


def frames(counts: NamingCounts) -> str:
    """Return how many frames have a name, the program's own first, and why others have none, as text."""
    if not counts.frames:
        return "frames: none"
    unnamed = _reasons(counts.unnamed)
    own = _share(counts.own_named, counts.own)
    others = _share(counts.named - counts.own_named, counts.frames - counts.own)
    share = f"frames named: {own} own, {others} others"
    guessed = f"; found without unwind information: {counts.guessed:,}" if counts.guessed else ""
    return (f"{share}; without a name: {unnamed}" if unnamed else share) + guessed


def _share(part: int, whole: int) -> str:
    """Return a part of some frames as text. Only the whole is 100%."""
    return f"{part * 100 // whole}% of {whole:,}" if whole else "0 of 0"


def _reasons(counts: Mapping[Unnamed, int] | Mapping[Incomplete, int]) -> str:
    """Return the reasons as text, the most frequent first, and what would help."""
    ranked = sorted((-count, reason.value, reason.remedy) for reason, count in counts.items())
    return ", ".join(
        f"{-minus_count:,} {reason} ({remedy})" if remedy else f"{-minus_count:,} {reason}"
        for minus_count, reason, remedy in ranked
    )
