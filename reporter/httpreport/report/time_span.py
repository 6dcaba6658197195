"""Say in one line where and when was recorded."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from .aggregate import Aggregate
from .headline import where

_DAY, _CLOCK = "%-d %b %Y", "%H:%M:%S"


def place_and_time(whole: Aggregate) -> str:
    """Return the hosts and the span of all recordings: `web-1, 29 Nov 2026, 13:50:00 to 14:10:00 UTC`."""
    starts, ends = (list(map(_moment, texts)) for texts in zip(*((one.started, one.ended) for one in whole.captures)))
    return f"{where(whole)}, {_span(starts, ends)}"


def _span(starts: Sequence[datetime | None], ends: Sequence[datetime | None]) -> str:
    began, ended = ([moment for moment in moments if moment is not None] for moments in (starts, ends))
    if not began:
        return "at a time that is not known"
    first = min(began)
    since = f"{first:{_DAY}}, {first:{_CLOCK}}"
    if len(ended) < len(ends):
        return f"from {since} UTC to a time that is not known"
    last = max(ended)
    return f"{since} to {'' if last.date() == first.date() else f'{last:{_DAY}}, '}{last:{_CLOCK}} UTC"


def _moment(iso_time: str | None) -> datetime | None:
    """Return an ISO 8601 time, or None if it is none (call.iso_time)."""
    try:
        return datetime.fromisoformat(iso_time or "")
    except ValueError:
        return None
