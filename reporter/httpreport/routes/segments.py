"""Recognise segments of a path that are values: numbers, UUIDs, hexadecimal numbers, dates and e-mail addresses.

A segment that is a word, which has letters and the marks between them but no digit, is never one of them.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple


class SegmentType(NamedTuple):
    """Describe one type of values."""

    placeholder: str  # what stands for a value in a route
    meaning: str  # as a noun with its article
    form: re.Pattern[str]


_DATE = r"[0-9]{4}-(?:0[1-9]|1[0-2])(?:-(?:0[1-9]|[12][0-9]|3[01])(?:[Tt_ ].*)?)?"
TYPES = (
    SegmentType("{n}", "a number", re.compile(r"[0-9]+")),
    SegmentType("{uuid}", "a UUID", re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")),
    SegmentType("{date}", "a date", re.compile(_DATE)),
    SegmentType("{hex}", "a hexadecimal number", re.compile(r"(?=[a-fA-F]*[0-9])[0-9a-fA-F]{8,}")),
    SegmentType("{email}", "an e-mail address", re.compile(r"[^@%]+(?:@|%40)[^@%]+\.[a-zA-Z]{2,}")),
)
"""The types, in the order in which they are tried. `{hex}` is RFC 9562's UUID without hyphens too, and a hash."""

TOKEN = "{...}"
"""What the recorder writes for a segment that looked like a secret."""

_SUFFIX = re.compile(r"(.+?)(\.[a-z][a-z0-9]{1,4}|:[a-zA-Z]+)")  # 17.json, 17:cancel
_WORD = re.compile(r"[-_.~]*[^\W\d_](?:[^\W\d]|[-.~])*")


@lru_cache(maxsize=1 << 16)
def typed(segment: str) -> str:
    """Return the segment with a value replaced by the placeholder of its type: `17` becomes `{n}`, `17.json` becomes
    `{n}.json`."""
    kind = _type_of(segment)
    if kind is not None:
        return kind.placeholder
    parts = _SUFFIX.fullmatch(segment)
    kind = _type_of(parts[1]) if parts else None
    return kind.placeholder + parts[2] if kind is not None and parts else segment


def is_word(segment: str) -> bool:
    """Return whether a segment consists of letters, of any script, and of `-`, `_`, `.` and `~`."""
    return _WORD.fullmatch(segment) is not None


def is_variable(segment: str) -> bool:
    """Return whether a segment of a route stands for several values."""
    return segment.startswith("{") and "}" in segment


def _type_of(text: str) -> SegmentType | None:
    return next((kind for kind in TYPES if kind.form.fullmatch(text)), None)
