"""Match paths with the routes that a user gives: `/users/{id}`, where `{id}` stands for any one segment."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

MAX_PATTERNS = 10_000  # of one file
_VARIABLE = re.compile(r"\{[^{}/]+\}")


@dataclass(frozen=True)
class RoutePattern:
    """Hold a route that a user gave: `text` as it was given, and its segments, None for a variable one."""

    text: str
    segments: tuple[str | None, ...]

    @classmethod
    def parse(cls, text: str) -> RoutePattern:
        """Parse a route such as `/users/{id}/posts`. Raises ValueError."""
        if not text.startswith("/") or not text.isprintable():
            raise ValueError(f"{text!r} is no route: a route begins with /, such as /users/{{id}}")
        segments = text.split("/")[1:]
        bad = next((one for one in segments if ("{" in one or "}" in one) and not _VARIABLE.fullmatch(one)), None)
        if bad is not None:
            raise ValueError(f"{bad!r} in {text!r} is neither a whole segment in braces nor without braces")
        return cls(text, tuple(None if _VARIABLE.fullmatch(one) else one for one in segments))


class _Node:
    """Hold what may follow some segments: the next ones, and the first pattern that ends here."""

    def __init__(self) -> None:
        self.next: dict[str | None, _Node] = {}  # by the segment, None for a variable one
        self.place: int | None = None  # of the pattern among all


class RoutePatterns:
    """Hold the routes that a user gave; the first one that matches a path is its route."""

    def __init__(self, patterns: Iterable[RoutePattern]) -> None:
        self._texts: list[str] = []
        self._root = _Node()
        for place, pattern in enumerate(patterns):
            self._texts.append(pattern.text)
            node = self._root
            for segment in pattern.segments:
                node = node.next.setdefault(segment, _Node())
            node.place = place if node.place is None else node.place

    def find(self, path: str) -> str | None:
        """Return the route of a path, or None if no pattern matches it. An empty segment is no value."""
        nodes = [self._root] if self._texts else []
        for segment in path.split("/")[1:]:
            found = [node.next.get(wanted) for node in nodes for wanted in ((segment, None) if segment else (segment,))]
            nodes = [node for node in found if node is not None]
            if not nodes:
                return None
        places = [node.place for node in nodes if node.place is not None]
        return self._texts[min(places)] if places else None


NO_PATTERNS = RoutePatterns(())


def parse_lines(text: str) -> Iterator[RoutePattern]:
    """Parse a file of routes: one on each line; empty lines and those that begin with `#` mean nothing. Raises
    ValueError, which names the line."""
    for number, line in enumerate(text.splitlines(), 1):
        route = line.strip()
        if number > MAX_PATTERNS:
            raise ValueError(f"the file has more than {MAX_PATTERNS:,} lines")
        if route and not route.startswith("#"):
            try:
                yield RoutePattern.parse(route)
            except ValueError as error:
                raise ValueError(f"line {number}: {error}") from None
