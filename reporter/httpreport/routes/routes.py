"""Decide the routes of a report: a pure function of all its shapes (`shapes.py`), in any order.

Segments in one place of a path that are too many to be words of an API, and behind which the same paths come, are
values: `{*}` stands for them. Words may be many in an API (a remote procedure call has a word for each procedure), and
merging two of them would be wrong, so far more of them are needed than of segments with a digit. What remains apart is
only longer to read.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from .segments import TOKEN, TYPES, is_variable, is_word
from .shapes import OTHER, REST, Shape, Shapes, Source

ANY = "{*}"
MOST_WORDS = 300  # words in one place that stay apart
MOST_OTHERS = 50  # segments that are no words, in one place, that stay apart

_MEANINGS = {
    **{kind.placeholder: kind.meaning for kind in TYPES},
    TOKEN: "what the recorder took for a secret",
    REST: "more segments than are told apart",
}


@dataclass(frozen=True)
class Decision:
    """Hold the route of a path, and for each segment that became ANY the reason."""

    route: str
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class Routes:
    """Hold the routes of a report."""

    shapes: Shapes = field(default_factory=dict)
    decisions: Mapping[str, Decision] = field(default_factory=dict)  # by the texts of shapes that come from segments

    def of(self, shape: Shape) -> str:
        """Return the route of a shape; that of OTHER if it was one of too many."""
        if shape.source is not Source.SEGMENTS:
            return shape.text
        decision = self.decisions.get(shape.text)
        return OTHER.text if decision is None else decision.route

    def explained(self) -> list[str]:
        """Return a line for each shape: its route, the path that is its example, and why the path has this route."""
        lines = ((self.of(shape), path, self._why(shape)) for shape, path in self.shapes.items())
        return [f"{route}  <-  {path}  ({why})" for route, path, why in sorted(lines)]

    def _why(self, shape: Shape) -> str:
        if shape.source is Source.PATTERN:
            return "a route pattern"
        if shape.source is Source.GRPC:
            return "a gRPC method"
        segments = self.of(shape).split("/")
        found = (name for segment in segments for name in _MEANINGS if segment.startswith(name))
        meanings = [f"{name}: {_MEANINGS[name]}" for name in dict.fromkeys(found)]
        return "; ".join([*meanings, *self.decisions[shape.text].reasons]) or "as it is"


def decide(shapes: Shapes) -> Routes:
    """Return the routes of all shapes. Routes that are decided again stay as they are."""
    decisions = {shape.text: Decision(shape.text) for shape in shapes if shape.source is Source.SEGMENTS}
    while True:
        folding = _Folding({decision.route for decision in decisions.values()})
        if not folding.has_folded:
            return Routes(shapes, decisions)
        decisions = {text: folding.next(decision) for text, decision in decisions.items()}


class _Folding:
    """Fold the segments of a set of paths once."""

    def __init__(self, paths: Iterable[str]) -> None:
        self._paths = sorted(path.split("/") for path in paths)
        self._reasons: dict[tuple[str, ...], dict[str, str]] = {}  # of segments that become ANY, by those before them
        if self._paths:
            self._fold(0, len(self._paths), 0)

    @property
    def has_folded(self) -> bool:
        """Return whether any segment becomes ANY."""
        return bool(self._reasons)

    def next(self, decision: Decision) -> Decision:
        """Return the next decision for one of the paths."""
        segments = decision.route.split("/")
        reasons = {
            place: self._reasons[before][segment]
            for place, segment in enumerate(segments)
            if segment in self._reasons.get(before := tuple(segments[:place]), ())
        }
        route = "/".join(ANY if place in reasons else segment for place, segment in enumerate(segments))
        return Decision(route, (*decision.reasons, *reasons.values()))

    def _fold(self, first: int, last: int, depth: int) -> bytes:
        """Fold what follows one beginning of so many segments, the last segments first. The paths with it are those
        from `first` on, before `last`. Return a digest of what follows, equal if the same paths do."""
        paths, alike = self._paths, defaultdict[tuple[bytes, bool], list[str]](list)
        is_end = len(paths[first]) == depth
        following: set[tuple[str, bytes]] = set()
        start = first + is_end
        while start < last:
            segment, end = paths[start][depth], start + 1
            while end < last and paths[end][depth] == segment:
                end += 1
            digest = self._fold(start, end, depth + 1)
            following.add((segment, digest))
            if segment and not is_variable(segment):
                alike[digest, is_word(segment)].append(segment)
            start = end
        folded: dict[str, str] = {}
        for (digest, words), values in alike.items():
            if len(values) > (MOST_WORDS if words else MOST_OTHERS):
                what = "words" if words else "segments that are no words"
                reason = f"{ANY}: {len(values):,} {what} in this place, before the same paths"
                folded.update(dict.fromkeys(values, reason))
                following.add((ANY, digest))
        if folded:
            self._reasons[tuple(paths[first][:depth])] = folded
        return _digest(is_end, (pair for pair in following if pair[0] not in folded))


def _digest(is_end: bool, following: Iterable[tuple[str, bytes]]) -> bytes:
    content = repr((is_end, sorted(following)))
    return hashlib.blake2b(content.encode("utf-8", "backslashreplace"), digest_size=16).digest()
