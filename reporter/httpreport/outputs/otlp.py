"""Write calls as spans of traces in OTLP's JSON, one `TracesData` a line, which the OpenTelemetry collector and Jaeger
read.

Sources: opentelemetry-proto (trace.proto), the OTLP specification (JSON encoding: IDs are hexadecimal, 64-bit numbers
are texts), the specification of the file exporter, and the semantic conventions for HTTP spans. The parent of a server
call is the client's end of it, that of a client call its cause, if that is sure; a cause that is only probable is a
link. IDs are made of the recording and the call, so that all reports of a capture have the same ones.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, islice
from typing import Any

import numpy as np

from httpcapture import Outcome, Role

from ..calls.call import Call, since_1970_ns
from ..calls.causes import Causes
from ..calls.certainty import Certainty
from ..calls.open_intervals import NONE
from ..calls.trees import trees_of
from ..common.printable import comm, printable
from ..report.report import Report
from ..report.route_totals import route_of, routes_of
from .output import CallEntry, Reported, Style, encoded
from .trace_events import by_process, digest, name_of

SPANS_OF_LINE = 256
TRACE_ID, SPAN_ID = 16, 8  # bytes
KINDS: dict[int, int] = {Role.SERVER: 2, Role.CLIENT: 3}  # Span.SpanKind; 0 is not known
ERROR = 2  # Status.StatusCode
FIRST_ERROR: dict[int, int] = {Role.SERVER: 500, Role.CLIENT: 400}  # of HTTP, as the semantic conventions have it
NO_STATUS = 1000
PORT = re.compile(r"[0-9]{1,5}")
UNANSWERED = (Outcome.EOF, Outcome.RESET, Outcome.CLOSED)


def report(reported: Reported) -> Iterable[bytes]:
    """Return the lines."""
    return encoded((line for capture in reported.listing.by_capture() for (line,) in capture), "\n")


def listed(report: Report, _capture: str, _: Style) -> Iterator[CallEntry]:
    """Yield the lines of one capture: each has spans of one process, in the order in which its calls began."""
    calls = report.recording.calls
    order = by_process(calls)
    spans = _Spans(report)
    found = zip((call for call, *_ in report.calls(order)), order.tolist())
    for _process, of_process in groupby(found, lambda one: (one[0].pid, one[0].process_start)):
        while some := list(islice(of_process, SPANS_OF_LINE)):
            yield CallEntry(0, 0, (json.dumps(spans.data(some)),))


class _Spans:
    """Make spans of the calls of one report."""

    def __init__(self, report: Report) -> None:
        self._report, causes = report, report.causes
        is_sure = causes.certainty == Certainty.SURE
        sure = Causes(np.where(is_sure, causes.indices, NONE), causes.certainty, causes.rules, causes.candidates)
        trees = trees_of(report.recording.calls, report.other_ends, sure)
        self._parents, self._tops = trees.above, trees.tops
        self._probable = np.where(causes.certainty == Certainty.PROBABLE, causes.indices, NONE)
        calls, meta = report.recording.calls, report.recording.meta
        self._names = list(zip(calls["connection"].tolist(), calls["sequence"].tolist()))
        self._recording = name_of(meta)
        keys = report.recording.request_keys
        self._keys, self._routes = keys, routes_of(keys.examples if keys else {})

    def data(self, calls: Sequence[tuple[Call, int]]) -> dict[str, Any]:
        """Return a TracesData with the spans of these calls of one process, given with their indices."""
        call, _ = calls[0]
        resource: dict[str, str | int] = {
            "service.name": comm(call.process),
            "host.name": printable(self._report.recording.meta.host),
            "process.pid": call.pid,
        }
        scope = {"name": "httprec", "version": printable(self._report.recording.meta.tool)}
        spans = [self._span(*one) for one in calls]
        of_scope = {"scope": scope, "spans": spans}
        return {"resourceSpans": [{"resource": {"attributes": _attributes(resource)}, "scopeSpans": [of_scope]}]}

    def _span(self, call: Call, index: int) -> dict[str, Any]:
        meta, parent, probable = self._report.recording.meta, int(self._parents[index]), int(self._probable[index])
        links = [] if probable == NONE else [{**self._ids(probable), "attributes": _attributes({"cause": "probable"})}]
        return {
            **self._ids(index),
            "parentSpanId": "" if parent == NONE else self._ids(parent)["spanId"],
            "name": self._name(call),
            "kind": KINDS.get(call.role, 0),
            "startTimeUnixNano": str(max(since_1970_ns(meta, call.t0), 0)),
            "endTimeUnixNano": str(max(since_1970_ns(meta, call.t0 + call.whole_ns), 0)),
            "attributes": _attributes(self._facts(call)),
            "links": links,
            "status": {"code": ERROR} if _has_failed(call) else {},
        }

    def _ids(self, index: int) -> dict[str, str]:
        return {
            "traceId": self._id("trace", int(self._tops[index]), TRACE_ID),
            "spanId": self._id("span", index, SPAN_ID),
        }

    def _id(self, what: str, index: int, size: int) -> str:
        connection, sequence = self._names[index]
        text = f"{what} {self._recording} {connection} {sequence}"
        return digest(text, size).hex()

    def _name(self, call: Call) -> str:
        """Return the method and the route, as far as they are known."""
        method = call.method.decode("ascii", "replace")
        if self._keys is None:
            return printable(method) or call.kind_name
        (number,) = self._keys.numbers(np.array([call.request], np.uint32)).tolist()
        route = route_of(call.role, self._keys.keys[number], self._routes).path
        return " ".join(filter(None, (printable(method), route))) or call.kind_name

    def _facts(self, call: Call) -> dict[str, str | int]:
        request = self._report.http(call).request
        peer, port = call.destination if call.role == Role.CLIENT else call.source
        host, _, of_host = request.authority.rpartition(":")
        named = (host, int(of_host)) if host and PORT.fullmatch(of_host) else (request.authority, 0)
        facts: dict[str, str | int] = {
            "http.request.method": printable(call.method),
            "http.response.status_code": call.status,
            "url.path": request.path,
            "server.address": named[0],
            "server.port": named[1],
            "network.peer.address": peer,
            "network.peer.port": port,
            "thread.id": call.tid,
            "error.type": "" if call.answered else call.outcome_name,
        }
        return {name: value for name, value in facts.items() if value}


def _has_failed(call: Call) -> bool:
    """Return whether the call counts as failed: by its status, or since the connection ended before an answer."""
    return call.outcome in UNANSWERED or call.status >= FIRST_ERROR.get(call.role, NO_STATUS)


def _attributes(values: dict[str, str | int]) -> list[dict[str, Any]]:
    return [
        {"key": key, "value": {"stringValue": value} if isinstance(value, str) else {"intValue": str(value)}}
        for key, value in values.items()
    ]
