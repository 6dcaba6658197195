"""Redact the heads of requests and responses.

Method, version and statuses stay. Paths, hosts and ids of requests and traces are replaced by numbered ones, equal
values by equal ones, so that calls can still be told apart and joined. A path begins with the number of its route, so
that paths have the same route as each other in a report of either capture. All else is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TypeVar

from httpcapture import HEAD_CUT, HeadText

from ..calls.http_head import asking_lines
from ..calls.request_keys import RequestKeys, key_of
from ..report.route_totals import routes_of
from ..routes.patterns import NO_PATTERNS
from ..routes.routes import Routes

Value = TypeVar("Value", bytes, str)
_METHOD = re.compile(rb"[A-Z]{1,15}")  # what begins a call is in capitals
_VERSION = re.compile(rb"HTTP/[0-9](\.[0-9])?")
_STATUS = re.compile(rb"[0-9]{3}")
_ORIGIN = re.compile(rb"(https?://)([^/?]*)(.*)", re.DOTALL)
_NUMBER = re.compile(rb"[0-9]{1,19}")
_TRACE = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")  # W3C Trace Context, 3.2
_UNKNOWN = b"?"
_HOSTS = (b"host", b"location", b"tls-server-name")
_OF_TLS = re.compile(rb"tls-(?:offered|protocol): (?:h2|http/1\.[01])(?:, (?:h2|http/1\.[01]))*|tls-version: 1\.[0-3]")
_IDS = (
    *(b"x-request-id", b"x-correlation-id", b"x-openstack-request-id", b"x-amzn-trace-id", b"x-b3-traceid", b"b3"),
    b"traceparent",
)
_NUMBERS = (b"content-length", b"retry-after", b"grpc-status")


class RedactedHeads:
    """Redact the heads of one capture, and number what they hold."""

    def __init__(self, requests: RequestKeys | None) -> None:
        self._of_shapes = Routes() if requests is None else routes_of(requests.examples)
        self.routes: dict[str, int] = {}
        self.paths: dict[bytes, int] = {}
        self.hosts: dict[bytes, int] = {}
        self.ids: dict[bytes, int] = {}
        """Numbers from 1, by what they stand for."""

    def redacted(self, head: HeadText) -> HeadText:
        """Return the head as it is given away, under its number."""
        first, *lines = head.text.split(b"\n")
        text = b"\n".join([self._first_line(first, head.text), *self._lines(lines)])
        return HeadText(head.number, text)

    def _first_line(self, line: bytes, head: bytes) -> bytes:
        words = line.split(b" ")
        if len(words) == 2:
            return b"%s %s" % (_of(_VERSION, words[0]), _of(_STATUS, words[1]))
        target = self._target(words[1], head) if len(words) == 3 else _UNKNOWN
        return b"%s %s %s" % (_of(_METHOD, words[0]), target, _of(_VERSION, words[-1]))

    def _target(self, target: bytes, head: bytes) -> bytes:
        origin = _ORIGIN.fullmatch(target)
        if origin:
            return b"%s%s%s" % (origin[1], self._host(origin[2]), self._target(origin[3], head) if origin[3] else b"")
        path, mark, _ = target.partition(b"?")
        if path.startswith(b"/"):
            numbers = self._route(head), _number(self.paths, path)
            return b"/redacted/{route-%d}/%d%s" % (*numbers, b"?..." if mark else b"")
        return self._host(target) if path and path != b"*" else target[:1] or _UNKNOWN

    def _route(self, head: bytes) -> int:
        """Return the number of the route of a request. A segment in braces stays as it is in a route."""
        key, _ = key_of(asking_lines(head), NO_PATTERNS)
        return _number(self.routes, self._of_shapes.of(key.shape))

    def _lines(self, lines: list[bytes]) -> Iterator[bytes]:
        for line in lines:
            name, _, value = line.partition(b": ")
            if name in _HOSTS:
                origin = _ORIGIN.fullmatch(value)
                yield b"%s: %s%s" % (name, origin[1] if origin else b"", self._host(origin[2] if origin else value))
            elif name in _IDS:
                trace = _TRACE.fullmatch(value)
                yield b"%s: id-%d" % (name, _number(self.ids, trace[1] if trace else value))
            elif (name in _NUMBERS and _NUMBER.fullmatch(value)) or line == HEAD_CUT or _OF_TLS.fullmatch(line):
                yield line

    def _host(self, host: bytes) -> bytes:
        return b"host-%d" % _number(self.hosts, host)


def _number(known: dict[Value, int], value: Value) -> int:
    return known.setdefault(value, len(known) + 1)


def _of(form: re.Pattern[bytes], word: bytes) -> bytes:
    return word if form.fullmatch(word) else _UNKNOWN
