"""Compares two sets of captures: a pure function over their aggregates.

Peers match by the name of the process, role and address; stacks by the process and the names of their frames, as they
are folded. So a stack matches that of another build as long as its frames have names; a frame without one is
`module+0xSTART`, which another build has elsewhere. The hosts of a side are taken together.

Recordings of different lengths are made comparable: what was before is scaled to as many seconds of recording as there
are after. A share of a nanosecond or of a call is cut off, as difffolded.pl -n does it. Quantiles need no scale.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar, Union

from ..calls.totals import Latencies, PeerKey, Totals
from ..report.aggregate import Aggregate
from ..report.folding import folded_totals
from ..report.samples import samples

Value = TypeVar("Value", Totals, Latencies)


class PeerChange(NamedTuple):
    """A process and a peer; without calls on a side where it was not seen."""

    peer: PeerKey
    before: Latencies
    after: Latencies

    @property
    def totals(self) -> tuple[Totals, Totals]:
        return self.before.totals, self.after.totals


class StackChange(NamedTuple):
    """A folded stack, its process first; without calls on a side where it was not seen."""

    stack: str
    before: Totals
    after: Totals

    @property
    def totals(self) -> tuple[Totals, Totals]:
        return self.before, self.after


Change = TypeVar("Change", bound=Union[PeerChange, StackChange])


@dataclass(frozen=True)
class Lengths:
    """ns of recording of both sides, of all captures together."""

    before_ns: int
    after_ns: int


@dataclass(frozen=True)
class Comparison:
    """`peers` and `stacks` have what took the most time more (after, scaled) first, and what took the most time less
    last."""

    before: Aggregate
    after: Aggregate
    lengths: Lengths | None  # None where one is not known: nothing is scaled then
    peers: Sequence[PeerChange]
    stacks: Sequence[StackChange]

    def scaled(self, before: int) -> int:
        """Return a value before, scaled to the length of the recording after."""
        return _scaled(before, self.lengths)

    def added_ns(self, change: PeerChange | StackChange) -> int:
        """Return how much more time was waited, scaled; negative if it was less."""
        return _added_ns(change, self.lengths)

    def largest(self, changes: Sequence[Change], most: int) -> list[Change]:
        """Return the `most` changes with the largest difference, in their order."""
        ranked = sorted(range(len(changes)), key=lambda index: -abs(self.added_ns(changes[index])))
        return [changes[index] for index in sorted(ranked[:most])]


def compare(before: Aggregate, after: Aggregate) -> Comparison:
    lengths = _lengths(before, after)
    peers = _matched(_latencies_by_peer(before), _latencies_by_peer(after), Latencies(Totals(), {}))
    stacks = _matched(_totals_by_stack(before), _totals_by_stack(after), Totals())
    return Comparison(
        before,
        after,
        lengths,
        _most_added_first((PeerChange(*each) for each in peers), lengths),
        _most_added_first((StackChange(*each) for each in stacks), lengths),
    )


def _lengths(before: Aggregate, after: Aggregate) -> Lengths | None:
    known = [[facts.length_ns or 0 for facts in aggregate.captures] for aggregate in (before, after)]
    return Lengths(*map(sum, known)) if all(length for side in known for length in side) and all(known) else None


def _latencies_by_peer(aggregate: Aggregate) -> Mapping[PeerKey, Latencies]:
    by_peer: dict[PeerKey, Latencies] = {}
    for (_, peer), latencies in aggregate.peers.items():
        by_peer[peer] = by_peer[peer] + latencies if peer in by_peer else latencies
    return by_peer


def _totals_by_stack(aggregate: Aggregate) -> Mapping[str, Totals]:
    return folded_totals(samples(aggregate.stacks))


Key = TypeVar("Key", bound=Union[PeerKey, str])


def _matched(
    before: Mapping[Key, Value], after: Mapping[Key, Value], nothing: Value
) -> Iterable[tuple[Key, Value, Value]]:
    for key in sorted({*before, *after}):
        yield key, before.get(key, nothing), after.get(key, nothing)


def _most_added_first(changes: Iterable[Change], lengths: Lengths | None) -> Sequence[Change]:
    return sorted(changes, key=lambda change: -_added_ns(change, lengths))


def _added_ns(change: PeerChange | StackChange, lengths: Lengths | None) -> int:
    before, after = change.totals
    return after.time_ns - _scaled(before.time_ns, lengths)


def _scaled(before: int, lengths: Lengths | None) -> int:
    return before * lengths.after_ns // lengths.before_ns if lengths else before
