"""Gather the evidence of one capture (evidence.py) from its report."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from ..calls.call import since_1970_ns
from ..calls.open_intervals import Indices
from ..calls.totals import Durations, Latencies, LatenciesByValue
from ..common.interning import bytes_of, words_of
from ..common.printable import comm
from .evidence import MOST_SAMPLED, Asked, Evidence, Held, Sampled, lowest
from .held_rows import Members, held_rows
from .report import Report

MOST_CALLS = 200_000  # of the sampled requests of one capture
_MIX = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB  # of SplitMix64 (Steele and others 2014)


def evidence_of(report: Report) -> Evidence:
    """Return the evidence of one capture. There is none if calls are not there that it would need, or if calls are
    judged by their first byte."""
    listed = report.recording.listed
    if report.has_parts_of_processes or len(listed) != report.recording.kept or report.selection.first_byte:
        return Evidence()
    roots = np.flatnonzero(report.trees.are_roots)
    return Evidence(_latencies(report, roots), _sample(report, roots), 1)


def _latencies(report: Report, roots: Indices) -> Mapping[Asked, Latencies]:
    """Return the durations of all requests by what they ask for."""
    listed, totals = report.recording.listed, LatenciesByValue(3)
    kinds = listed.values("role")[roots].astype(np.uint64) << np.uint64(32) | report.request_numbers[roots]
    numbers = totals.intern(*words_of(listed.values("process")[roots]), kinds)
    totals.add(Durations(listed.durations[roots]), numbers)
    values = zip(bytes_of(totals.values[:2]), totals.values[2].tolist())
    asked = (Asked(comm(process), kind >> 32, report.request_key(kind & 0xFFFFFFFF)) for process, kind in values)
    return dict(zip(asked, totals.latencies()))


def _sample(report: Report, roots: Indices) -> tuple[Sampled, ...]:
    """Return the requests with the lowest hashes, so few that their calls are not too many."""
    hashes, tops = _hashes(report, roots), report.trees.tops
    by_hash = np.argsort(hashes, kind="stable")[:MOST_SAMPLED]
    calls = np.cumsum(np.bincount(tops, minlength=len(tops))[roots[by_hash]])
    chosen = by_hash[: int(np.searchsorted(calls, MOST_CALLS, "right"))]
    is_chosen = np.zeros(len(tops), np.bool_)
    is_chosen[roots[chosen]] = True
    members = Members(report, np.flatnonzero(is_chosen[tops]))
    rows: defaultdict[int, list[Held]] = defaultdict(list)
    for request, row in held_rows(members):
        rows[request].append(row)
    hash_of = dict(zip(roots[chosen].tolist(), hashes[chosen].tolist()))
    return lowest(_sampled(members, request, hash_of, of_request) for request, of_request in rows.items())


def _sampled(members: Members, request: int, hash_of: Mapping[int, int], rows: list[Held]) -> Sampled:
    report, index, call = members.report, int(members.indices[request]), members.calls[request]
    return Sampled(
        order=hash_of[index],
        start_ns=since_1970_ns(report.recording.meta, int(call["t0"])),
        duration_ns=int(call["duration"]),
        is_finished=not call["at_least"],
        asked=Asked(comm(call["process"]), int(call["role"]), report.request_key(int(report.request_numbers[index]))),
        held=tuple(sorted(rows, key=lambda row: row.holder)),
    )


def _hashes(report: Report, calls: Indices) -> npt.NDArray[np.uint64]:
    """Return a hash of each call, which is the same in every run (the finalizer of SplitMix64)."""
    listed = report.recording.listed
    connection, sequence = (listed.values(name)[calls].astype(np.uint64) for name in ("connection", "sequence"))
    first, second, third = map(np.uint64, _MIX)
    mixed = (listed.starts[calls] + connection * first) * second + sequence
    mixed = (mixed ^ mixed >> np.uint64(30)) * second
    mixed = (mixed ^ mixed >> np.uint64(27)) * third
    return np.asarray(mixed ^ mixed >> np.uint64(31))
