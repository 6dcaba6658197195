"""Define a `TimeOption`: a time given on the command line, on the wall clock or relative to the start of a capture.

+30s  +5m  +1.5h  +250ms      after the start of the capture, or of the first part of a recording
2026-11-22T19:06:48           on the wall clock, in UTC unless a zone is given (Z, +01:00); seconds may have a fraction
19:06:48                      on the wall clock of the day of that start, in UTC; 19:06 too
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone

from httpcapture import Meta

_UNITS = {"ms": 1_000_000, "s": 1_000_000_000, "m": 60_000_000_000, "h": 3_600_000_000_000}
_AFTER_START = re.compile(r"\+([0-9]{1,12}(?:\.[0-9]{1,9})?)(ms|s|m|h)", re.ASCII)
_TIME_OF_DAY = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])(?::([0-5][0-9](?:\.[0-9]{1,6})?))?", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_DAY_NS = 24 * _UNITS["h"]


@dataclass(frozen=True)
class TimeOption:
    """Hold a time as ns from the start of the capture, since 1970, since midnight (UTC) of the day on which the capture
    began, or on CLOCK_MONOTONIC of its host."""

    text: str  # as it was given
    ns: int
    since: str  # "start", "epoch", "midnight" or "boot"

    def on(self, meta: Meta) -> int:
        """Return the time on CLOCK_MONOTONIC of a capture's host, by the two clocks in META. It may be negative."""
        if self.since == "boot":
            return self.ns
        if self.since == "start":
            return meta.started_monotonic_ns + self.ns
        return self._since_1970_ns(meta) - meta.started_realtime_ns + meta.started_monotonic_ns

    def fixed(self, meta: Meta) -> TimeOption:
        """Return the time in a form that means the same in all parts of a recording. `meta` is of its first part."""
        if self.since in ("start", "boot"):
            return replace(self, ns=self.on(meta), since="boot")
        return replace(self, ns=self._since_1970_ns(meta), since="epoch")

    def _since_1970_ns(self, meta: Meta) -> int:
        midnight = meta.started_realtime_ns // _DAY_NS * _DAY_NS if self.since == "midnight" else 0
        return midnight + self.ns


def parse(text: str) -> TimeOption:
    """Parse a time as given on the command line. Raises ValueError."""
    after = _AFTER_START.fullmatch(text)
    if after:
        return TimeOption(text, round(float(after[1]) * _UNITS[after[2]]), "start")
    of_day = _TIME_OF_DAY.fullmatch(text)
    if of_day:
        hours, minutes, seconds = int(of_day[1]), int(of_day[2]), float(of_day[3] or 0)
        return TimeOption(text, hours * _UNITS["h"] + minutes * _UNITS["m"] + round(seconds * _UNITS["s"]), "midnight")
    parsed = datetime.fromisoformat(re.sub(r"[Zz]$", "+00:00", text))  # Python knows Z from 3.11 on
    if parsed.tzinfo is None:
        parsed = parsed.replace(tzinfo=timezone.utc)
    return TimeOption(text, (parsed - _EPOCH) // timedelta(microseconds=1) * 1000, "epoch")
