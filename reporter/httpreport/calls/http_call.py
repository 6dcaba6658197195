"""Tell what the heads of a call say: what was asked for, of whom, and by which IDs the call is found in logs."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from .call_heads import CallHeads, Numbers
from .http_head import (
    NO_REQUEST,
    NO_RESPONSE,
    RequestHead,
    ResponseHead,
    parse_request,
    parse_response,
    request_id,
    trace_id,
)
from .protocol import SWITCHING_PROTOCOLS, Kind, ProtocolColumns

_PARSED = 1 << 10  # heads of each kind that are remembered
_request = lru_cache(maxsize=_PARSED)(parse_request)
_response = lru_cache(maxsize=_PARSED)(parse_response)


class HttpCall(NamedTuple):
    """Hold the heads of one call."""

    request: RequestHead = NO_REQUEST
    response: ResponseHead = NO_RESPONSE

    @classmethod
    def of(cls, heads: CallHeads, request: int, response: int) -> HttpCall:
        """Return the heads at these places (`Call.request`, `Call.response`)."""
        return cls(_request(heads.texts[request]), _response(heads.texts[response]))

    @property
    def request_id(self) -> str:
        """Return the ID of the call in the logs of its service, empty if none is known."""
        return request_id(self.request, self.response)

    @property
    def trace_id(self) -> str:
        """Return the ID of the trace of the call, empty if none is known."""
        return trace_id(self.request.headers)

    @property
    def text(self) -> str:
        """Return what was asked for, of whom, and how logs name it, as far as it is known; empty if nothing is."""
        known = (
            ("Request", self.request.line if self.request.method or self.request.path else ""),
            ("Authority", self.request.authority),
            ("TLS", self.request.tls.text),
            ("Request ID", self.request_id),
            ("Trace ID", self.trace_id),
        )
        return ", ".join(f"{name}: {value}" for name, value in known if value)


def complete(read: ProtocolColumns, heads: CallHeads, requests: Numbers, responses: Numbers) -> None:
    """Fill in methods and statuses that the rows of calls do not have, but their heads. What is in TLS is known then:
    heads that were read there are those of HTTP/1."""
    lacking = np.flatnonzero((requests != 0) & (read.method == b""))
    methods = {place: _request(heads.texts[place]).method for place in np.unique(requests[lacking]).tolist()}
    read.method[lacking] = [methods[place].encode()[:15] for place in requests[lacking].tolist()]
    lacking = np.flatnonzero((responses != 0) & (read.status == 0))
    statuses = {place: _response(heads.texts[place]).status for place in np.unique(responses[lacking]).tolist()}
    read.status[lacking] = [statuses[place] for place in responses[lacking].tolist()]
    is_inside = ((read.method != b"") | (read.status != 0)) & (read.kind == Kind.TLS)
    read.kind[is_inside] = Kind.HTTP
    read.kind[is_inside & (read.status == SWITCHING_PROTOCOLS)] = Kind.WEBSOCKET
