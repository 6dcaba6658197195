"""Tell the first thing that stands out in how the holders of requests are asked: again after a failure, many times for
one request, or on a new connection each time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from statistics import median_low
from typing import NamedTuple

from ..report.evidence import Held, HolderKind, Sampled
from .answer import Also, AlsoKind, HolderName
from .names import Names

FEWEST = 30  # requests in which something is seen
MOST_SHARE = 0.9  # of what is called each
MANY = 3  # calls for one request
WORTH = 20  # a holder is worth it if it had more than one in so many ns of all time
AGAIN_SHARE = 0.05  # of the calls, from which on calls after a failure stand out


class _Way(NamedTuple):
    """Say who asked whom for what."""

    asker: str
    who: HolderName


def also(before: Sequence[Sampled], since: Sequence[Sampled], names: Names) -> Also | None:
    """Return the first thing that stands out, of what most time was spent on. `before` is empty without a change."""
    earlier, now = _asked(before, names), _asked(since, names)
    of_ns = sum(request.duration_ns for request in since)
    ways = [way for way in now if WORTH * _most(now[way]) > of_ns]
    ways.sort(key=lambda way: (-_most(now[way]), way))
    for rule in (_again, _repeated, _connects):
        for way in ways:
            found = rule(way, earlier.get(way, {}), now[way])
            if found is not None:
                return found
    return None


Rows = Mapping[int, Sequence[Held]]
"""What a holder had of requests, by the place of the request."""


def _asked(requests: Sequence[Sampled], names: Names) -> Mapping[_Way, Rows]:
    """Return the rows of holders that were asked, by who asked whom."""
    rows: defaultdict[_Way, defaultdict[int, list[Held]]] = defaultdict(lambda: defaultdict(list))
    for place, request in enumerate(requests):
        for row in request.held:
            if row.asking.calls and row.holder.kind in {HolderKind.ITSELF, HolderKind.UNSEEN}:
                rows[_Way(row.asking.process, names.holder(row.holder)[0])][place].append(row)
    return rows


def _most(rows: Rows) -> int:
    return sum(row.most_ns for row in _all(rows))


def _all(rows: Rows) -> Iterator[Held]:
    return (row for of_request in rows.values() for row in of_request)


def _again(way: _Way, _: Rows, rows: Rows) -> Also | None:
    """Return that calls are made again after the same one failed."""
    seen_in = sum(any(row.asking.again for row in of_request) for of_request in rows.values())
    again, calls = (sum(getattr(row.asking, name) for row in _all(rows)) for name in ("again", "calls"))
    if seen_in < FEWEST or again < AGAIN_SHARE * calls:
        return None
    return Also(AlsoKind.AGAIN, *way, again, calls, seen_in)


def _repeated(way: _Way, earlier: Rows, rows: Rows) -> Also | None:
    """Return that one request takes many of these calls."""
    many = [of_request for of_request in rows.values() if _of_one(of_request) >= MANY]
    if len(many) < FEWEST or len(many) < MOST_SHARE * len(rows):
        return None
    one_by_one = all(len(of_request) == 1 and not of_request[0].asking.at_once for of_request in many)
    before = median_low(map(_of_one, earlier.values())) if earlier else None
    calls = sum(row.asking.calls for row in _all(rows))
    return Also(AlsoKind.REPEATED, *way, median_low(map(_of_one, many)), calls, len(many), before, one_by_one)


def _of_one(rows: Sequence[Held]) -> int:
    """Return how many calls one call caused, at most."""
    return sum(row.asking.of_one for row in rows)


def _connects(way: _Way, _: Rows, rows: Rows) -> Also | None:
    """Return that each call has a connection of its own."""
    connected, calls = (sum(getattr(row.asking, name) for row in _all(rows)) for name in ("connected", "calls"))
    if calls < FEWEST or connected < MOST_SHARE * calls:
        return None
    return Also(AlsoKind.CONNECTS, *way, connected, calls, len(rows))
