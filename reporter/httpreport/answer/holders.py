"""Tell who holds the time of requests, or the time by which they got longer.

A holder is named only if the least that it held is more than half of that time: then no other can have held as much.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from typing import NamedTuple

from ..report.evidence import Held, HolderKind, Sampled
from .answer import Change, HolderName, Holding, Shorter, Side
from .names import Names


class _Times(NamedTuple):
    """Hold the least and the most time of each holder."""

    least: Counter[HolderName]
    most: Counter[HolderName]


_LEAST: Mapping[Shorter, Callable[[Held], int]] = {
    Shorter.NO: lambda row: row.least_ns,
    Shorter.YES: lambda row: row.shorter_ns,
    Shorter.PERHAPS: lambda row: row.least_ns + row.shorter_ns,
}
"""The least that a holder had of a request: itself, in shorter calls, or in either. What says more comes first."""


def holding(requests: Sequence[Sampled], names: Names) -> Holding | None:
    """Return who held more than half of the time of these requests, by the name that says most."""
    of_ns = sum(request.duration_ns for request in requests)
    for shorter, place in product(_LEAST, (0, -1)):
        least, most = _times(requests, names, place, shorter)
        who, least_ns = _first(least)
        if 2 * least_ns > of_ns and who.kind is not HolderKind.NOT_KNOWN:
            return Holding(who, least_ns, most[who], of_ns, len(requests), is_extra=False, shorter=shorter)
    return None


def extra(before: Sequence[Sampled], since: Sequence[Sampled], change: Change, names: Names) -> Holding | None:
    """Return who held more than half of the time by which requests got longer: by how much the mean differs between
    those that took as long as the middle half of each side."""
    earlier, later = _typical(before, change.before), _typical(since, change.since)
    of_ns = _mean(later) - _mean(earlier)
    by_process = _times(earlier, names, -1, Shorter.NO).most
    for shorter, place in product(_LEAST, (0, -1)):
        one, other = (_times(requests, names, place, shorter) for requests in (earlier, later))
        had = {who: one.most.get(who, by_process[who._replace(answering="")]) for who in other.least}
        least = {who: ns // len(later) + -had[who] // len(earlier) for who, ns in other.least.items()}
        who, least_ns = _first(least)
        if 2 * least_ns > of_ns and who.kind is not HolderKind.NOT_KNOWN:
            most_ns = other.most[who] // len(later) - one.least[who] // len(earlier)
            return Holding(who, least_ns, most_ns, of_ns, len(later), is_extra=True, shorter=shorter)
    return None


def rows_of(who: HolderName, requests: Sequence[Sampled], names: Names) -> Iterator[Held]:
    """Yield what a holder had of each of the requests."""
    return (row for request in requests for row in request.held if who in names.holder(row.holder))


def _times(requests: Sequence[Sampled], names: Names, place: int, shorter: Shorter) -> _Times:
    """Return what all holders had, by their most telling names (0) or their least telling ones (-1)."""
    least_of, times = _LEAST[shorter], _Times(Counter(), Counter())
    for row in (row for request in requests for row in request.held):
        who = names.holder(row.holder)[place]
        times.least[who] += least_of(row)
        times.most[who] += row.most_ns
    return times


def _first(times: Mapping[HolderName, int]) -> tuple[HolderName, int]:
    return max(times.items(), key=lambda item: (item[1], item[0]))


def _typical(requests: Sequence[Sampled], side: Side) -> list[Sampled]:
    return [request for request in requests if side.p25_ns <= request.duration_ns <= side.p75_ns]


def _mean(requests: Sequence[Sampled]) -> int:
    return sum(request.duration_ns for request in requests) // len(requests)
