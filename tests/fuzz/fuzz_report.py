"""Feed mutated captures to httpreport, which must make a report or give an error with the reason, in bounded time.

    PYTHONPATH=format:reporter python tests/fuzz/fuzz_report.py SECONDS [SEED]

Of each input all calls are reported, or the slow ones of them, in the ways that look at every call.
"""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from fuzz_capture import fuzz

from httpcapture import CaptureError, Reader, Role
from httpreport.calls.available_values import FIELD_COLUMNS
from httpreport.calls.filters import Selection
from httpreport.capture.loader import KeepNothing, load
from httpreport.common.errors import ReportError
from httpreport.languages.stack_trace import Unnamed
from httpreport.outputs import json_report, stack_traces
from httpreport.outputs.output import OneCapture, Reported
from httpreport.report.aggregate import aggregate_of
from httpreport.report.report import make_report
from support.capture_samples import write_capture
from support.head_records import Asked, head_records
from support.made_calls import write_calls
from support.recordings import MS, Row, capture

MILLISECONDS = (0, 20, 300)  # all calls, many of them, few
CALLS = (40, 1500)  # in a chunk that is packed as a whole, and in one whose columns are


def check(data: bytes) -> str:
    """Report an input and return how that ended. An unexpected exception is a finding."""
    try:
        load(Reader(io.BytesIO(data), "input"), KeepNothing([*FIELD_COLUMNS])).available.values()
        ends = {report(data, milliseconds) for milliseconds in MILLISECONDS}
    except (CaptureError, ReportError) as error:
        assert str(error).isprintable()
        return type(error).__name__
    return "cut off" if "cut off" in ends else "whole"


def report(data: bytes, milliseconds: int) -> str:
    selection = Selection(milliseconds * 1_000_000)
    recording = load(Reader(io.BytesIO(data), "input"), selection)
    made = make_report(recording, selection, lambda module, carried: Unnamed.NOT_FOUND)
    assert sum(totals.calls for totals in aggregate_of(made, "input", slowest=True).stacks.values()) == recording.kept
    whole = aggregate_of(made, "input")
    texts, documents = (
        b"".join(each.report(Reported(whole, OneCapture(each.listed, made, "input"))))
        for each in (stack_traces, json_report)
    )
    assert all(line.isprintable() for line in texts.decode().split("\n"))
    assert len(json.loads(documents)["calls"]) == len(recording.listed) == recording.kept
    of_routes = sum(totals.latencies.totals.calls for totals in whole.by_route.values())
    assert of_routes == (recording.kept if whole.has_heads else 0)
    assert all(line.isprintable() for line in whole.routes.explained())
    return "cut off" if recording.cut_off else "whole"


def made_up(calls: int) -> bytes:
    stream = io.BytesIO()
    write_calls(stream, calls, stacks=10)
    return stream.getvalue()


def with_heads() -> bytes:
    request = b"GET /users/%d/a?... HTTP/1.1\nhost: api:80\nx-request-id: r-%d\n..."
    calls = [Asked(Row(sequence=number), request % (number, number), b"HTTP/1.1 503") for number in range(40)]
    return capture([call.row for call in calls], head_records(calls))


def with_short_calls() -> bytes:
    """Return a capture of requests for which calls below the threshold are made."""
    requests = [Row(role=Role.SERVER, connection=1, sequence=number, start_ns=number * 300 * MS) for number in range(9)]
    calls = [
        Row(connection=2, sequence=number, start_ns=number * 50 * MS, duration_ns=7 * MS, request_seq=number)
        for number in range(50)
    ]
    return capture(requests, short=calls)


if __name__ == "__main__":
    sys.exit(fuzz([write_capture(), with_heads(), with_short_calls(), *map(made_up, CALLS)], check))
