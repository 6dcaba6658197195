"""Make the summary of a comparison and the texts about changes that several outputs use."""

from __future__ import annotations

from collections.abc import Iterator

from httpcapture.durations import duration_text

from ..calls.totals import Totals
from ..common.printable import comm
from ..compare.changes import Comparison
from ..report.aggregate import Aggregate
from ..report.headline import kept, not_known
from ..report.unreached import unreached

NAMES_LISTED = 10
NEW, GONE = "new", "gone"
SHADES = (0.05, 0.2, 0.5)
"""The changes, as parts of the larger side, from which on a picture has another shade."""


def summary(comparison: Comparison) -> Iterator[str]:
    """Yield the lines of the summary: what was compared, the time waited, and which processes and stacks one side
    lacks."""
    for word, side in (("before", comparison.before), ("after", comparison.after)):
        yield f"{word}: {_side(side)}"
        sentences = (*not_known(side.captures), *unreached(side.captures))
        yield from (f"{word}: {sentence}" for sentence in sentences)
    yield f"time waited: {times(comparison, *total(comparison))}"
    yield _processes(comparison)
    yield _stacks(comparison)


def relative(before: float, after: float) -> str:
    """Return a change in percent, or NEW or GONE if one side is zero."""
    if not (before and after):
        return NEW if after else GONE if before else "0.0%"
    text = f"{(after - before) / before:+,.1%}"
    return text if text.strip("+-") != "0.0%" else "0.0%"


def shade(before: int, after: int) -> int:
    """Return how many of SHADES a change reaches; negative if the value became smaller."""
    change = (after - before) / max(before, after, 1)
    reached = sum(abs(change) >= least for least in SHADES)
    return reached if change > 0 else -reached


def per_second(amount: float, length_ns: int) -> float:
    """Return an amount per second of recording."""
    return amount * 1e9 / length_ns


def rate(comparison: Comparison) -> float:
    """Return what one scaled nanosecond is shown as: ns per second of recording if the lengths are known, else 1."""
    return per_second(1, comparison.lengths.after_ns) if comparison.lengths else 1


def each(comparison: Comparison) -> str:
    """Return the unit that follows a time: `/s` if times are per second of recording, else nothing."""
    return "/s" if comparison.lengths else ""


def waited(comparison: Comparison, scaled_ns: int) -> str:
    """Return a time as text: `399 ms/s`, or `8.2 s` if it is a total. A time before must be scaled."""
    return duration_text(round(scaled_ns * rate(comparison))) + each(comparison)


def waited_more(comparison: Comparison, added_ns: int) -> str:
    """Return by how much a time changed, with its sign."""
    sign = "-" if added_ns < 0 else "+" if added_ns > 0 else ""
    return sign + waited(comparison, abs(added_ns))


def time_range(least: str, most: str) -> str:
    """Return the text of a time that is known as a range."""
    return most if least == most else f"{least} to {most}"


def times(comparison: Comparison, before: Totals, after: Totals) -> str:
    """Return the time waited before and after, as text."""
    scaled = comparison.scaled(before.time_ns)
    first, second = (waited(comparison, time_ns) for time_ns in (scaled, after.time_ns))
    return f"{first} before, {second} after ({relative(scaled, after.time_ns)})"


def side_name(aggregate: Aggregate) -> str:
    """Return how texts name a side: its file, or the number of its captures."""
    captures = aggregate.captures
    return captures[0].file if len(captures) == 1 else f"{len(captures):,} captures"


def _side(aggregate: Aggregate) -> str:
    captures = aggregate.captures
    known = [facts.length_ns for facts in captures if facts.length_ns]
    length = duration_text(sum(known)) if len(known) == len(captures) else "for an unknown time"
    started = min(facts.started for facts in captures)
    return f"{side_name(aggregate)}: {kept(captures)}, {length} on {', '.join(aggregate.hosts)} from {started}"


def total(comparison: Comparison) -> tuple[Totals, Totals]:
    """Return the totals of all calls before and after."""
    return (
        sum((stack.before for stack in comparison.stacks), Totals()),
        sum((stack.after for stack in comparison.stacks), Totals()),
    )


def _processes(comparison: Comparison) -> str:
    before, after = (
        {comm(change.peer.process) for change in comparison.peers if change.totals[side].calls} for side in (0, 1)
    )
    texts = [f"{word} {_listed(names)}" for word, names in ((NEW, after - before), (GONE, before - after)) if names]
    return f"processes: {'; '.join(texts) or 'the same'}"


def _listed(names: set[str]) -> str:
    more = f", and {len(names) - NAMES_LISTED:,} more" if len(names) > NAMES_LISTED else ""
    return ", ".join(sorted(names)[:NAMES_LISTED]) + more


def _stacks(comparison: Comparison) -> str:
    """Return in one line how well the stacks of both sides match."""
    both = [stack for stack in comparison.stacks if stack.before.calls and stack.after.calls]
    new = sum(not stack.before.calls for stack in comparison.stacks)
    gone = sum(not stack.after.calls for stack in comparison.stacks)
    known = (sum(stack.totals[side].time_ns for stack in both) for side in (0, 1))
    shares = [f"{part / max(whole.time_ns, 1):.0%}" for part, whole in zip(known, total(comparison))]
    return (
        f"stacks: {len(both):,} in both recordings ({shares[0]} of the time before, {shares[1]} after), "
        f"{new:,} {NEW}, {gone:,} {GONE}"
    )
