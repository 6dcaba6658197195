"""Write the lines of stack_traces.txt that tell how a call is linked to others."""

from __future__ import annotations

from collections.abc import Iterator

from ..calls.call import Call, iso_time
from ..calls.certainty import Certainty
from ..common.printable import comm
from ..report.links import Cause, Links, SelfTime
from ..report.report import Report


def link_lines(report: Report, call: Call, links: Links) -> Iterator[str]:
    """Yield the lines about the other end, the cause and the self time of a call, as far as there are any."""
    if links.other is not None:
        yield f"Other end: {links.other.role_name}, {_process(links.other)}, {total(links.other)}"
    if links.cause is not None:
        yield f"Caused by: {_cause(report, links.cause)}"
    if links.self_time is not None and links.self_time.least_ns < call.whole_ns:
        yield f"Self: {self_text(links.self_time)}"


def total(call: Call) -> str:
    """Return how long the whole call took, as text."""
    at_least = "at least " if call.whole_at_least else ""
    return f"Total: {at_least}{ms(call.whole_ns)}" if call.has_end else "Total: to the first byte"


def ms(nanoseconds: int) -> str:
    """Return a duration as text."""
    return f"{nanoseconds / 1e6:.2f} ms"


def self_text(time: SelfTime) -> str:
    """Return a self time, or the range in which it is, as text."""
    least, most = (f"{ns / 1e6:.2f}" for ns in time)
    return f"{most} ms" if least == most else f"{least} to {most} ms"


def _process(call: Call) -> str:
    return f"Process: {comm(call.process)}, PID: {call.pid}"


def _cause(report: Report, cause: Cause) -> str:
    if cause.call is None:
        requests = "1 request was" if cause.candidates == 1 else f"{cause.candidates:,} requests were"
        return f"not known ({requests} open)"
    start, asked = iso_time(report.recording.meta, cause.call.t0), report.http(cause.call).request.line
    request = f", Request: {asked}" if asked else ""
    probably = "" if cause.certainty is Certainty.SURE else "probably "
    return f"{probably}{_process(cause.call)}, Start: {start}{request}, {total(cause.call)} (by {cause.rule.text})"
