"""What every output says of a whole report, in the same words: what was kept, lost, unwound and named."""

from __future__ import annotations

from collections.abc import Mapping

from .digest import Digest
from .report import Naming


def summary(whole: Digest) -> list[str]:
    """Four lines of one capture's digest: calls kept, what was lost, stack traces, frames."""
    (facts,) = whole.captures
    kept = f"{facts.kept:,} of {facts.recorded:,} calls kept ({facts.selection})"
    return [kept, lost(facts.lost), stack_traces(whole.naming), frames(whole.naming)]


def lost(causes: Mapping[str, int]) -> str:
    return "lost: " + (", ".join(f"{count:,} {cause}" for cause, count in causes.items()) or "nothing")


def stack_traces(counts: Naming) -> str:
    if not counts.traces:
        return "stack traces: none"
    whole = counts.traces - sum(counts.incomplete.values())
    share = f"stack traces: {whole:,} of {counts.traces:,} whole"
    reasons = ", ".join(f"{count:,} {reason.value}" for reason, count in counts.incomplete.most_common())
    return f"{share}; others: {reasons}" if reasons else share


def frames(counts: Naming) -> str:
    if not counts.frames:
        return "frames: none"
    unnamed = ", ".join(f"{count:,} {reason.value}" for reason, count in counts.unnamed.most_common())
    share = f"frames: {counts.named / counts.frames:.0%} of {counts.frames:,} named"
    guessed = f"; found without unwind information: {counts.guessed:,}" if counts.guessed else ""
    return (f"{share}; without a name: {unnamed}" if unnamed else share) + guessed
