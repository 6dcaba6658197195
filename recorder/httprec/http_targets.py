"""Reduce what HTTP/1 requests ask for (RFC 9112, 3.2) to what a capture may have of it.

A path may hold secrets too, such as the token of a link that resets a password. So a segment stays only if it consists
of words and short numbers, as names that people give do.
"""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

QUERIES = ("hidden", "names", "full")
"""What may be kept of a query, beginning with the default: that there is one; names; all of it."""
PATHS = ("redacted", "full")
"""What may be kept of a path, beginning with the default: all but what looks like a token; all of it."""
UNKNOWN = b"?"
"""Stands for what is not known."""

_HIDDEN = b"..."
_HIDDEN_SEGMENT = b"{...}"
_ABSOLUTE = re.compile(rb"([A-Za-z][A-Za-z0-9+.-]{0,15}://)(?:[^/?#]*@)?([0-9A-Za-z._:\[\]-]{1,255})(?=[/?#]|\Z)")
_AUTHORITY = re.compile(rb"(?:[^/?#]*@)?([0-9A-Za-z._:\[\]-]{1,255})")
_VISIBLE = re.compile(rb"[!-~]*")
_SEPARATORS = re.compile(r"[-_.~+:,()$!'* ]+")
_PARTS = re.compile("[A-Za-z]+|[0-9]+")
_HUMPS = re.compile("[A-Z]?[a-z]+|[A-Z]+")
_UUID = re.compile("[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_MOST_SEGMENT = 128  # bytes; a longer one is no name
_SHORT_WORD = 12  # letters; a longer one must be as words are
_LEAST_HUMP = 2.6  # letters that the words in a name such as SecretManagerService have on average
_FEW_HUMPS = 3
_CONSONANTS = re.compile("[b-df-hj-np-tv-xz]{5}", re.IGNORECASE)  # more in a row than words have
_VOWELS = re.compile("[aeiouy]", re.IGNORECASE)
_LEAST_VOWELS = 0.28  # of the letters of a long word
_LONG_SEGMENT = 20  # bytes
_MOST_DIGITS = 14  # as in a time: 20261130104500
_MOST_MIXED = 11  # letters and digits in pieces that have both
_MOST_MIXED_OF_LONG = 4  # the same in a long segment


def redact_target(method: bytes, target: bytes, query: str, path: str, *, is_cut: bool) -> bytes:
    """Return what is kept of a target: of its query one of QUERIES, of its path one of PATHS. If it `is_cut`, its end
    is missing. User names and passwords never stay."""
    if target == UNKNOWN or not _VISIBLE.fullmatch(target):
        return UNKNOWN
    if method == b"CONNECT":
        authority = _AUTHORITY.fullmatch(target)
        return authority[1] if authority and not is_cut else UNKNOWN
    origin = b""
    absolute = _ABSOLUTE.match(target)
    if absolute:
        origin, target = absolute[1] + absolute[2], target[absolute.end() :]
    if not target.startswith((b"/", b"?")) and not (absolute and not target and not is_cut):
        return target if target == b"*" and not is_cut else UNKNOWN
    asked, mark, rest = target.partition(b"#")[0].partition(b"?")
    if is_cut and not mark:
        return UNKNOWN
    kept = asked if path == PATHS[1] else b"/".join(map(_segment, asked.split(b"/")))
    if is_cut and not rest:
        return origin + kept + mark + _HIDDEN
    return origin + kept + mark * bool(rest) + _query(rest, query, is_cut=is_cut)


def _query(text: bytes, kept: str, *, is_cut: bool) -> bytes:
    if not text or kept == QUERIES[0]:
        return _HIDDEN if text else b""
    pieces = text.split(b"&")
    last = [_HIDDEN] if is_cut else []
    pieces = pieces[:-1] if is_cut else pieces
    return b"&".join([*(pieces if kept == QUERIES[2] else map(_name, pieces)), *last])


def _name(piece: bytes) -> bytes:
    """Return the name in a piece of a query, without its value. A piece without a name may be anything."""
    name, mark, _ = piece.partition(b"=")
    return name + b"=" + _HIDDEN if mark and not looks_like_token(name) else _HIDDEN


def _segment(segment: bytes) -> bytes:
    """Return what is kept of a segment of a path. What follows a semicolon may be the number of a session."""
    name, mark, _ = segment.partition(b";")
    return (_HIDDEN_SEGMENT if looks_like_token(name) else name) + (b";" + _HIDDEN) * bool(mark)


def looks_like_token(segment: bytes) -> bool:
    """Return whether a segment of a path is anything else than words and short numbers, and so perhaps a secret."""
    if len(segment) > _MOST_SEGMENT:
        return True
    text = unquote_to_bytes(segment).decode("latin-1")
    pieces = _SEPARATORS.split(text)
    if _UUID.search(text) or any(piece and not piece.isalnum() for piece in pieces) or not text.isascii():
        return True
    mixed = [piece for piece in pieces if not piece.isalpha() and not piece.isdigit()]
    unlike_words = [piece for piece in mixed if not _ends_in_number(piece)]
    return (
        sum(map(len, unlike_words)) > (_MOST_MIXED_OF_LONG if len(segment) >= _LONG_SEGMENT else _MOST_MIXED)
        or sum(len(piece) for piece in pieces if piece.isdigit()) > _MOST_DIGITS
        or any(not _is_word(part) for piece in pieces for part in _PARTS.findall(piece) if part.isalpha())
    )


def _ends_in_number(piece: str) -> bool:
    """Return whether a piece is a word with a number behind it, as in server01."""
    return len(_PARTS.findall(piece)) == 2 and piece[0].isalpha() and len(piece) - len(piece.rstrip("0123456789")) <= 4


def _is_word(letters: str) -> bool:
    """Return whether letters may be a word, or several as in camelCase."""
    humps = _HUMPS.findall(letters)
    if len(humps) > _FEW_HUMPS and len(letters) < _LEAST_HUMP * len(humps):
        return False
    return all(len(hump) <= _SHORT_WORD or _is_readable(hump) for hump in humps)


def _is_readable(letters: str) -> bool:
    """Return whether many letters may be words without anything between them, as in customresourcedefinitions."""
    return not _CONSONANTS.search(letters) and len(_VOWELS.findall(letters)) >= _LEAST_VOWELS * len(letters)
