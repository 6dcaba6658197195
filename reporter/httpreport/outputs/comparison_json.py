"""Write the document of `httpreport --baseline --json`. `report.schema.json` describes each of its fields.

The format is stable: while `version` is 2, fields are only ever added. Recorded texts are printable
(`common/printable.py`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from httpcapture import Role
from httpcapture.addresses import address_text

from ..answer.compare import answers_between
from ..calls.call import enum_text
from ..common.printable import comm
from ..compare.changes import Comparison, PeerChange, RouteChange, StackChange
from ..compare.self_changes import SelfChange
from ..compare.warnings import comparison_warnings
from ..report.aggregate import Aggregate
from ..report.recordings import Facts
from ..report.tree_totals import SelfTotals
from .json_answer import answer_fields
from .json_fields import latencies_fields, route_fields, totals_fields
from .json_report import VERSION, json_list
from .output import Compared, encoded


def comparison(compared: Compared) -> Iterable[bytes]:
    """Return the document in pieces."""
    return encoded(document(compared.comparison))


def document(comparison: Comparison) -> Iterator[str]:
    """Yield the document in pieces."""
    yield "{\n"
    for name, value in _head(comparison).items():
        yield f"{json.dumps(name)}: {json.dumps(value)},\n"
    yield from json_list("answers", map(answer_fields, answers_between(comparison.before, comparison.after)))
    yield ",\n"
    yield from json_list("peers", (_peer(comparison, change) for change in comparison.peers))
    yield ",\n"
    if comparison.has_heads:
        yield from json_list("routes", (_route(comparison, change) for change in comparison.routes))
        yield ",\n"
    yield from json_list("self_times", map(_self_time, comparison.self_times))
    yield ",\n"
    yield from json_list("stacks", (_stack(comparison, change) for change in comparison.stacks))
    yield "\n}\n"


def _head(comparison: Comparison) -> dict[str, Any]:
    lengths = comparison.lengths
    return {
        "format": "httpreport comparison",
        "version": VERSION,
        "before": _side(comparison.before),
        "after": _side(comparison.after),
        "judged_by": "first_byte" if comparison.first_byte else "whole",
        "length_ns": {"before": lengths.before_ns, "after": lengths.after_ns} if lengths else None,
        "warnings": [
            {"cause": warning.cause.value, "text": warning.text} for warning in comparison_warnings(comparison)
        ],
    }


def _side(aggregate: Aggregate) -> dict[str, Any]:
    return {
        "captures": list(map(_capture, aggregate.captures)),
        "unreadable": [{"file": one.file, "reason": one.reason} for one in aggregate.unreadable],
    }


def _capture(facts: Facts) -> dict[str, Any]:
    names = ("file", "host", "started", "selection", "recorded", "kept", "unreached_ns", "lost", "complete")
    lengths = ("threshold_ns", "floor_ns", "length_ns")
    warnings = [{"cause": warning.cause.value, "text": warning.text} for warning in facts.warnings]
    return {**{name: getattr(facts, name) for name in (*names, *lengths)}, "warnings": warnings}


def _peer(comparison: Comparison, change: PeerChange) -> dict[str, Any]:
    peer = change.peer
    return {
        "process": comm(peer.process),
        "role": enum_text(Role, peer.role),
        "address": address_text(peer.address),
        "port": peer.port,
        "own_port": peer.own_port,
        "added_ns": comparison.added_ns(change),
        "before": latencies_fields(change.before),
        "after": latencies_fields(change.after),
    }


def _route(comparison: Comparison, change: RouteChange) -> dict[str, Any]:
    before, after = latencies_fields(change.before), latencies_fields(change.after)
    return {
        **route_fields(change.route),
        "added_ns": comparison.added_ns(change),
        "before": before and {**before, "errors": change.errors_before},
        "after": after and {**after, "errors": change.errors_after},
    }


def _self_time(change: SelfChange) -> dict[str, Any]:
    least_ns, most_ns = change.added_ns
    return {
        "process": change.answered.process,
        **route_fields(change.answered.route),
        "added_ns": {"least_ns": least_ns, "most_ns": most_ns},
        "before": _self_totals(change.before),
        "after": _self_totals(change.after),
    }


def _self_totals(times: SelfTotals) -> dict[str, int]:
    return {"calls": times.calls, "least_ns": times.least_ns, "most_ns": times.most_ns}


def _stack(comparison: Comparison, change: StackChange) -> dict[str, Any]:
    return {
        "frames": change.stack.split(";"),
        "added_ns": comparison.added_ns(change),
        "before": totals_fields(change.before),
        "after": totals_fields(change.after),
    }
