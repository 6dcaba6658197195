"""Tell of one call in a line, and in several."""

from __future__ import annotations

from collections.abc import Iterator

from httpcapture import Role
from httpcapture.addresses import endpoint
from httpcapture.durations import duration_text
from httpcapture.shell import quoted

from ..calls.available_values import peer_text
from ..calls.call import Call, iso_time
from ..calls.filters import exact_ms
from ..calls.grpc_status import grpc_text
from ..common.printable import comm, printable
from ..outputs.stack_traces import phases
from .counted import Shown
from .state import State

NOT_KNOWN = "-"
_CLOCK = slice(11, 23)  # of an ISO 8601 time: with milliseconds


def call_heads(state: State) -> tuple[str, ...]:
    """Return the heads of the columns. While a capture grows, the response of any call may still go on."""
    return "UTC", "took" if state.window.is_whole else "so far", "status", "who", "what"


def call_cells(state: State, one: Shown) -> tuple[str, ...]:
    """Return the texts of these columns."""
    call = one.call
    status = grpc_text(one.http.response.grpc_status) or str(call.status or NOT_KNOWN)
    outcome = status if call.answered else call.outcome_name.replace("_", " ")
    return _clock(state, call), duration_text(call.duration_ns), outcome, who(call), what(one)


def who(call: Call) -> str:
    """Return the process and its peer, and which of them asked: `shop:9200 < 10.0.3.5`, `shop > 10.0.4.2:9300`."""
    if call.role == Role.SERVER:
        return f"{comm(call.process)}:{call.local_port} < {peer_text(call.peer_address, 0)}"
    how = ">" if call.role == Role.CLIENT else "-"
    return f"{comm(call.process)} {how} {peer_text(call.peer_address, call.peer_port)}"


def what(one: Shown) -> str:
    """Return method and path, or what is known instead."""
    method, request = one.call.method.decode("ascii", "replace"), one.http.request
    known = request.path or request.authority
    return printable(" ".join(filter(None, (method or ("TLS" if one.call.is_tls else ""), known)))) or NOT_KNOWN


def details(state: State, one: Shown, path: str) -> Iterator[tuple[str, str]]:
    """Yield what is known of a call, as pairs of a name and a text, and how to see its stack."""
    call = one.call
    destination, port = call.destination
    yield "Request", what(one)
    yield "Start", iso_time(state.meta, call.t0)
    yield "Duration", f"{'at least ' if call.at_least else ''}{duration_text(call.duration_ns)}"
    yield "Phases", phases(call)
    yield "Outcome", f"{call.outcome_name}, status {call_cells(state, one)[2]}, {call.kind_name}, {call.role_name}"
    yield "Process", f"{comm(call.process)}, PID {call.pid}, thread {comm(call.comm)}, TID {call.tid}"
    yield "From, to", f"{call.source[0]}, {endpoint(destination, port)}"
    yield "Size", f"{call.sent:,} bytes sent, {call.received:,} received"
    for name, text in (("Network", call.network_text), ("Heads", one.http.text)):
        if text:
            yield name, printable(text)
    moment = iso_time(state.meta, call.t0)[:19]
    yield "Its stack", f"httpreport {quoted(path)} --pid {call.pid} -t {exact_ms(call.duration_ns)} --since {moment}"


def _clock(state: State, call: Call) -> str:
    return iso_time(state.meta, call.t0)[_CLOCK] or NOT_KNOWN
