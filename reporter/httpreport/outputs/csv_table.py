"""Write comma-separated values (RFC 4180): a line of column names, then a line for each call, the longest first.

A text that a spreadsheet would take for a formula gets a `'` in front: whoever names a process must not decide what
runs on the machine where the table is opened.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Union

from ..calls.call import Call, iso_time
from ..calls.network import Network
from ..common.printable import comm, host, printable
from ..report.report import Report
from .output import CallEntry, Reported, Style, encoded

COLUMNS = (
    *("host", "capture", "start", "pid", "tid", "comm", "process", "role", "outcome", "kind", "method", "status"),
    *("source_address", "source_port", "destination_address", "destination_port"),
    *("duration_ns", "request_ns", "wait_ns", "response_ns", "sent", "received", "stack_id", "leaf"),
    *("first_byte_ns", "judged_by", "duration_at_least", "first_byte_is_guess", "stack_is_late", "encrypted"),
    *Network._fields,
    *("stream", "http2_error"),
    *("container", "container_id", "pod", "pod_namespace", "unit"),
    *("other_end_process", "other_end_pid", "other_end_duration_ns"),
)
OF_HEADS = ("path", "query", "authority", "request_id", "trace_id", "grpc_status")
"""Columns that follow if a capture has heads of requests."""
FORMULA = ("=", "+", "-", "@")
_YES_NO = {True: "yes", False: "no", None: ""}

Cell = Union[str, int, bytes]
"""A cell. Bytes are the key of a stack trace, and are replaced by its Stack ID."""


def report(reported: Reported) -> Iterable[bytes]:
    """Return the lines of the table."""
    columns = (*COLUMNS, *(OF_HEADS if reported.whole.has_heads else ()))
    return encoded(lines(columns, reported.listing.longest_first(), reported.whole.stack_ids), "\r\n")


def lines(columns: Sequence[str], rows: Iterable[Sequence[Cell]], stack_ids: Mapping[bytes, int]) -> Iterator[str]:
    """Yield the lines of a table with these columns and rows, without newlines."""
    yield _line(columns)
    for row in rows:
        cells = [stack_ids[cell] if isinstance(cell, bytes) else _cell(cell) for cell in row]
        yield _line([*cells, *[""] * (len(columns) - len(cells))])


def listed(report: Report, capture: str, _: Style) -> Iterator[CallEntry]:
    """Yield the cells of each listed call. `capture` is the path of the file that the report is about."""
    of = (host(report.recording.meta.host), printable(capture))
    for call, trace, _receive_trace, links in report.linked_calls():
        yield CallEntry.of(report, call, *of, *_row(report, call, trace, links.other))


def _row(report: Report, call: Call, trace: int, other: Call | None) -> Iterator[Cell]:
    frames = report.traces[trace].frames
    yield from (iso_time(report.recording.meta, call.t0), call.pid, call.tid, comm(call.comm), comm(call.process))
    yield from (call.role_name, call.outcome_name, call.kind_name, call.method.decode(), call.status or "")
    yield from (*call.source, *call.destination)
    yield from (call.whole_ns, call.t1 - call.t0, call.t2 - call.t1)
    yield from (_or_empty(call.response_ns), call.sent, call.received)
    yield from (report.stack_keys[trace] or "", printable(frames[0].label) if frames else "")
    yield from (_or_empty(call.first_byte_ns), "whole" if call.has_end else "first_byte")
    marks = (call.whole_at_least, bool(call.first_byte_is_guess), bool(call.stack_is_late), call.is_tls)
    yield from (_YES_NO[mark] for mark in marks)
    yield from map(_or_empty, call.network)
    yield from (call.stream or "", call.http2_error_name)
    workload = report.workload(call)
    yield from (workload.container, workload.container_id, workload.pod, workload.namespace, workload.unit)
    yield from (comm(other.process), other.pid, other.whole_ns) if other else ("", "", "")
    if len(report.recording.heads):
        http = report.http(call)
        yield from (http.request.path, http.request.query, http.request.authority, http.request_id, http.trace_id)
        yield _or_empty(http.response.grpc_status)


def _or_empty(number: int | None) -> Cell:
    return "" if number is None else number


class _LineBuffer(list[str]):
    """Collect what the csv module writes."""

    def write(self, text: str) -> None:
        self.append(text)


def _line(values: Iterable[object]) -> str:
    buffer = _LineBuffer()
    csv.writer(buffer, lineterminator="").writerow(values)
    return "".join(buffer)


def _cell(value: str | int) -> str | int:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value
