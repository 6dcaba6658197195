"""Define the filters that ask for what is in the heads of calls: path, route, authority, status, request ID.

Each says of a call that it passes, that it does not, or that this is not known. A head is judged once, however many
calls have it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from httpcapture import Outcome

from ..common.safe_regex import Matcher, glob, regular_expression
from ..routes.patterns import RoutePatterns
from ..routes.routes import ANY
from ..routes.segments import is_variable
from ..routes.shapes import Shape, Source, shape_of
from .call_heads import CallHeads, Numbers
from .http_head import RequestHead, ids, parse_headers, parse_request
from .schema import HEADS, ColumnsByName

Mask = npt.NDArray[np.bool_]
EXPRESSION = "re:"
_MATCHERS = 64  # expressions whose matchers are remembered
_STATUS = re.compile(r"(>=|<=|>|<)?([1-9][0-9]{2})|([1-9])xx", re.ASCII)


@lru_cache(maxsize=_MATCHERS)
def _matcher(text: str) -> Matcher:
    """Return what matches the paths that were asked for. Raises ValueError."""
    return regular_expression(text[len(EXPRESSION) :]) if text.startswith(EXPRESSION) else glob(text)


@dataclass(frozen=True)
class Verdicts:
    """Say of each call whether it passes, and whether that is known."""

    passing: Mask
    known: Mask


@dataclass(frozen=True)
class PathFilter:
    """Ask for a path by a pattern, or by a regular expression after `re:`. The query is no part of a path."""

    text: str

    @classmethod
    def parse(cls, text: str) -> PathFilter:
        """Return the filter for what was given. Raises ValueError."""
        _matcher(text)
        return cls(text)

    def matches(self, path: str) -> bool:
        """Return whether this is asked for."""
        return _matcher(self.text).matches(path)

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class RouteFilter:
    """Ask for a route as a summary shows it. `{*}` stands for any one segment that has no type."""

    text: str

    @classmethod
    def parse(cls, text: str) -> RouteFilter:
        """Return the filter for what was given. Raises ValueError."""
        if not text.startswith("/"):
            raise ValueError(f"{text!r} is no route: a route begins with /, such as /users/{{n}}")
        return cls(text)

    def matches(self, shape: Shape) -> bool:
        """Return whether a call whose path has this shape has this route, or may have it."""
        if shape.text == self.text or shape.source is not Source.SEGMENTS:
            return shape.text == self.text
        wanted, segments = self.text.split("/"), shape.text.split("/")
        return len(wanted) == len(segments) and all(
            one == of or (of == ANY and one != "" and not is_variable(one)) for of, one in zip(wanted, segments)
        )

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class StatusFilter:
    """Ask for statuses from `first` to `last`."""

    text: str
    first: int
    last: int

    @classmethod
    def parse(cls, text: str) -> StatusFilter:
        """Parse `404`, `5xx`, `>=400`, `>400`, `<=299` or `<400`. Raises ValueError."""
        match = _STATUS.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r} is no status: give one such as 404, 5xx or >=400")
        sign, number, hundreds = match.groups()
        if hundreds:
            return cls(text, int(hundreds) * 100, int(hundreds) * 100 + 99)
        status = int(number)
        bounds = {None: (status, status), ">=": (status, 999), ">": (status + 1, 999)}
        return cls(text, *{**bounds, "<=": (100, status), "<": (100, status - 1)}[sign])

    def __str__(self) -> str:
        return self.text


def by_method(calls: ColumnsByName, methods: tuple[str, ...]) -> Verdicts:
    """Ask for one of these methods."""
    method = calls["method"]
    return Verdicts(np.isin(method, [name.encode() for name in methods]), method != b"")


def by_status(calls: ColumnsByName, statuses: tuple[StatusFilter, ...]) -> Verdicts:
    """Ask for one of these statuses. A call that was not answered is known to have none."""
    status = calls["status"]
    passing = np.zeros(len(status), np.bool_)
    for one in statuses:
        passing |= (status >= one.first) & (status <= one.last)
    return Verdicts(passing, (status != 0) | (calls["outcome"] != Outcome.ANSWERED))


def by_path(calls: ColumnsByName, heads: CallHeads, paths: tuple[PathFilter, ...]) -> Verdicts:
    """Ask for a path that one of these matches."""
    return _of_requests(calls, heads, lambda head: any(one.matches(head.path) for one in paths) if head.path else None)


def by_route(
    calls: ColumnsByName, heads: CallHeads, routes: tuple[RouteFilter, ...], patterns: RoutePatterns
) -> Verdicts:
    """Ask for one of these routes."""

    def judge(head: RequestHead) -> bool | None:
        shape = shape_of(head.path, patterns, is_grpc=head.is_grpc) if head.path else None
        return None if shape is None else any(route.matches(shape) for route in routes)

    return _of_requests(calls, heads, judge)


def by_authority(calls: ColumnsByName, heads: CallHeads, authorities: tuple[str, ...]) -> Verdicts:
    """Ask for one of these authorities, with the port if the request names it. Case makes no difference (RFC 9110,
    4.2.3)."""
    wanted = {authority.lower() for authority in authorities}
    return _of_requests(calls, heads, lambda head: head.authority.lower() in wanted if head.authority else None)


def by_request_id(calls: ColumnsByName, heads: CallHeads, wanted: tuple[str, ...]) -> Verdicts:
    """Ask for one of these IDs of a request or trace. A call is known to have none if all of its heads are known."""

    def judge(text: bytes) -> bool | None:
        headers, cut = parse_headers(text)
        return any(one in wanted for one in ids(headers)) or (None if cut else False)

    request, response = (_of_texts(calls[name], heads, judge) for name in HEADS)
    passing = request.passing | response.passing
    unanswered = calls["outcome"] != Outcome.ANSWERED
    return Verdicts(passing, passing | (request.known & (response.known | unanswered)))


def _of_requests(calls: ColumnsByName, heads: CallHeads, judge: Callable[[RequestHead], bool | None]) -> Verdicts:
    return _of_texts(calls["request"], heads, lambda text: judge(parse_request(text)))


def _of_texts(places: Numbers, heads: CallHeads, judge: Callable[[bytes], bool | None]) -> Verdicts:
    """Judge the texts at these places, each distinct one once. The text of an unknown head is not judged."""
    distinct, of_call = np.unique(places, return_inverse=True)
    verdicts = [judge(heads.texts[place]) if place else None for place in distinct.tolist()]
    passing = np.array([verdict is True for verdict in verdicts], np.bool_)
    known = np.array([verdict is not None for verdict in verdicts], np.bool_)
    return Verdicts(passing[of_call], known[of_call])
