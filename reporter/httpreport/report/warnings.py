"""Make the warnings of a report: each says what a reader could otherwise believe wrongly, and what follows from it."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass

from httpcapture import Meta
from httpcapture.durations import duration_text

from ..calls.call import iso_time
from ..calls.filters import Selection, covered, exact_ms
from ..calls.totals import Totals
from ..capture.loader import FULL
from ..capture.recording import Recording
from ..common.printable import host, printable
from .loss_messages import losses

NAMES_LISTED = 20


class Cause(enum.Enum):
    """Name the subject of a warning, in the order in which warnings are printed. The value is its name in JSON."""

    PART = "part"
    CUT_OFF = "cut_off"
    LOST = "lost"
    DAMAGE = "damage"
    LIMIT = "limit"
    FIELDS = "fields"
    SLEPT = "slept"
    THRESHOLD = "threshold"
    FIRST_BYTE = "first_byte"
    FILTER = "filter"
    NOTHING_KEPT = "nothing_kept"
    NOT_LISTED = "not_listed"
    PYTHON = "python"
    REDACTED = "redacted"
    BINARIES = "binaries"


@dataclass(frozen=True)
class ReportWarning:
    """Describe one warning."""

    cause: Cause
    text: str  # one line, safe to print


def warnings_of(recording: Recording, selection: Selection) -> list[ReportWarning]:
    """Return every warning that the reader needs before the first call."""
    return [
        *_part(recording),
        *data_warnings(recording),
        *_slept(recording),
        *selection_warnings(recording.meta, selection),
        *_nothing_kept(recording, selection),
        *_not_listed(recording),
        *_whose(recording),
        *_python(recording),
        *_redacted(recording),
    ]


def selection_warnings(meta: Meta, selection: Selection) -> list[ReportWarning]:
    """Return the warnings that calls which are asked for were not recorded."""
    return [*_threshold(meta, selection), *_judged_by_first_byte(meta, selection), *_filter(meta, selection)]


def data_warnings(recording: Recording) -> list[ReportWarning]:
    """Return the warnings about data that was lost, cut off, damaged or not read."""
    faults = recording.faults
    return [
        *cut_off_warnings(recording),
        *(ReportWarning(Cause.CUT_OFF, line) for line in faults.missing()),
        *(ReportWarning(Cause.LOST, line) for line in losses(recording.lost, times_of_losses(recording))),
        *(ReportWarning(Cause.DAMAGE, line) for line in faults.damage()),
        *_damaged_stacks(recording),
        *(ReportWarning(Cause.LIMIT, line) for line in faults.beyond_limits()),
        *(ReportWarning(Cause.FIELDS, line) for line in recording.unknown_fields),
    ]


def incomplete(recording: Recording) -> bool:
    """Return whether data was lost, cut off, damaged or not read. --strict refuses such captures."""
    return bool(data_warnings(recording))


def cut_off_warnings(recording: Recording) -> list[ReportWarning]:
    """Return the warning that the end of the recording is missing, if it is."""
    end = recording.end
    if recording.cut_off == FULL:
        return [ReportWarning(Cause.CUT_OFF, f"{FULL}: calls after the first {recording.recorded:,} are missing")]
    if recording.cut_off is not None or end is None:
        return [cut_off(recording.cut_off or "its end is missing")]
    if not end.clean:
        text = f"the recorder could not finish ({printable(end.reason)}): the last calls may be missing"
        return [ReportWarning(Cause.CUT_OFF, text)]
    return []


def cut_off(why: str) -> ReportWarning:
    """Return the warning that a capture could not be read to its end."""
    return ReportWarning(
        Cause.CUT_OFF, f"the capture is cut off ({printable(why)}): calls after that point are missing"
    )


def _part(recording: Recording) -> list[ReportWarning]:
    number = recording.meta.part
    text = missing_parts_warning(number, number, another_part_follows(recording))
    return [ReportWarning(Cause.PART, text)] if text else []


def another_part_follows(recording: Recording) -> bool:
    """Return whether another part follows (format/FORMAT.md, Parts of a recording)."""
    return recording.end is not None and recording.end.reason == "rotated"


def missing_parts_warning(first: int, last: int, another_follows: bool) -> str | None:
    """Return a warning if the recording has earlier or later parts than the given ones, else None."""
    others = [*(["earlier"] if first > 1 else []), *(["later"] if another_follows else [])]
    if not others:
        return None
    return f"only {part_numbers(first, last)} of the recording: calls of {' and '.join(others)} parts are missing here"


def part_numbers(first: int, last: int) -> str:
    """Return the numbers of parts as text."""
    return f"part {first:,}" if first == last else f"parts {first:,} to {last:,}"


def times_of_losses(recording: Recording) -> dict[str, str]:
    """Return when losses were counted, by cause."""
    spans = recording.lost_between.items()
    return {cause: to_the_second(*(iso_time(recording.meta, at_ns) for at_ns in span)) for cause, span in spans}


def to_the_second(first: str, last: str) -> str:
    """Return the span between two ISO 8601 times (UTC), to the second: the recorder reads its counters once a
    second."""
    first, last = (time[: len("2026-11-22T19:06:48")] for time in (first, last))
    return f"{first} UTC" if first == last else f"{first} to {last} UTC"


def _damaged_stacks(recording: Recording) -> list[ReportWarning]:
    if recording.stacks.damage is None:
        return []
    text = f"stacks that cannot be read ({printable(recording.stacks.damage)}): some calls have no stack trace"
    return [ReportWarning(Cause.DAMAGE, text)]


def _slept(recording: Recording) -> list[ReportWarning]:
    if recording.end is None or not recording.end.slept_ns:
        return []
    text = (
        f"the host was suspended for {duration_text(recording.end.slept_ns)} during this recording: durations do not "
        "include this time, and times of day after it are too early by as much"
    )
    return [ReportWarning(Cause.SLEPT, text)]


def _threshold(meta: Meta, selection: Selection) -> list[ReportWarning]:
    floor = meta.threshold_ns
    if selection.threshold_ns >= floor:
        return []
    text = (
        f"-t {exact_ms(selection.threshold_ns)} is below the capture's threshold of {exact_ms(floor)} ms: "
        f"calls shorter than {exact_ms(floor)} ms are not listed: they were recorded without stacks and what they ask "
        "for, or not at all"
    )
    return [ReportWarning(Cause.THRESHOLD, text)]


def _judged_by_first_byte(meta: Meta, selection: Selection) -> list[ReportWarning]:
    """Return the warning that the recorder left out calls by their first byte, which the report does not."""
    if meta.duration_rule or not meta.threshold_ns or selection.first_byte:
        return []
    text = (
        f"an older recorder kept only calls of {exact_ms(meta.threshold_ns)} ms to the first byte: calls with a fast "
        "first byte and a slow response may be missing; --first-byte judges all calls by their first byte"
    )
    return [ReportWarning(Cause.FIRST_BYTE, text)]


def _filter(meta: Meta, selection: Selection) -> list[ReportWarning]:
    filters = tuple(meta.process_filters)
    missing = [printable(name) for name in selection.names if filters and not covered(name, filters)]
    if not missing:
        return []
    recorded = ", ".join(map(printable, filters))
    what = f"-p {', '.join(missing)} is outside the capture's own filter ({recorded})"
    text = f"{what}: calls of other processes were not recorded and are missing here"
    return [ReportWarning(Cause.FILTER, text)]


def _nothing_kept(recording: Recording, selection: Selection) -> list[ReportWarning]:
    if recording.kept or recording.available.unreached_ns is not None:
        return []
    if not recording.recorded:
        return [ReportWarning(Cause.NOTHING_KEPT, "the capture holds no call")]
    lists = [f"{what} in the capture: {listed(values)}" for what, values in recording.available.values().items()]
    if selection.filters.since or selection.filters.until:
        first, last = (
            iso_time(recording.meta, ns) for ns in (recording.available.first_ns, recording.available.last_ns)
        )
        lists.append(f"calls in the capture began from {first} to {last}")
    if selection.filters.hosts:
        lists.append(f"it was recorded on {host(recording.meta.host)}")
    floor = recording.meta.threshold_ns
    only = f", which has only calls of at least {exact_ms(floor)} ms" if floor else ""
    text = f"no {selection.subject} is in the capture{only}; {'; '.join(lists)}"
    return [ReportWarning(Cause.NOTHING_KEPT, text)]


def listed(values: Mapping[str, Totals]) -> str:
    """Return the values with the most calls, as text."""
    busiest = sorted(values.items(), key=lambda item: (-item[1].calls, item[0]))
    texts = [f"{text} ({totals.calls:,}, slowest {duration_text(totals.slowest_ns)})" for text, totals in busiest]
    more = f", and {len(texts) - NAMES_LISTED:,} more" if len(texts) > NAMES_LISTED else ""
    return ", ".join(texts[:NAMES_LISTED]) + more


def _not_listed(recording: Recording) -> list[ReportWarning]:
    """Return the warning that only the longest calls are listed one by one."""
    listed = len(recording.listed)
    if listed == recording.kept:
        return []
    text = (
        f"only the {listed:,} longest of {recording.kept:,} calls are listed one by one: "
        "totals and stacks include all of them; to list others, use a higher -t or a narrower -p"
    )
    return [ReportWarning(Cause.NOT_LISTED, text)]


def _whose(recording: Recording) -> list[ReportWarning]:
    """Return the warning that it is not known whose calls some were, so that they are in no self time."""
    count = recording.unlisted.without_process
    text = f"of {count:,} calls below the threshold it is not known whose they were: self times may hold what they took"
    return [ReportWarning(Cause.LIMIT, text)] if count else []


def _python(recording: Recording) -> list[ReportWarning]:
    """Return the warning that the recorder could not follow the frames of interpreters."""
    reason = printable(recording.meta.python_problem)
    text = f"the recorder could not follow frames of Python and PHP, so stack traces have native frames only: {reason}"
    return [ReportWarning(Cause.PYTHON, text)] if reason else []


def _redacted(recording: Recording) -> list[ReportWarning]:
    by = printable(recording.meta.redacted)
    text = (
        f"the capture was redacted by {by}: its host name, IP addresses and folders are made up, except loopback "
        "addresses and system folders"
    )
    return [ReportWarning(Cause.REDACTED, text)] if by else []
