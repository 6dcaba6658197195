"""Write stack_traces.txt: a block of lines for each kept call, the longest call first, for reading and for grep.

The first three lines of a block are those that the recorder prints live, apart from the Stack ID. Durations are
milliseconds; the start is ISO 8601 in UTC. After the longest calls, a stack trace is written once and then only named
by its Stack ID, so that a file of many calls with few stack traces stays small. Memory grows only with the distinct
stack traces, by the size of a key (stack_ids.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Union

from httpcapture import Role

from ..calls.call import Call, iso_time
from ..calls.grpc_status import grpc_text
from ..calls.http_call import HttpCall
from ..common.printable import comm, host, printable
from ..report.aggregate import Aggregate
from ..report.headline import kept, not_known, origins, warning_lines
from ..report.links import Links
from ..report.report import Report
from ..report.stack_ids import TextOrKey
from ..report.unreached import unreached
from ..symbols.trace_lines import trace_lines
from .link_lines import link_lines, ms, total
from .output import CallEntry, Reported, Style, encoded

INDENT = "    "
LATE = " (taken when the call became slow, while the response went on)"
REPEATED_CALLS = 10_000  # so many of the longest calls have their stack traces in full
MAX_FULL_TRACES_SIZE = 256 << 20  # characters of stack traces in a file
CACHED = 16  # stack traces that are kept as text; each has at most a few MiB
WHOLE = (
    "Duration: first byte of the request to last byte of the response. Size: bytes of request and response.",
    'It is at least so long where Total says "at least", because the end of the response was not seen.',
)
TO_FIRST_BYTE = (
    "Duration: first byte of the request to first byte of the response. Size: bytes of request and response.",
)
STACK_IDS = (
    "Stack ID: number of the stack trace in this report. Record: number of the stack in its capture, which httprec "
    "prints as Stack ID.",
)

# What a process does with the request and with the response.
_PHASES: dict[int, tuple[str, str]] = {Role.CLIENT: ("Sent", "Received"), Role.SERVER: ("Received", "Sent")}

Trace = tuple[bytes, str]
"""The key of a stack trace and its lines as text, which are empty if they are not to be repeated."""
Block = Sequence[Union[TextOrKey, Trace]]
"""The lines of a call, with keys of stack traces instead of Stack IDs."""


class FullTraces:
    """Decide, call by call, which stack traces of a file are written in full."""

    def __init__(self, *, all_stacks: bool) -> None:
        self._all_stacks = all_stacks
        self._calls = self._size = 0
        self._written = set[bytes]()

    def next_call(self) -> None:
        """Count a call. Call this before asking about its stack traces."""
        self._calls += 1

    def has_written(self, key: bytes) -> bool:
        """Return whether this stack trace was written in full before."""
        return key in self._written

    def has_room(self, key: bytes) -> bool:
        """Return whether this stack trace is to be written in full now."""
        wanted = self._calls <= REPEATED_CALLS or key not in self._written
        return self._all_stacks or (wanted and self._size < MAX_FULL_TRACES_SIZE)

    def take(self, key: bytes, text: str) -> None:
        """Record that this stack trace is written in full now."""
        self._written.add(key)
        self._size += len(text)


class Blocks:
    """Turn the blocks of a file into text, in their order."""

    def __init__(self, stack_ids: Mapping[bytes, int], *, all_stacks: bool) -> None:
        self._stack_ids = stack_ids
        self._full_traces = FullTraces(all_stacks=all_stacks)

    def text(self, block: Block) -> str:
        """Return the lines of a call's block."""
        self._full_traces.next_call()
        return "".join(map(self._text, block))

    def _text(self, piece: TextOrKey | Trace) -> str:
        if isinstance(piece, str):
            return piece
        if isinstance(piece, bytes):
            return str(self._stack_ids[piece])
        key, lines = piece
        if lines and self._full_traces.has_room(key):
            self._full_traces.take(key, lines)
            return lines
        if self._full_traces.has_written(key):
            return f"{INDENT}(printed above with Stack ID {self._stack_ids[key]})"
        return f"{INDENT}(left out after {MAX_FULL_TRACES_SIZE >> 20} MiB of stack traces; --all-stacks prints all)"


def report(reported: Reported) -> Iterable[bytes]:
    """Return the text in pieces: a line, or a call's block of lines."""
    return encoded(_pieces(reported), "\n")


def listed(report: Report, capture: str, style: Style) -> Iterator[CallEntry]:
    """Yield for each call its last line, which a report of several captures has, and its block.

    Equally long calls with the same start are sorted by that line. `capture` is the path of the file that the report is
    about.
    """
    last = f"\nHost: {host(report.recording.meta.host)}, Capture: {printable(capture)}"
    return (CallEntry.of(report, call, last, block) for call, block in blocks(report, all_stacks=style.all_stacks))


def _pieces(reported: Reported) -> Iterator[str]:
    """Yield the pieces, none of which ends with a newline."""
    whole, all_stacks = reported.whole, reported.style.all_stacks
    yield from _head(whole) if whole.of_one_capture else _head_of_many(whole)
    first_byte = any(facts.first_byte for facts in whole.captures)
    yield from explained(whole.listed, all_stacks=all_stacks, first_byte=first_byte)
    written = Blocks(whole.stack_ids, all_stacks=all_stacks)
    for last, block in reported.listing.longest_first():
        yield f"\n{written.text(block)}{'' if whole.of_one_capture else last}"


def _head(whole: Aggregate) -> Iterator[str]:
    (facts,) = whole.captures
    yield from (f"Warning: {warning.text}" for warning in facts.warnings)
    yield f"{facts.file}: recorded on {facts.host} ({facts.system}) by {facts.tool} from {facts.started}"
    yield f"{kept([facts])}, the longest first"
    yield from (*not_known(whole.captures), *unreached(whole.captures))


def _head_of_many(whole: Aggregate) -> Iterator[str]:
    yield from (f"Warning: {warning}" for warning in warning_lines(whole))
    yield from (f"{origin}: {kept(run.parts)}" for origin, run in zip(origins(whole), whole.runs))
    yield from (*not_known(whole.captures), *unreached(whole.captures))
    yield f"{whole.listed:,} calls, the longest first"


def explained(calls: int, *, all_stacks: bool, first_byte: bool) -> Iterator[str]:
    """Yield the lines at the head of the file that explain it."""
    if calls > REPEATED_CALLS and not all_stacks:
        yield (
            f"After the longest {REPEATED_CALLS:,} calls, repeated stack traces are shown "
            "as a Stack ID; --all-stacks prints all of them."
        )
    yield from TO_FIRST_BYTE if first_byte else WHOLE
    yield from STACK_IDS


def blocks(report: Report, *, all_stacks: bool) -> Iterator[tuple[Call, Block]]:
    """Yield each listed call and its block.

    A stack trace has its lines only if this file, or one with more calls, may have room for them.
    """
    full_traces = FullTraces(all_stacks=all_stacks)

    @lru_cache(maxsize=CACHED)
    def lines(trace_index: int) -> str:
        return "\n".join(INDENT + line for line in trace_lines(report.shown_traces[trace_index]))

    def trace(trace_index: int) -> TextOrKey | Trace:
        key = report.stack_keys[trace_index]
        if not key:
            return lines(trace_index)
        if not full_traces.has_room(key):
            return key, ""
        full_traces.take(key, lines(trace_index))
        return key, lines(trace_index)

    for call, trace_index, receive_index, links in report.linked_calls():
        full_traces.next_call()
        stack_id = report.stack_keys[trace_index] or "0"
        block: list[TextOrKey | Trace] = [
            _first_line(call),
            stack_id,
            _two_lines(call),
            f"Stack trace{LATE if call.stack_is_late else ''}:\n",
            trace(trace_index),
        ]
        if receive_index is not None:
            receive_id = report.stack_keys[receive_index]
            of = (", Stack ID ", receive_id) if receive_id else ()
            block += [f"\nReceive stack trace (tid {call.receive_tid}", *of, "):\n", trace(receive_index)]
        yield call, [*block, "\n", _last_lines(report, call, links)]


def _first_line(call: Call) -> str:
    """Return the first line up to the Stack ID."""
    return f"PID: {call.pid}, Comm: {comm(call.comm)}, Stack ID: "


def _two_lines(call: Call) -> str:
    """Return the two lines after the Stack ID."""
    destination, port = call.destination
    return (
        f"\nDuration: {ms(call.duration_ns)}, Size: {call.size} bytes\n"
        f"Src IP: {call.source[0]}, Dst IP: {destination}, Dst Port: {port}\n"
    )


def _last_lines(report: Report, call: Call, links: Links) -> str:
    """Return the lines after the stack trace."""
    http = report.http(call)
    return (
        f"Role: {call.role_name}, Outcome: {call.outcome_name}, Kind: {call.kind_name}{_http(call, http)}\n"
        f"Process: {comm(call.process)}, TID: {call.tid}, Start: {iso_time(report.recording.meta, call.t0)}, "
        f"Record: {report.record_number(call)}\n"
        f"{phases(call)}{''.join(map(_line, link_lines(report, call, links)))}{_network(call)}"
        f"{_line(report.workload(call).text)}{_line(http.text)}"
    )


def _line(text: str) -> str:
    return f"\n{text}" if text else ""


def _network(call: Call) -> str:
    text = call.network_text
    return _line(text and f"Connection: {text}")


def _http(call: Call, http: HttpCall) -> str:
    facts = {
        "Method": call.method.decode(),
        "Status": call.status,
        "gRPC status": grpc_text(http.response.grpc_status),
        "Stream": call.stream,
        "HTTP/2 error": call.http2_error_name,
    }
    return "".join(f", {name}: {value}" for name, value in facts.items() if value)


def phases(call: Call) -> str:
    """Return how long each phase of the call took, in order. A call of unknown role has phases without a direction."""
    request, response = _PHASES.get(call.role, ("Request", "Response"))
    at_least = "at least " if call.whole_at_least else ""
    known = [f"{request}: {ms(call.t1 - call.t0)}", f"Waited: {ms(call.t2 - call.t1)}"]
    if not call.answered:
        known.append(f"{response}: nothing")
    elif call.response_ns is None:
        known.append(f"{response}: no end can be told")
    else:
        known.append(f"{response}: {at_least}{ms(call.response_ns)}")
    if call.first_byte_ns is not None:
        known.append(f"First byte: {ms(call.first_byte_ns)}{' (a guess)' if call.first_byte_is_guess else ''}")
    known.append(total(call))
    unknown = "" if call.role in _PHASES else " (which side sent the request is not known)"
    return ", ".join(known) + unknown
