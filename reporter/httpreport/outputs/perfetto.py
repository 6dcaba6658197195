"""Write calls as slices of a timeline, in the Trace Event Format, which ui.perfetto.dev and Chrome's viewer read.

Source: "Trace Event Format" (Google, 2016). Each process has lanes, which the viewer shows as threads. A server call
has a lane for itself and the client calls that it caused, as far as these do not overlap; all others have lanes of
their own, so that the slices of a lane are within each other or apart. An arrow leads from the client's end of a call
to the server's. Times are whole microseconds since 1970, which numbers in JSON hold exactly.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterable, Iterator
from typing import Any

from httpcapture import Role

from ..calls.call import Call, since_1970_ns
from ..common.printable import comm, printable
from ..report.links import Cause, Links, links_of
from ..report.report import Report
from .link_lines import self_text
from .output import CallEntry, Reported, Style, encoded
from .trace_events import by_process, digest, name_of


def report(reported: Reported) -> Iterable[bytes]:
    """Return the document in pieces."""
    return encoded(_document(text for capture in reported.listing.by_capture() for (text,) in capture))


def _document(events: Iterable[str]) -> Iterator[str]:
    yield '{"displayTimeUnit": "ms",\n"traceEvents": ['
    separator = "\n"
    for event in events:
        yield separator + event
        separator = ",\n"
    yield "\n]}\n"


def listed(report: Report, _capture: str, _: Style) -> Iterator[CallEntry]:
    """Yield the events of one capture, those of each process in the order in which its calls began."""
    return (CallEntry(0, 0, (json.dumps(event),)) for event in events(report))


def events(report: Report) -> Iterator[dict[str, Any]]:
    """Yield the events: the name of each process, a slice for each call, and the two ends of each arrow."""
    calls = report.recording.calls
    order = by_process(calls)
    links = links_of(calls, order, report.other_ends, report.causes, report.self_times)
    found = zip(
        (call for call, *_ in report.calls(order)), order.tolist(), report.causes.indices[order].tolist(), links
    )
    process, lanes = 0, Lanes()
    for call, index, cause, of_call in found:
        if process != (process := _process_id(report, call)):
            lanes = Lanes()
            name = f"{comm(call.process)} {call.pid} on {printable(report.recording.meta.host)}"
            yield {"ph": "M", "name": "process_name", "pid": process, "args": {"name": name}}
        lane = lanes.place(index, call.t0, call.t0 + call.whole_ns, cause)
        start, end = (since_1970_ns(report.recording.meta, at) // 1000 for at in (call.t0, call.t0 + call.whole_ns))
        at = {"pid": process, "tid": lane, "ts": max(start, 0)}
        yield {
            **at,
            **{"ph": "X", "dur": end - start, "cat": call.role_name, "name": _name(report, call)},
            "args": _facts(call, of_call),
        }
        if of_call.other is not None:
            is_client = call.role == Role.CLIENT
            client = call if is_client else of_call.other
            arrow = f"{_capture_id(report)}.{client.connection}.{client.sequence}"
            side = {"ph": "s"} if is_client else {"ph": "f", "bp": "e"}
            yield {**at, **side, "cat": "call", "name": "call", "id": arrow}


class Lanes:
    """Give each call of a process a lane. Calls come in the order in which they begin."""

    def __init__(self) -> None:
        self._busy: list[tuple[int, int]] = []  # until when lanes are, and their numbers
        self._free: list[int] = []  # numbers of lanes
        self._of: dict[int, tuple[int, int, int]] = {}  # by call: its lane, until when it is taken there, its end

    def place(self, index: int, start_ns: int, end_ns: int, cause: int) -> int:
        """Return the lane of a call: that of its cause if it is within it and no other call of it is open there."""
        if cause in self._of:
            lane, taken_ns, cause_end_ns = self._of[cause]
            if taken_ns <= start_ns and end_ns <= cause_end_ns:
                self._of[cause] = (lane, end_ns, cause_end_ns)
                return lane
        while self._busy and self._busy[0][0] <= start_ns:
            heapq.heappush(self._free, heapq.heappop(self._busy)[1])
        lane = heapq.heappop(self._free) if self._free else len(self._busy) + 1
        heapq.heappush(self._busy, (end_ns, lane))
        self._of[index] = (lane, start_ns, end_ns)
        return lane


def _process_id(report: Report, call: Call) -> int:
    """Return a number of the process that no process of another host has, as far as that is possible in 31 bits."""
    return _number(f"{_capture_id(report)} {call.pid} {call.process_start}")


def _capture_id(report: Report) -> int:
    return _number(name_of(report.recording.meta))


def _number(text: str) -> int:
    return int.from_bytes(digest(text, 4), "big") >> 1


def _name(report: Report, call: Call) -> str:
    request = report.http(call).request
    return " ".join(filter(None, (request.method, request.path))) or call.method.decode() or call.kind_name


def _facts(call: Call, links: Links) -> dict[str, Any]:
    return {
        "outcome": call.outcome_name,
        "status": call.status or None,
        "thread": call.tid,
        "self time": self_text(links.self_time) if links.self_time else None,
        "cause": None if links.cause is None else _cause(links.cause),
    }


def _cause(cause: Cause) -> str:
    certainty = cause.certainty.name.lower().replace("_", " ")
    return f"{certainty}, by {cause.rule.text}" if cause.rule else f"{certainty} of {cause.candidates:,}"
