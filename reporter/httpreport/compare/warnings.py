"""Make the warnings of a comparison: differences between the recordings of both sides that look like changes."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..calls.filters import exact_ms
from ..languages.stack_trace import Incomplete
from ..report.headline import warning_lines
from ..report.recordings import Facts
from .changes import Comparison


class ComparisonCause(enum.Enum):
    """Name the subject of a warning. The value is its name in JSON."""

    THRESHOLDS = "thresholds"
    FILTERS = "filters"
    LENGTH = "length"
    HOSTS = "hosts"
    STACKS = "stacks"
    FIRST_BYTES = "first_bytes"


@dataclass(frozen=True)
class ComparisonWarning:
    """Say how the recordings of both sides differ."""

    cause: ComparisonCause
    text: str  # one line, safe to print


def comparison_lines(comparison: Comparison) -> Iterator[str]:
    """Yield the warnings of the comparison, then those of each side's captures, one printable line each."""
    yield from (warning.text for warning in comparison_warnings(comparison))
    for aggregate in (comparison.before, comparison.after):
        yield from warning_lines(aggregate, named=True)


def comparison_warnings(comparison: Comparison) -> list[ComparisonWarning]:
    """Return the warnings about differences between the recordings of both sides."""
    return [
        *_first_bytes(comparison),
        *_thresholds(comparison),
        *_filters(comparison),
        *_length(comparison),
        *_hosts(comparison),
        *_stacks(comparison),
    ]


def _captures(comparison: Comparison) -> Sequence[Facts]:
    return (*comparison.before.captures, *comparison.after.captures)


def _first_bytes(comparison: Comparison) -> Iterator[ComparisonWarning]:
    if len({facts.judged_whole for facts in _captures(comparison)}) > 1:
        text = (
            "some captures are of an older recorder, which judged calls by their first byte: only the durations to the "
            "first byte are compared"
        )
        yield ComparisonWarning(ComparisonCause.FIRST_BYTES, text)


def _thresholds(comparison: Comparison) -> Iterator[ComparisonWarning]:
    recorded = sorted({facts.threshold_ns for facts in _captures(comparison)})
    floors = sorted({facts.floor_ns for facts in _captures(comparison)})
    recorded_with = f"recorded with thresholds of {' and '.join(map(exact_ms, recorded))} ms"
    if len(floors) > 1:
        text = (
            f"{recorded_with}: calls from {exact_ms(floors[0])} to {exact_ms(floors[-1])} ms are in only some "
            f"of the captures, so they look new or gone; compare with -t {exact_ms(floors[-1])}"
        )
        yield ComparisonWarning(ComparisonCause.THRESHOLDS, text)
    elif len(recorded) > 1 and floors == recorded[-1:]:
        yield ComparisonWarning(
            ComparisonCause.THRESHOLDS, f"{recorded_with}: only calls of {exact_ms(floors[0])} ms or more are compared"
        )


def _filters(comparison: Comparison) -> Iterator[ComparisonWarning]:
    sides = (comparison.before, comparison.after)
    before, after = ({facts.names for facts in side.captures} for side in sides)
    if len(before | after) > 1:
        text = (
            f"the two sides recorded different processes (before: {_names(before)}; after: {_names(after)}): a process "
            "that only one side recorded looks new or gone; compare what both have with -p"
        )
        yield ComparisonWarning(ComparisonCause.FILTERS, text)


def _length(comparison: Comparison) -> Iterator[ComparisonWarning]:
    unknown = [facts.file for facts in _captures(comparison) if not facts.length_ns]
    if unknown:
        text = (
            f"the length of the recording is not known for {', '.join(unknown)}: calls and time are totals, not per "
            "second, so the longer recording has more of both"
        )
        yield ComparisonWarning(ComparisonCause.LENGTH, text)


def _hosts(comparison: Comparison) -> Iterator[ComparisonWarning]:
    before, after = comparison.before.hosts, comparison.after.hosts
    if before != after:
        names = f"before: {', '.join(before)}; after: {', '.join(after)}"
        text = f"the two sides are of different hosts ({names}): differences between hosts look like changes"
        yield ComparisonWarning(ComparisonCause.HOSTS, text)


def _stacks(comparison: Comparison) -> Iterator[ComparisonWarning]:
    naming = [aggregate.naming for aggregate in (comparison.before, comparison.after)]
    before, after = (bool(one.incomplete[Incomplete.AS_RECORDED]) for one in naming)
    if before != after and all(one.traces for one in naming):
        side = "before" if before else "after"
        text = f"recorded with --stack fp {side} only: stacks of the same code differ, so they look new or gone"
        yield ComparisonWarning(ComparisonCause.STACKS, text)


def _names(filters: set[tuple[str, ...]]) -> str:
    return " or ".join(sorted(", ".join(names) or "all" for names in filters))
