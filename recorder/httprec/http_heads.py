"""Reduce the heads of HTTP/1 requests and responses to what a capture may have of them: HEAD_TEXT of format/FORMAT.md.

Whatever is not known to be harmless is left out: header lines that are not named, queries, what looks like a token in a
path, lines that are cut off, and what is not as RFC 9112 has it. The bytes come from the network and may be anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass

from httpcapture import HEAD_CUT

from .http_targets import PATHS, QUERIES, UNKNOWN, redact_target

KEPT_HEADERS = frozenset(
    (
        *(b"host", b"content-type", b"content-length", b"server", b"server-timing", b"retry-after", b"location"),
        *(b"traceparent", b"b3", b"x-b3-traceid", b"x-request-id", b"x-correlation-id", b"x-openstack-request-id"),
        b"x-amzn-trace-id",
    )
)
"""Names of the header lines that are kept, in lower case."""

TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}")  # RFC 9110, 5.6.2
_VERSION = re.compile(rb"HTTP/1\.[0-9]")
_STATUS_LINE = re.compile(rb"(HTTP/1\.[0-9]) ([0-9]{3})(?=[ \r\n])")
_HEAD_END = re.compile(rb"\n\r?\n")
_VALUE = re.compile(rb"[ -~]{1,256}")
_ORIGIN = re.compile(rb"https?://[0-9A-Za-z._:\[\]-]{1,255}(?=[/?#]|\Z)")
_HOST = re.compile(rb"[0-9A-Za-z._:\[\]-]{1,255}")
_SECRET_PARTS = frozenset(
    (
        *("auth", "authorization", "authentication", "authenticate", "cookie", "cookie2", "key", "apikey", "token"),
        *("secret", "password", "passwd", "pwd", "credential", "credentials", "session", "sessionid", "sid"),
        *("signature", "sig", "jwt", "assertion", "csrf", "xsrf", "nonce", "otp", "pin"),
    )
)
_SECRET_ENDS = ("auth", "cookie", "key", "token", "secret", "password", "session", "signature")


@dataclass(frozen=True)
class HeadRules:
    """Say what is kept: of a query one of QUERIES, of a path one of PATHS, and the header lines of these names."""

    query: str = QUERIES[0]
    path: str = PATHS[0]
    headers: Set[bytes] = KEPT_HEADERS


DEFAULT_RULES = HeadRules()


def is_secret_name(name: str) -> bool:
    """Return whether the value of a header line of this name is likely to be a secret."""
    parts = re.split("[-_]", name.lower())
    return any(part in _SECRET_PARTS or part.endswith(_SECRET_ENDS) for part in parts)


def redact_request(data: bytes, rules: HeadRules) -> bytes:
    """Return what is kept of a request that begins with `data`; empty if no request begins so."""
    lines, is_cut = _lines(data.lstrip(b"\r\n"))
    first = _request_line(lines[0], rules, is_cut=is_cut and len(lines) == 1)
    return _text(first, lines[1:], rules, is_cut=is_cut) if first else b""


def redact_response(data: bytes, rules: HeadRules) -> bytes:
    """Return what is kept of a response that begins with `data`; empty if no response begins so. Interim responses
    before it (1xx but 101) are left out."""
    while True:
        found = _STATUS_LINE.match(data)
        if not found:
            return b""
        version, status = found.groups()
        if not status.startswith(b"1") or status == b"101":
            lines, is_cut = _lines(data)
            return _text(b"%s %s" % (version, status), lines[1:], rules, is_cut=is_cut)
        end = _HEAD_END.search(data)
        if not end:
            return b""
        data = data[end.end() :]


def _lines(data: bytes) -> tuple[Sequence[bytes], bool]:
    """Return the lines of the head that `data` begins with, without their ends, and whether the last one is cut off."""
    end = _HEAD_END.search(data)
    lines = data[: end.start() if end else len(data)].split(b"\n")
    return [line[:-1] if line.endswith(b"\r") else line for line in lines], not end


def _text(first: bytes, lines: Sequence[bytes], rules: HeadRules, *, is_cut: bool) -> bytes:
    if not is_cut:
        return b"\n".join([first, *_header_lines(lines, rules)])
    return b"\n".join([first, *_header_lines(lines[:-1], rules), HEAD_CUT])


def _request_line(line: bytes, rules: HeadRules, *, is_cut: bool) -> bytes:
    method, _, rest = line.partition(b" ")
    target, blank, version = rest.partition(b" ")
    if not rest or not TOKEN.fullmatch(method):
        return b""
    if is_cut:
        kept = redact_target(method, target, rules.query, rules.path, is_cut=not blank)
        return b"%s %s %s" % (method, kept, UNKNOWN)
    if _VERSION.fullmatch(version):
        kept = redact_target(method, target, rules.query, rules.path, is_cut=False)
        return b"%s %s %s" % (method, kept, version)
    version = version.rpartition(b" ")[2]  # there is a blank in the target
    return b"%s %s %s" % (method, UNKNOWN, version) if _VERSION.fullmatch(version) else b""


def _header_lines(lines: Sequence[bytes], rules: HeadRules) -> Iterator[bytes]:
    """Yield the header lines that are kept. One that goes on in the next line, as RFC 9112 forbids, is not."""
    for line, following in zip(lines, [*lines[1:], b""]):
        name, colon, value = line.partition(b":")
        name = name.lower()
        if not colon or name not in rules.headers or following[:1] in (b" ", b"\t"):
            continue
        kept = kept_value(name, value.strip(b" \t"))
        if kept:
            yield b"%s: %s" % (name, kept)


def kept_value(name: bytes, value: bytes) -> bytes:
    """Return what is kept of the value of a header line; empty if nothing is."""
    if name == b"location":
        origin = _ORIGIN.match(value)
        return origin[0] if origin else b""
    if name == b"host":
        return value if _HOST.fullmatch(value) else b""
    if name == b"content-type":
        value = value.partition(b";")[0].rstrip(b" \t")
    return value if _VALUE.fullmatch(value) else b""
