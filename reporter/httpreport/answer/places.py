"""Tell whether one of several places where a holder is makes requests slow, or all of them do."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from statistics import median_low, quantiles

from ..report.evidence import Held
from .answer import Places

FEWEST = 30  # requests at each place
MUCH = 2  # times that it takes longer

Times = Mapping[str, Sequence[int]]
"""How long a holder had each request, in ns, by its place."""


def places(before: Iterable[Held], since: Iterable[Held]) -> Places | None:
    """Return what distinguishes the places of a holder, if there are several. `before` is empty without a change."""
    times = _times(since)
    if len(times) < 2:
        return None
    slowest = max(times, key=lambda place: (median_low(times[place]), place))
    others = [ns for place, of_place in times.items() if place != slowest for ns in of_place]
    if _low(times[slowest]) > MUCH * max(_high(times[place]) for place in times if place != slowest):
        return Places(len(times), slowest, median_low(times[slowest]), median_low(others))
    earlier = _times(before)
    if all(place in earlier and _low(times[place]) > _high(earlier[place]) for place in times):
        every = [ns for of_place in times.values() for ns in of_place]
        return Places(len(times), None, median_low(every), None)
    return None


def _times(rows: Iterable[Held]) -> Times:
    """Return the times at the places that have enough of them."""
    times: defaultdict[str, list[int]] = defaultdict(list)
    for row in rows:
        times[row.holder.place].append(row.most_ns)
    return {place: of_place for place, of_place in times.items() if len(of_place) >= FEWEST}


def _low(times: Sequence[int]) -> float:
    return quantiles(times, n=4)[0]


def _high(times: Sequence[int]) -> float:
    return quantiles(times, n=4)[2]
