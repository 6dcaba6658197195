"""Put the captures of one recording together: a `RecordedRun` is a recording, made of the parts of it that were given.

Parts belong together if their host, boot and run in META are equal. Their losses are added up, a warning that several
parts share is reported once, and gaps between parts are reported with their times.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from httpcapture import Meta

from ..common.printable import printable
from .loss_messages import SPARE_CALLS, losses
from .warnings import Cause, ReportWarning, missing_parts_warning, part_numbers, to_the_second

CALLS_MISSING = {Cause.CUT_OFF, Cause.DAMAGE, Cause.LIMIT, Cause.FIELDS}  # apart from losses


@dataclass(frozen=True)
class Facts:
    """Hold the facts about one capture that outputs show. All texts are safe to print."""

    file: str
    host: str
    system: str
    tool: str
    run: tuple[str, ...]  # the identity of the recording: recording_of
    part: int
    another_part_follows: bool  # the recording goes on in another part
    started: str  # ISO 8601, UTC
    started_realtime_ns: int  # the same in ns since 1970
    ended: str | None  # ISO 8601, UTC; None if END is missing
    qualities: str  # Selection.qualities
    first_byte: bool  # the report judges calls by their first byte
    judged_whole: bool  # the recorder judged calls by their whole duration
    asked_ns: int  # the threshold of the selection
    subject: str  # Selection.subject
    of_host: bool  # Selection.of_host
    recorded: int
    below: int | None  # calls below the threshold that the capture has, None if they were counted only
    kept: int
    not_known: int  # calls that were left out because what a filter asks for is not known of them
    unreached_ns: int | None  # of the slowest call that only -t excludes; None if there is none, or a call is kept
    listed: int
    both_ends: int  # calls that were recorded at both ends: kept has each twice
    both_ends_ns: int  # how long the server's ends of these took together
    lost: Mapping[str, int]
    lost_between: Mapping[str, tuple[str, str]]  # by cause: when its count first and last rose; ISO 8601, UTC
    complete: bool  # nothing was lost or cut off
    warnings: tuple[ReportWarning, ...]
    threshold_ns: int  # the recorder's
    floor_ns: int  # every call of at least this duration was recorded and asked for
    names: tuple[str, ...]  # -p of the report, else the recorder's; empty: all processes
    has_heads: bool  # the capture has heads of requests or responses
    length_ns: int | None  # length of the selected part of the recording; None if END is missing

    @property
    def hidden_ns(self) -> int:
        """Return how long calls may have been that were made for those in the report, and are not known; 0: none."""
        has_all = self.complete and (self.below is not None or not self.threshold_ns)
        return 0 if has_all else self.floor_ns

    @property
    def selection(self) -> str:
        """Return which calls are selected, as text."""
        return f"calls {self.qualities}" if self.qualities else "all calls"

    @property
    def has_no_losses(self) -> bool:
        """Return whether the recorder counted to the end and lost nothing."""
        return self.ended is not None and not self.lost

    @property
    def has_all_calls(self) -> bool:
        """Return whether no call is missing or damaged that began during the recording and was slow enough."""
        causes = {warning.cause for warning in self.warnings}
        judged_alike = self.judged_whole or not self.threshold_ns
        return judged_alike and not causes & CALLS_MISSING and self.lost.keys() <= SPARE_CALLS

    @property
    def some_pass(self) -> bool:
        """Return whether a call passes the filters, however long it took."""
        return self.kept > 0 or self.unreached_ns is not None


def recording_of(meta: Meta, path: str) -> tuple[str, ...]:
    """Return the identity of a recording, equal for all its parts. All texts are safe to print."""
    host = printable(meta.host)
    return (host, printable(meta.boot_id), printable(meta.run)) if meta.run else (host, printable(path))


@dataclass(frozen=True)
class RecordedRun:
    """Describe one recording. It has at least one part; parts are sorted by number."""

    parts: tuple[Facts, ...]

    @property
    def first(self) -> Facts:
        """Return the first part."""
        return self.parts[0]

    @property
    def file(self) -> str:
        """Return how warnings name the recording: its file, or the first and last of its files."""
        others = f" to {os.path.basename(self.parts[-1].file)}" if len(self.parts) > 1 else ""
        return self.first.file + others

    @property
    def complete(self) -> bool:
        """Return whether nothing was lost or cut off in any part, and no part between them is missing."""
        return all(facts.complete for facts in self.parts) and not self._gaps

    @property
    def has_all_calls(self) -> bool:
        """Return whether no part has lost calls, and none between them is missing."""
        return all(facts.has_all_calls for facts in self.parts) and not self._gaps

    def warnings(self) -> Iterator[tuple[str, str]]:
        """Yield each warning with the file or files that it is about."""
        for cause in Cause:
            if cause is Cause.LOST:
                yield from ((self.file, line) for line in self._losses())
            elif cause is Cause.PART:
                yield from ((self.file, line) for line in self._missing())
            elif cause is not Cause.NOTHING_KEPT or not any(
                facts.some_pass or not facts.of_host for facts in self.parts
            ):
                yield from self._warnings_of(cause)

    @property
    def _has_reason(self) -> bool:
        """Return whether no call is kept because of the threshold or the host, or one is kept."""
        return any(facts.some_pass or not facts.of_host for facts in self.parts)

    def _losses(self) -> list[str]:
        counts: Counter[str] = sum((Counter(facts.lost) for facts in self.parts), Counter())
        spans = [item for facts in self.parts for item in facts.lost_between.items()]
        seen = {}
        for cause in counts:
            times = [time for name, span in spans if name == cause for time in span]
            seen[cause] = to_the_second(min(times), max(times))
        return losses(counts, seen)

    def _missing(self) -> Iterator[str]:
        last = self.parts[-1]
        outside = missing_parts_warning(self.first.part, last.part, last.another_part_follows)
        if outside:
            yield outside
        for before, after in self._gaps:
            which = part_numbers(before.part + 1, after.part - 1)
            since = to_the_second(before.ended or before.started, after.started)
            yield f"the given files lack {which}: calls of {since} are missing in all figures"
        for number, files in self._files.items():
            if len(files) > 1:
                yield f"part {number} was given {len(files)} times ({', '.join(files)}): its calls are counted as often"

    @cached_property
    def _gaps(self) -> list[tuple[Facts, Facts]]:
        return [(one, next) for one, next in zip(self.parts, self.parts[1:]) if next.part > one.part + 1]

    @property
    def _files(self) -> Mapping[int, list[str]]:
        files: dict[int, list[str]] = {}
        for facts in self.parts:
            files.setdefault(facts.part, []).append(facts.file)
        return files

    def _warnings_of(self, cause: Cause) -> Iterator[tuple[str, str]]:
        """Yield a warning that several parts share once, with all their files."""
        files_of: dict[str, list[str]] = {}
        for facts in self.parts:
            for warning in facts.warnings:
                if warning.cause is cause:
                    files_of.setdefault(warning.text, []).append(facts.file)
        return ((files[0] if len(files) == 1 else self.file, text) for text, files in files_of.items())


def runs_of(captures: Iterable[Facts]) -> list[RecordedRun]:
    """Return the recordings that the captures belong to, in the order of their first parts."""
    parts: dict[tuple[str, ...], list[Facts]] = {}
    for facts in captures:
        parts.setdefault(facts.run, []).append(facts)
    runs = [RecordedRun(tuple(sorted(of_run, key=lambda facts: (facts.part, facts.file)))) for of_run in parts.values()]
    return sorted(runs, key=lambda run: (run.first.host, run.first.started, run.file))
