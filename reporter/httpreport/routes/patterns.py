"""Match paths with the routes that a user gives: `/users/{id}`, where `{id}` stands for any one segment."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

MAX_PATTERNS = 10_000
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

    def matches(self, segments: Iterable[str]) -> bool:
        """Return whether the segments of a path are those of this route. An empty segment is no value."""
        given = tuple(segments)
        return len(given) == len(self.segments) and all(
            one != "" if wanted is None else one == wanted for wanted, one in zip(self.segments, given)
        )


class RoutePatterns:
    """Hold the routes that a user gave; the first one that matches a path is its route."""

    def __init__(self, patterns: Iterable[RoutePattern]) -> None:
        self._by_length: dict[int, list[RoutePattern]] = {}
        for pattern in patterns:
            self._by_length.setdefault(len(pattern.segments), []).append(pattern)

    def find(self, path: str) -> str | None:
        """Return the route of a path, or None if no pattern matches it."""
        segments = path.split("/")[1:]
        of_length = self._by_length.get(len(segments), ())
        return next((pattern.text for pattern in of_length if pattern.matches(segments)), None)


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
