"""Write the document of `httpreport --json`. `report.schema.json` beside this file describes each of its fields.

The format is stable: while `version` is 2, fields are only ever added. Recorded texts are printable
(`common/printable.py`). The document is written in pieces, so memory does not grow with it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ..answer.decide import answers
from ..calls.call import Call, iso_time
from ..calls.http_call import HttpCall
from ..calls.http_head import Tls
from ..calls.route_totals import RouteTotals
from ..calls.workloads import Workload
from ..common.printable import comm, printable
from ..languages.stack_trace import Frame, StackTrace
from ..report import counted_once
from ..report.aggregate import Aggregate
from ..report.links import Cause, Links
from ..report.report import Report, naming
from ..report.route_totals import Route
from ..report.stack_ids import TextOrKey, with_stack_ids
from ..report.warnings import incomplete
from .json_answer import answer_fields
from .json_fields import latencies_fields, route_fields
from .output import CallEntry, Reported, Style, encoded

VERSION = 2


def report(reported: Reported) -> Iterable[bytes]:
    """Return the document in pieces: that of the only capture, or one document that contains those of all captures."""
    whole, documents = reported.whole, reported.listing.by_capture()
    if whole.of_one_capture:
        return encoded((*_one(whole, next(documents)), *_routes(whole), *_answer(whole), "\n}\n"))
    return encoded(_many(whole, documents))


def _one(whole: Aggregate, document: Iterable[Sequence[TextOrKey]]) -> Iterator[str]:
    return (with_stack_ids(pieces, whole.stack_ids) for pieces in document)


def _routes(whole: Aggregate) -> Iterator[str]:
    """Yield the totals by route as a last field, if a capture has heads."""
    if whole.has_heads:
        yield ",\n"
        yield from json_list("routes", (_route(*each) for each in whole.by_route.items()))


def _answer(whole: Aggregate) -> Iterator[str]:
    """Yield the answer about the only capture as a field."""
    answer = next(answers(whole), None)
    yield f',\n"answer": {json.dumps(answer and answer_fields(answer))}'


def _route(route: Route, totals: RouteTotals) -> dict[str, Any]:
    return {**route_fields(route), "errors": totals.errors, **(latencies_fields(totals.latencies) or {})}


def _many(whole: Aggregate, documents: Iterable[Iterable[Sequence[TextOrKey]]]) -> Iterator[str]:
    unreadable = [{"file": one.file, "reason": one.reason} for one in whole.unreadable]
    yield f'{{\n"format": "httpreport captures",\n"version": {VERSION},\n'
    yield f'"unreadable": {json.dumps(unreadable)},\n"reports": ['
    separator = "\n"
    for document in documents:
        yield separator
        yield from _one(whole, document)
        yield "\n}\n"
        separator = ","
    yield "]"
    yield from _routes(whole)
    yield ",\n"
    yield from json_list("answers", map(answer_fields, answers(whole)))
    yield "\n}\n"


def listed(report: Report, capture: str, _: Style) -> Iterator[CallEntry]:
    """Yield the document of one capture in pieces that stay in their order. `capture` is the path of the file that the
    report is about.

    The pieces have keys of stack traces instead of Stack IDs.
    """
    return (CallEntry(0, 0, tuple(each)) for each in pieces(report, capture))


def pieces(report: Report, capture: str) -> Iterator[Sequence[TextOrKey]]:
    """Yield the document up to the end of its calls in sequences of a few pieces, with keys of stack traces instead of
    Stack IDs."""
    yield ("{\n",)
    for name, value in _head(report, capture).items():
        yield (f"{json.dumps(name)}: {json.dumps(value)},\n",)
    yield from ((text,) for text in json_list("stacks", map(_trace, report.traces)))
    yield (',\n"calls": [',)
    separator = "\n"
    for call_and_traces in report.linked_calls():
        yield (separator, *_call(report, *call_and_traces))
        separator = ",\n"
    yield ("\n]",)


def json_list(name: str, values: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Yield one field of a document, a list, in pieces."""
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
            "started": iso_time(meta, meta.started_monotonic_ns),
            "threshold_ns": meta.threshold_ns,
            "judged_by": "whole" if meta.duration_rule else "first_byte",
            "process_filters": list(map(printable, meta.process_filters)),
            "run": printable(meta.run),
            "part": meta.part,
        },
        "selection": {
            "threshold_ns": report.selection.threshold_ns,
            "judged_by": "first_byte" if report.selection.first_byte else "whole",
            "names": list(map(printable, report.selection.names)),
            "filters": str(report.selection.filters),
        },
        "warnings": [{"cause": warning.cause.value, "text": warning.text} for warning in report.warnings],
        "ledger": {
            "recorded": recording.recorded,
            **({"below_threshold": recording.unlisted.below} if meta.short_layout.fields else {}),
            "kept": recording.kept,
            "counted_once": counted_once.of_report(report)._asdict(),
            **({"not_known": recording.not_known} if report.selection.filters.uncertain else {}),
            "unreached_ns": recording.available.unreached_ns,
            "lost": {printable(cause): count for cause, count in recording.lost.items() if count},
            "lost_between": {
                printable(cause): [iso_time(recording.meta, at_ns) for at_ns in span]
                for cause, span in recording.lost_between.items()
            },
            "complete": not incomplete(recording),
        },
        "frames": {
            "total": frames.frames,
            "named": frames.named,
            "unnamed": {reason.name.lower(): count for reason, count in frames.by_reason.items()},
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
        "repeats": trace.repeats,
        "python_problem": trace.python_problem.name.lower() if trace.python_problem else None,
        "php_problem": trace.php_problem.name.lower() if trace.php_problem else None,
        "hidden": trace.hidden,
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
        "kind": frame.kind.value,
        "found": None if frame.found is None else frame.found.name.lower(),
    }


def _call(report: Report, call: Call, trace: int, receive_trace: int | None, links: Links) -> Sequence[TextOrKey]:
    of_heads = {"http": _http(report.http(call))} if len(report.recording.heads) else {}
    facts, stack_id = (
        json.dumps({**_facts(report, call), **_links(links), **of_heads}),
        report.stack_keys[trace] or "null",
    )
    traces = json.dumps({"trace": trace, "receive_trace": receive_trace})
    return f'{facts[:-1]}, "stack_id": ', stack_id, f", {traces[1:]}"


def _links(links: Links) -> dict[str, Any]:
    self_time = links.self_time and links.self_time._asdict()
    return {"other_end": _other_end(links.other), "cause": _cause(links.cause), "self_time": self_time}


def _cause(cause: Cause | None) -> dict[str, Any] | None:
    return cause and {
        "certainty": cause.certainty.name.lower(),
        "rule": cause.rule.name.lower() if cause.rule else None,
        "candidates": cause.candidates,
        "connection": cause.call and cause.call.connection,
        "sequence": cause.call and cause.call.sequence,
    }


def _other_end(other: Call | None) -> dict[str, Any] | None:
    if other is None:
        return None
    return {
        "process": comm(other.process),
        "pid": other.pid,
        "connection": other.connection,
        "sequence": other.sequence,
        "duration_ns": other.whole_ns,
        "duration_at_least": other.whole_at_least,
        "judged_by": "whole" if other.has_end else "first_byte",
    }


def _http(http: HttpCall) -> dict[str, Any]:
    request, response = http
    return {
        "path": request.path or None,
        "query": request.query or None,
        "version": request.version or None,
        "authority": request.authority or None,
        "tls": _tls(request.tls),
        "request_id": http.request_id or None,
        "trace_id": http.trace_id or None,
        "grpc_status": response.grpc_status,
        "request_headers": [list(line) for line in request.headers],
        "response_headers": [list(line) for line in response.headers],
        "cut": request.cut or response.cut,
    }


def _tls(tls: Tls) -> dict[str, Any]:
    return {
        "server_name": tls.server_name or None,
        "offered": list(tls.offered),
        "version": tls.version or None,
        "protocol": tls.protocol or None,
        "may_be_http2": tls.may_be_http2,
    }


def _workload(workload: Workload) -> dict[str, Any]:
    """Return the fields that tell where the process ran."""
    return {
        "container": workload.container or None,
        "container_id": workload.container_id or None,
        "pod": workload.pod or None,
        "pod_uid": workload.pod_uid or None,
        "pod_namespace": workload.namespace or None,
        "unit": workload.unit or None,
    }


def _facts(report: Report, call: Call) -> dict[str, Any]:
    return {
        "pid": call.pid,
        "tid": call.tid,
        "receive_tid": call.receive_tid,
        "comm": comm(call.comm),
        "process": comm(call.process),
        "cgroup": call.cgroup or None,
        **_workload(report.workload(call)),
        "role": call.role_name,
        "outcome": call.outcome_name,
        "kind": call.kind_name,
        "encrypted": call.is_tls,
        "method": call.method.decode() or None,
        "status": call.status or None,
        "stream": call.stream or None,
        "http2_error": call.http2_error_name or None,
        "source": dict(zip(("address", "port"), call.source)),
        "destination": dict(zip(("address", "port"), call.destination)),
        "start": iso_time(report.recording.meta, call.t0),
        "t0_ns": call.t0,
        "duration_ns": call.whole_ns,
        "duration_at_least": call.whole_at_least,
        "judged_by": "whole" if call.has_end else "first_byte",
        "first_byte_ns": call.first_byte_ns,
        "first_byte_is_guess": bool(call.first_byte_is_guess),
        "request_ns": call.t1 - call.t0,
        "wait_ns": call.t2 - call.t1,
        "response_ns": call.response_ns,
        "response_end_known": call.t3_known,
        "sent": call.sent,
        "received": call.received,
        "stack_is_late": bool(call.stack_is_late),
        "network": call.network._asdict(),
        "connection": call.connection,
        "sequence": call.sequence,
    }
