"""stack_traces.txt: every kept call, the longest first, each a block of lines that a person reads and grep
finds.

The first three lines of a block are those that the recorder prints live. Times are milliseconds; the start is
ISO 8601 in UTC. Each distinct stack trace is made into lines once, and the file is written call by call: memory grows
with the stack traces only.
"""

from __future__ import annotations

from collections.abc import Iterator

from httpcapture import Role

from . import call as words
from .call import Call, moment
from .clean import comm, printable
from .report import Report
from .trace import HOW_GUESSED, Frame, Incomplete, StackTrace
from .unreached import sentence

INDENT = "    "
MEANING = "Duration: start of the request to start of the response. Size: bytes of request and response."


def text(report: Report, capture: str) -> Iterator[str]:
    """The text in pieces: a line, or a call's block of lines. None ends with a newline. `capture` is the name of the
    file that the report is about."""
    yield from _head(report, capture)
    for _, block in blocks(report):
        yield "\n" + block


def blocks(report: Report) -> Iterator[tuple[Call, str]]:
    """Each listed call and its lines."""
    traces = ["\n".join(INDENT + line for line in trace_lines(trace)) for trace in report.traces]
    meta = report.recording.meta
    for call, place, receive_place in report.calls():
        received = ""
        if receive_place is not None:
            received = f"Receive stack trace (tid {call.receive_tid}):\n{traces[receive_place]}\n"
        yield (
            call,
            f"{_three_lines(call, report.stack_number(call))}\n"
            f"Stack trace:\n{traces[place]}\n{received}"
            f"Role: {words.role(call)}, Outcome: {words.outcome(call)}, Kind: {words.kind(call)}{_http(call)}\n"
            f"Process: {comm(call.process)}, TID: {call.tid}, Start: {moment(meta, call.t0)}\n"
            f"{_split(call)}",
        )


def _head(report: Report, capture: str) -> Iterator[str]:
    recording, meta = report.recording, report.recording.meta
    for caution in report.cautions:
        yield f"Warning: {caution.text}"
    yield (
        f"{printable(capture)}: recorded on {printable(meta.host)} (Linux {printable(meta.kernel)} "
        f"{printable(meta.arch)}) by {printable(meta.tool)} from {moment(meta, meta.started_monotonic_ns)}"
    )
    kept = f"{recording.kept:,} of {recording.recorded:,} calls"
    yield f"{kept} ({report.selection}), the longest first"
    if recording.there.unreached_ns is not None:
        selection = report.selection
        yield sentence(selection.subject, [selection.threshold_ns], recording.there.unreached_ns)
    yield MEANING


def _three_lines(call: Call, stack_number: int) -> str:
    destination, port = call.destination
    return (
        f"PID: {call.pid}, Comm: {comm(call.comm)}, Stack ID: {stack_number}\n"
        f"Duration: {_ms(call.duration_ns)}, Size: {call.size} bytes\n"
        f"Src IP: {call.source[0]}, Dst IP: {destination}, Dst Port: {port}"
    )


def trace_lines(trace: StackTrace) -> Iterator[str]:
    """A line a frame, leaf first, and what is missing in brackets."""
    if trace.missing is not None:
        yield f"[no stack: {trace.missing.value}]"
    for frame in trace.frames:
        yield _frame(frame)
    if trace.left_out:
        yield f"[{trace.left_out:,} more frames left out]"
    if trace.repeats:
        last = "frame repeats" if trace.repeats == 1 else f"{trace.repeats} frames repeat"
        yield f"[the last {last} up to the limit: recursion, or frame pointers that lead in a circle]"
    if trace.incomplete is not None:
        size = f" after {trace.copied / 1024:.4g} KiB" if trace.incomplete is Incomplete.STACK_ENDED else ""
        yield f"[{trace.incomplete.value}{size}]"


def _frame(frame: Frame) -> str:
    """`function (module) file:line`, or `module+0xoffset (module: why it has no name)`, and how it was guessed."""
    guess = f" [{HOW_GUESSED[frame.found]}]" if frame.found in HOW_GUESSED else ""
    if frame.module is None:
        return f"0x{frame.address:x} [{frame.unnamed.value if frame.unnamed else 'unknown'}]{guess}"
    why = f": {frame.unnamed.value}" if frame.unnamed else ""
    line = f":{frame.line}" if frame.line is not None else ""
    place = f" {printable(frame.file)}{line}" if frame.file is not None else ""
    inlined = " [inlined]" if frame.inlined else ""
    return f"{printable(frame.label)} ({printable(frame.module)}{why}){place}{inlined}{guess}"


def _http(call: Call) -> str:
    method = f", Method: {call.method.decode()}" if call.method else ""
    return f"{method}, Status: {call.status}" if call.status else method


def _split(call: Call) -> str:
    """Where the time went, in the order in which it went: a server receives first."""
    request, response = ("Received", "Sent") if call.role == Role.SERVER else ("Sent", "Received")
    at_least = "" if call.t3_known else "at least "
    answer = f"{response}: {at_least}{_ms(call.t3 - call.t2)}" if call.answered else f"{response}: nothing"
    return (
        f"{request}: {_ms(call.t1 - call.t0)}, Waited: {_ms(call.t2 - call.t1)}, {answer}, "
        f"Total: {at_least}{_ms(call.t3 - call.t0)}"
    )


def _ms(nanoseconds: int) -> str:
    return f"{nanoseconds / 1e6:.2f} ms"
