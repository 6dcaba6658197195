"""Say in one line where and when was recorded."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from ..calls.call import iso_since_1970
from .aggregate import Aggregate
from .headline import where

_DAY, _CLOCK = "%-d %b %Y", "%H:%M:%S"


def place_and_time(whole: Aggregate) -> str:
    """Return the hosts and the span of all recordings: `web-1, 29 Nov 2026, 13:50:00 to 14:10:00 UTC`."""
    starts, ends = (list(map(moment, texts)) for texts in zip(*((one.started, one.ended) for one in whole.captures)))
    return f"{where(whole)}, {_span(starts, ends)}"


def _span(starts: Sequence[datetime | None], ends: Sequence[datetime | None]) -> str:
    began, ended = ([each for each in moments if each is not None] for moments in (starts, ends))
    if not began:
        return "at a time that is not known"
    first = min(began)
    since = f"{first:{_DAY}}, {first:{_CLOCK}}"
    if len(ended) < len(ends):
        return f"from {since} UTC to a time that is not known"
    last = max(ended)
    return f"{since} to {'' if last.date() == first.date() else f'{last:{_DAY}}, '}{last:{_CLOCK}} UTC"


def moment_text(ns: int) -> str:
    """Return a time in ns since 1970 as text: `29 Nov 2026, 14:00:12 UTC`."""
    at = moment(iso_since_1970(ns))
    return f"{at:{_DAY}, {_CLOCK}} UTC" if at else "a time that is not known"


def moment(iso_time: str | None) -> datetime | None:
    """Return an ISO 8601 time, or None if it is none (call.iso_time)."""
    try:
        return datetime.fromisoformat(iso_time or "")
    except ValueError:
        return None
