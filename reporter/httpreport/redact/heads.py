"""Redact the heads of requests and responses: of each, the first line stays, without what the request asked for."""

from __future__ import annotations

import re

from httpcapture import HeadText

_METHOD = re.compile(rb"[A-Z]{1,15}")  # a method that begins a call is in capitals
_VERSION = re.compile(rb"HTTP/[0-9](\.[0-9])?")
_STATUS = re.compile(rb"[0-9]{3}")
_UNKNOWN = b"?"


def redacted_head(head: HeadText) -> HeadText:
    """Return the head with `METHOD ? VERSION` or `VERSION STATUS` only, and with `?` for what is none of these."""
    words = head.text.split(b"\n", 1)[0].split(b" ")
    if len(words) == 2:
        return HeadText(head.number, b" ".join((_of(_VERSION, words[0]), _of(_STATUS, words[1]))))
    return HeadText(head.number, b" ".join((_of(_METHOD, words[0]), _UNKNOWN, _of(_VERSION, words[-1]))))


def _of(form: re.Pattern[bytes], word: bytes) -> bytes:
    return word if form.fullmatch(word) else _UNKNOWN
