"""Compare two sets of captures: a pure function over their aggregates.

Peers match by process name, role, address and the port of the server, routes by role, method, authority and route;
stacks match by process name and the names of their frames, in folded form. So a stack matches the same stack of another
build as long as its frames have names; a frame without a name is `module+0xSTART`, which differs between builds. All
hosts of a side are taken together.

Recordings of different lengths are made comparable: what was before is scaled to the length of the recording after. The
result is rounded down to whole nanoseconds or calls, as difffolded.pl -n does. Quantiles need no scale.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeVar, Union

from ..calls.route_totals import RouteTotals
from ..calls.totals import Latencies, PeerKey, Totals
from ..report.aggregate import Aggregate
from ..report.route_totals import Route, routes_of
from ..report.samples import ShownFrame
from ..routes.shapes import merged
from .largest import largest
from .self_changes import SelfChange, self_changes

Value = TypeVar("Value", Totals, Latencies, RouteTotals)


class PeerChange(NamedTuple):
    """Hold a process and a peer before and after. A side on which it was not seen has no calls."""

    peer: PeerKey
    before: Latencies
    after: Latencies

    @property
    def totals(self) -> tuple[Totals, Totals]:
        """Return the totals before and after."""
        return self.before.totals, self.after.totals


class StackChange(NamedTuple):
    """Hold a folded stack, its process first, before and after. A side on which it was not seen has no calls. `frames`
    are the same, outermost first, without what is above them."""

    stack: str
    before: Totals
    after: Totals
    frames: tuple[ShownFrame, ...] = ()

    @property
    def totals(self) -> tuple[Totals, Totals]:
        """Return the totals before and after."""
        return self.before, self.after


class RouteChange(NamedTuple):
    """Hold a route before and after, and how many of its calls failed. A side on which it was not seen has no calls."""

    route: Route
    before: Latencies
    after: Latencies
    errors_before: int
    errors_after: int

    @property
    def totals(self) -> tuple[Totals, Totals]:
        """Return the totals before and after."""
        return self.before.totals, self.after.totals


AnyChange = Union[PeerChange, StackChange, RouteChange]
Change = TypeVar("Change", bound=AnyChange)


@dataclass(frozen=True)
class Lengths:
    """Hold the length of recording of each side in ns, the sum over its captures."""

    before_ns: int
    after_ns: int


@dataclass(frozen=True)
class Comparison:
    """Hold the changes of all `peers`, `routes` and `stacks`, sorted by how much more time was waited after (before is
    scaled). Both sides have the same routes."""

    before: Aggregate
    after: Aggregate
    lengths: Lengths | None  # None if a length is not known; nothing is scaled then
    peers: Sequence[PeerChange]
    routes: Sequence[RouteChange]
    stacks: Sequence[StackChange]
    self_times: Sequence[SelfChange]  # those that grew most for certain first

    @property
    def has_heads(self) -> bool:
        """Return whether any capture has heads of requests or responses."""
        return self.before.has_heads or self.after.has_heads

    @property
    def first_byte(self) -> bool:
        """Return whether durations are those to the first byte."""
        return any(facts.first_byte for facts in (*self.before.captures, *self.after.captures))

    def scaled(self, before: int) -> int:
        """Return a value before, scaled to the length of the recording after."""
        return _scaled(before, self.lengths)

    def added_ns(self, change: AnyChange) -> int:
        """Return how much more time was waited after, in ns; negative if it was less. The time before is scaled."""
        return _added_ns(change, self.lengths)

    def largest(self, changes: Sequence[Change], most: int) -> list[Change]:
        """Return the `most` changes with the largest difference, in their order."""
        return largest(changes, most, self.added_ns)


def compare(before: Aggregate, after: Aggregate) -> Comparison:
    """Return the comparison of two sets of captures."""
    routes = routes_of(merged((before.examples, after.examples)))
    before, after = (replace(side, decided=routes) for side in (before, after))
    lengths = _lengths(before, after)
    peers = _matched(_latencies_by_peer(before), _latencies_by_peer(after), Latencies(Totals(), {}))
    nothing = RouteTotals(Latencies(Totals(), {}))
    by_route = _matched(before.by_route, after.by_route, nothing)
    stacks = _matched(before.folded, after.folded, Totals())
    frames_of = {**before.frames_of, **after.frames_of}

    def scaled(time_ns: int) -> int:
        return _scaled(time_ns, lengths)

    return Comparison(
        before,
        after,
        lengths,
        _most_added_first((PeerChange(*each) for each in peers), lengths),
        _most_added_first((_route_change(*each) for each in by_route), lengths),
        _most_added_first((StackChange(*each, frames_of[each[0]]) for each in stacks), lengths),
        self_changes(before, after, scaled),
    )


def _route_change(route: Route, before: RouteTotals, after: RouteTotals) -> RouteChange:
    return RouteChange(route, before.latencies, after.latencies, before.errors, after.errors)


def _lengths(before: Aggregate, after: Aggregate) -> Lengths | None:
    known = [[facts.length_ns or 0 for facts in aggregate.captures] for aggregate in (before, after)]
    return Lengths(*map(sum, known)) if all(length for side in known for length in side) and all(known) else None


def _latencies_by_peer(aggregate: Aggregate) -> Mapping[PeerKey, Latencies]:
    by_peer: dict[PeerKey, Latencies] = {}
    for (_, peer), latencies in aggregate.peers.items():
        by_peer[peer] = by_peer[peer] + latencies if peer in by_peer else latencies
    return by_peer


Key = TypeVar("Key", bound=Union[PeerKey, Route, str])


def _matched(
    before: Mapping[Key, Value], after: Mapping[Key, Value], nothing: Value
) -> Iterable[tuple[Key, Value, Value]]:
    for key in sorted({*before, *after}):
        yield key, before.get(key, nothing), after.get(key, nothing)


def _most_added_first(changes: Iterable[Change], lengths: Lengths | None) -> Sequence[Change]:
    return sorted(changes, key=lambda change: -_added_ns(change, lengths))


def _added_ns(change: AnyChange, lengths: Lengths | None) -> int:
    before, after = change.totals
    return after.time_ns - _scaled(before.time_ns, lengths)


def _scaled(before: int, lengths: Lengths | None) -> int:
    return before * lengths.after_ns // lengths.before_ns if lengths else before
