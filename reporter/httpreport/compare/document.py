"""`httpreport --baseline --json`: one JSON document, stable: fields are only ever added while `version` stays 1.

- `format` "httpreport comparison", `version` 1.
- `before`, `after`: of each side `captures` (each with `file`, `host`, `started`, `selection`, `recorded`, `kept`,
  `lost` (a count by cause), `complete`, `threshold_ns` (the recorder's), `floor_ns` (every call of at least this
  duration was recorded and asked for), `length_ns` (of the recording as far as it was asked for,
  null where its end is missing) and `warnings`), and `unreadable` (a list of `file` and `reason`).
- `length_ns`: of all captures of a side together, `before` and `after`; null where one is not known. Then nothing is
  scaled.
- `warnings` about the comparison: `cause` (thresholds, filters, length, hosts, stacks) and `text`.
- `peers`, `stacks`: what took the most time more comes first, what took the most time less last. Each has `added_ns`
  (time after, less the time before, that scaled to the length of the recordings after), and `before` and `after`:
  `calls`, `time_ns` and `slowest_ns` as they were recorded, not scaled; null where there was no call. A peer has
  `process`, `role`, `address` and `port` (0 unless it is a client's peer), and on both sides `p50_ns`, `p90_ns` and
  `p99_ns`, at most 0.4 % off. A stack has `frames`: the process, then its frames, outermost first, as folded.

Recorded texts are printable, as everywhere (`clean.py`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from httpcapture import Role

from ..call import address_text, word
from ..clean import comm
from ..digest import Digest, Facts
from ..json_report import json_list
from ..sums import Latencies, Sums
from .cautions import cautions
from .changes import Comparison, PeerChange, StackChange

VERSION = 1
QUANTILES = {"p50_ns": 0.5, "p90_ns": 0.9, "p99_ns": 0.99}


def document(comparison: Comparison) -> Iterator[str]:
    """The document in pieces."""
    yield "{\n"
    for name, value in _head(comparison).items():
        yield f"{json.dumps(name)}: {json.dumps(value)},\n"
    yield from json_list("peers", (_peer(comparison, change) for change in comparison.peers))
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
        "length_ns": {"before": lengths.before_ns, "after": lengths.after_ns} if lengths else None,
        "warnings": [{"cause": caution.cause.value, "text": caution.text} for caution in cautions(comparison)],
    }


def _side(digest: Digest) -> dict[str, Any]:
    return {
        "captures": list(map(_capture, digest.captures)),
        "unreadable": [{"file": one.file, "reason": one.reason} for one in digest.unreadable],
    }


def _capture(facts: Facts) -> dict[str, Any]:
    names = ("file", "host", "started", "selection", "recorded", "kept", "lost", "complete")
    lengths = ("threshold_ns", "floor_ns", "length_ns")
    warnings = [{"cause": caution.cause.value, "text": caution.text} for caution in facts.cautions]
    return {**{name: getattr(facts, name) for name in (*names, *lengths)}, "warnings": warnings}


def _peer(comparison: Comparison, change: PeerChange) -> dict[str, Any]:
    peer = change.peer
    return {
        "process": comm(peer.process),
        "role": word(Role, peer.role),
        "address": address_text(peer.address),
        "port": peer.port,
        "added_ns": comparison.added_ns(change),
        "before": _latencies(change.before),
        "after": _latencies(change.after),
    }


def _stack(comparison: Comparison, change: StackChange) -> dict[str, Any]:
    return {
        "frames": change.stack.split(";"),
        "added_ns": comparison.added_ns(change),
        "before": _sums(change.before),
        "after": _sums(change.after),
    }


def _latencies(latencies: Latencies) -> dict[str, Any] | None:
    sums = _sums(latencies.sums)
    return sums and {**sums, **{name: latencies.quantile_ns(share) for name, share in QUANTILES.items()}}


def _sums(sums: Sums) -> dict[str, Any] | None:
    if not sums.calls:
        return None
    return {"calls": sums.calls, "time_ns": sums.time_ns, "slowest_ns": sums.slowest_ns}
