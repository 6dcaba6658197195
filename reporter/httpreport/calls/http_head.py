"""Parse the redacted heads of requests and responses that a capture has as text (format/FORMAT.md, HEAD_TEXT).

The first line of a request is `METHOD TARGET VERSION`, that of a response `VERSION STATUS`; `?` stands for what is not
known. Header lines follow, with their names in lower case. A last line `...` says that the head went on. The text comes
from a capture, so anything may be in it: what does not have this form is not known, and every result is printable.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from ..common.printable import printable

CUT = "..."  # the last line of a head that went on
NOT_KNOWN = "?"
MAX_LINES = 128  # lines of a head that are read
REQUEST_IDS = ("x-request-id", "x-openstack-request-id", "x-correlation-id", "x-amzn-trace-id")
"""Headers with the ID that a service's logs have of a request, the most usual first."""

TRACE_IDS = ("traceparent", "b3", "x-b3-traceid")
"""Headers with the ID of a trace, the most usual first."""

_ASKING = (b"host:", b"content-type:", b"tls-server-name:")
_TLS = "tls-"  # what the names of lines begin with that are of TLS and of no header
_HTTP2 = "h2"  # in the ALPN of TLS (RFC 9113, 3.1)
_ABSOLUTE = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://([^/?#]*)(.*)")  # RFC 9112, 3.2.2
_STATUS = re.compile(r"[1-9][0-9]{2}", re.ASCII)
_GRPC_STATUS = re.compile(r"[0-9]{1,3}", re.ASCII)
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}.*")  # W3C Trace Context, 3.2
_B3 = re.compile(r"([0-9a-f]{16}|[0-9a-f]{32})(?:-.*)?")  # B3, single header, or x-b3-traceid

HeaderLines = tuple[tuple[str, str], ...]


class Tls(NamedTuple):
    """Hold what both ends of a TLS connection said before they encrypted. What is not known is empty."""

    server_name: str = ""
    offered: tuple[str, ...] = ()  # protocols, by ALPN
    version: str = ""
    protocol: str = ""  # which the server chose; TLS 1.3 encrypts it

    @classmethod
    def of(cls, lines: HeaderLines) -> Tls:
        """Return what the lines of a head say of it."""
        said = {name: value for name, value in reversed(lines) if name.startswith(_TLS)}
        name, offered, version, protocol = (
            said.get(f"{_TLS}{what}", "") for what in ("server-name", "offered", "version", "protocol")
        )
        return cls(name, tuple(filter(None, offered.split(", "))), version, protocol)

    @property
    def may_be_http2(self) -> bool:
        """Return whether the client offered HTTP/2 and the server's choice is not known."""
        return _HTTP2 in self.offered and not self.protocol and self.version in ("", "1.3")

    @property
    def text(self) -> str:
        """Return version and protocol as text, `1.3, may be HTTP/2`; empty if neither is known."""
        protocol = "may be HTTP/2" if self.may_be_http2 else self.protocol
        return ", ".join(filter(None, (self.version, protocol)))


class RequestHead(NamedTuple):
    """Hold the head of a request. A text that is not known is empty. `NO_REQUEST` is a head that is not known."""

    line: str = ""  # the first line, as it was recorded
    method: str = ""
    path: str = ""  # of the target, without the query; empty too for `*` and for a CONNECT
    query: str = ""  # with its `?`, as far as it was recorded
    version: str = ""
    authority: str = ""  # of the target, else of Host, else the server name of TLS
    headers: HeaderLines = ()
    cut: bool = False  # the head went on
    tls: Tls = Tls()

    @property
    def is_grpc(self) -> bool:
        """Return whether the request is a gRPC call, whose path is `/SERVICE/METHOD`."""
        return header(self.headers, "content-type").startswith("application/grpc")


class ResponseHead(NamedTuple):
    """Hold the head of a response. What is not known is empty, or 0."""

    version: str = ""
    status: int = 0
    headers: HeaderLines = ()
    cut: bool = False

    @property
    def grpc_status(self) -> int | None:
        """Return the status of a gRPC call: 0 if it succeeded, None if it is not known."""
        text = header(self.headers, "grpc-status")
        return int(text) if _GRPC_STATUS.fullmatch(text) else None


NO_REQUEST, NO_RESPONSE = RequestHead(), ResponseHead()


def parse_request(text: bytes) -> RequestHead:
    """Parse the head of a request."""
    line, lines, cut = _lines(text)
    tls, headers = Tls.of(lines), tuple(each for each in lines if not each[0].startswith(_TLS))
    words = line.split(" ")
    if len(words) != 3:
        return RequestHead(line=line, headers=headers, cut=cut, tls=tls)
    method, target, version = map(_known, words)
    authority, path, query = _parts(method, target)
    authority = authority or header(headers, "host") or tls.server_name
    return RequestHead(line, method, path, query, version, authority, headers, cut, tls)


def asking_lines(text: bytes) -> bytes:
    """Return those lines of a request's head from which `parse_request` has everything but the other headers."""
    first, *others = text.split(b"\n", MAX_LINES)[:MAX_LINES]
    return b"\n".join([first, *(line for line in others if line.startswith(_ASKING))])


def parse_response(text: bytes) -> ResponseHead:
    """Parse the head of a response."""
    line, headers, cut = _lines(text)
    words = line.split(" ")
    if len(words) != 2:
        return ResponseHead(headers=headers, cut=cut)
    version, status = words
    return ResponseHead(_known(version), int(status) if _STATUS.fullmatch(status) else 0, headers, cut)


def header(headers: HeaderLines, name: str) -> str:
    """Return the value of the first header line with this name, empty if there is none."""
    return next((value for other, value in headers if other == name), "")


def request_id(request: RequestHead, response: ResponseHead) -> str:
    """Return the ID of a request in the logs of its service, empty if none is known. What the request itself names
    comes first."""
    found = (header(headers, name) for headers in (request.headers, response.headers) for name in REQUEST_IDS)
    return next(filter(None, found), "")


def trace_id(headers: HeaderLines) -> str:
    """Return the ID of the trace to which a request with these headers belongs, empty if none is known."""
    found = (form.fullmatch(header(headers, name)) for name, form in zip(TRACE_IDS, (_TRACEPARENT, _B3, _B3)))
    return next((match[1] for match in found if match), "")


def ids(headers: HeaderLines) -> Iterator[str]:
    """Yield every ID by which logs may name the call that has a head with these headers."""
    yield from (value for name, value in headers if name in REQUEST_IDS)
    if trace_id(headers):
        yield trace_id(headers)


def parse_headers(text: bytes) -> tuple[HeaderLines, bool]:
    """Return the header lines of a head, and whether it went on."""
    _, headers, cut = _lines(text)
    return headers, cut


def _lines(text: bytes) -> tuple[str, HeaderLines, bool]:
    """Return the first line, the header lines, and whether the head went on."""
    first, *others = map(printable, text.split(b"\n", MAX_LINES)[:MAX_LINES])
    if first == CUT:
        return "", (), not others
    cut = CUT in others[-1:]
    named = (line.partition(":") for line in others)
    return first, tuple((name, value.strip(" ")) for name, colon, value in named if colon), cut


def _known(word: str) -> str:
    return "" if word == NOT_KNOWN else word


def _parts(method: str, target: str) -> tuple[str, str, str]:
    """Return authority, path and query of the target of a request (RFC 9112, 3.2)."""
    if method == "CONNECT":
        return target, "", ""
    absolute = _ABSOLUTE.fullmatch(target)
    authority, rest = (absolute[1], absolute[2] or "/") if absolute else ("", target)
    path, mark, query = rest.partition("?")
    return authority, path if path.startswith("/") else "", mark + query
