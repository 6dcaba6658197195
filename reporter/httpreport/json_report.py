"""`httpreport --json`: one JSON document, stable: fields are only ever added while `version` stays 1.

- `format` "httpreport", `version` 1.
- `capture`: `file`, `host`, `kernel`, `arch`, `tool`, `started` (ISO 8601, UTC), `threshold_ns`,
  `process_filters`.
- `selection`: `threshold_ns` and `names`: what -t and -p asked for; `filters`: the other filters in words, "" without.
- `warnings`: `cause` (threshold, filter, lost, cut_off, damage, nothing_kept, not_listed, binaries) and `text`.
- `ledger`: `recorded` and `kept` calls, `lost` (a count by cause), `lost_between` (by cause, when its count was first
  and last seen to rise, each within a second of it), `complete` (false: something was lost or cut off).
- `frames`: how many `total` frames the calls have, how many are `named`, `unnamed` (a count by reason) and `guessed`
  (found without unwind information).
- `stack_traces`: how many in `total`, and how many of them may lack outer frames (`incomplete`, a count by reason).
- `stacks`: stack traces. A call's `trace` is a place in this list. Each has `frames`, leaf first, and
  `missing`: why there are none, or null; `incomplete`: why outer frames may be missing, or null; `left_out`: how many
  frames are beyond the limit; `copied`: bytes of a stack copy that ended too early, else 0. A frame has `address`,
  `module`, `file_offset`, `name`, `symbol_offset`, `file`, `line`, `unnamed`: why it has no name, `function_start`:
  where its function begins in the module, given where it has no name, `inlined`: true for one that is part of the
  next, and `found`: how (registers, cfi, interrupted, frame_pointer, stack_top), null where the whole stack trace is
  by frame pointers. What is not known is null.
- `calls`, the longest first: `pid`, `tid`, `receive_tid`, `comm`, `process`, `cgroup`, `role`, `outcome`,
  `kind`, `method`, `status`, `source` and `destination` (`address`, `port`), `start` (ISO 8601, UTC), `t0_ns`
  (CLOCK_MONOTONIC), `duration_ns` (t2 - t0), `request_ns` (t1 - t0), `wait_ns` (t2 - t1), `response_ns` (t3 -
  t2; at least so much unless `response_end_known`), `sent` and `received` (bytes), `connection` and
  `sequence`, `stack_id` (its number, as in the text) and `trace`; `receive_trace`: that of `receive_tid`, where it was
  recorded and thread or stack trace are others than those of the side that sends, else null.

Of several captures it is a document with `format` "httpreport captures", `version` 1, `unreadable` (a list of `file`
and `reason`) and `reports`: the document of each other capture, in the order of the command line.

Recorded texts are printable, as everywhere (`clean.py`). Written piece by piece, so memory does not grow with
it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from . import call as words
from .call import Call, moment
from .cautions import incomplete
from .clean import comm, printable
from .report import Report, naming
from .trace import Frame, StackTrace

VERSION = 1


def document(report: Report, capture: str) -> Iterator[str]:
    """The document in pieces. `capture` is the name of the file that the report is about."""
    yield "{\n"
    for name, value in _head(report, capture).items():
        yield f"{json.dumps(name)}: {json.dumps(value)},\n"
    yield from _list("stacks", map(_trace, report.traces))
    yield ",\n"
    yield from _list("calls", (_call(report, *call_and_places) for call_and_places in report.calls()))
    yield "\n}\n"


def _list(name: str, values: Iterable[dict[str, Any]]) -> Iterator[str]:
    yield f"{json.dumps(name)}: ["
    separator = "\n"
    for value in values:
        yield separator + json.dumps(value)
        separator = ",\n"
    yield "\n]"


def _head(report: Report, capture: str) -> dict[str, Any]:
    recording, meta, frames = report.recording, report.recording.meta, naming(report)
    return {
        "format": "httpreport",
        "version": VERSION,
        "capture": {
            "file": printable(capture),
            "host": printable(meta.host),
            "kernel": printable(meta.kernel),
            "arch": printable(meta.arch),
            "tool": printable(meta.tool),
            "started": moment(meta, meta.started_monotonic_ns),
            "threshold_ns": meta.threshold_ns,
            "process_filters": list(map(printable, meta.process_filters)),
        },
        "selection": {
            "threshold_ns": report.selection.threshold_ns,
            "names": list(map(printable, report.selection.names)),
            "filters": str(report.selection.filters),
        },
        "warnings": [{"cause": caution.cause.value, "text": caution.text} for caution in report.cautions],
        "ledger": {
            "recorded": recording.recorded,
            "kept": recording.kept,
            "lost": {printable(cause): count for cause, count in recording.lost.items() if count},
            "lost_between": {
                printable(cause): [moment(recording.meta, at_ns) for at_ns in span]
                for cause, span in recording.lost_between.items()
            },
            "complete": not incomplete(recording),
        },
        "frames": {
            "total": frames.frames,
            "named": frames.named,
            "unnamed": {reason.name.lower(): count for reason, count in frames.unnamed.items()},
            "guessed": frames.guessed,
        },
        "stack_traces": {
            "total": frames.traces,
            "incomplete": {reason.name.lower(): count for reason, count in frames.incomplete.items()},
        },
    }


def _trace(trace: StackTrace) -> dict[str, Any]:
    return {
        "frames": list(map(_frame, trace.frames)),
        "missing": trace.missing.name.lower() if trace.missing else None,
        "incomplete": trace.incomplete.name.lower() if trace.incomplete else None,
        "left_out": trace.left_out,
        "copied": trace.copied,
    }


def _frame(frame: Frame) -> dict[str, Any]:
    return {
        "address": frame.address,
        "module": None if frame.module is None else printable(frame.module),
        "file_offset": frame.file_offset,
        "name": None if frame.name is None else printable(frame.name),
        "symbol_offset": frame.symbol_offset,
        "file": None if frame.file is None else printable(frame.file),
        "line": frame.line,
        "unnamed": frame.unnamed.name.lower() if frame.unnamed else None,
        "function_start": frame.function_start,
        "inlined": frame.inlined,
        "found": None if frame.found is None else frame.found.name.lower(),
    }


def _call(report: Report, call: Call, trace: int, receive_trace: int | None) -> dict[str, Any]:
    return {
        "pid": call.pid,
        "tid": call.tid,
        "receive_tid": call.receive_tid,
        "comm": comm(call.comm),
        "process": comm(call.process),
        "cgroup": call.cgroup,
        "role": words.role(call),
        "outcome": words.outcome(call),
        "kind": words.kind(call),
        "method": call.method.decode() or None,
        "status": call.status or None,
        "source": dict(zip(("address", "port"), call.source)),
        "destination": dict(zip(("address", "port"), call.destination)),
        "start": moment(report.recording.meta, call.t0),
        "t0_ns": call.t0,
        "duration_ns": call.duration_ns,
        "request_ns": call.t1 - call.t0,
        "wait_ns": call.t2 - call.t1,
        "response_ns": call.t3 - call.t2,
        "response_end_known": call.t3_known,
        "sent": call.sent,
        "received": call.received,
        "connection": call.connection,
        "sequence": call.sequence,
        "stack_id": report.stack_number(call) or None,
        "trace": trace,
        "receive_trace": receive_trace,
    }
