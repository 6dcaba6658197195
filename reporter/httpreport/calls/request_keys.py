"""Give each distinct request of a capture a number: what method, of whom, and which shape of a path.

Routes are decided from the shapes of a whole report later (`routes/routes.py`). Here each head is read once, whichever
calls a filter keeps, so that a filter does not change routes.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from ..routes.patterns import RoutePatterns
from ..routes.shapes import MAX_SHAPES, OTHER, Merger, Shape, merged, shape_of
from .call_heads import CallHeads, Numbers
from .http_head import asking_lines, parse_request

_REMEMBERED = 1 << 12  # requests whose keys are remembered
_MOST_NUMBERED = 4 * MAX_SHAPES  # keys that are held while heads are read


class RequestKey(NamedTuple):
    """Identify requests that differ in values only. A text that is not known is empty."""

    method: str
    authority: str
    shape: Shape


NOT_KNOWN = RequestKey("", "", Shape(""))
"""Stands for requests of which nothing is known."""
OTHER_REQUEST = RequestKey("", "", OTHER)
"""Stands for requests that are too many to be told apart."""

Examples = Mapping[RequestKey, str]
"""Keys, and for each the path that comes first in the order of texts; empty if the path is not known. `shapes.Merger`
merges them."""


class RequestKeys:
    """Hold the keys of the requests of one capture."""

    def __init__(self, heads: CallHeads, patterns: RoutePatterns) -> None:
        found, remembered = _Numbering(), lru_cache(maxsize=_REMEMBERED)(lambda lines: key_of(lines, patterns))
        numbers = np.zeros(len(heads.texts), np.uint32)
        for place in heads.requests.tolist():
            key, path = remembered(asking_lines(heads.texts[place]))
            numbers[place] = found.number(key, path)
        self.examples: Examples = found.examples.merged()
        """Of all requests in the capture, or of so many as are kept."""
        self.keys = [NOT_KNOWN, OTHER_REQUEST, *self.examples]
        """The keys by their numbers."""
        number_of = {key: number for number, key in enumerate(self.keys)}
        self._number_of_place = np.array([number_of.get(key, 1) for key in found.keys], np.uint32)[numbers]

    def numbers(self, requests: Numbers) -> Numbers:
        """Return the number of the key of each request, given the places of the texts of their heads."""
        return self._number_of_place[requests]


def paths_by_shape(examples: Examples) -> Mapping[Shape, str]:
    """Return the shapes of keys that have a path, each with the first of its paths."""
    return merged({key.shape: path} for key, path in examples.items() if path)


class _Numbering:
    """Number keys as they are found. Keys that are too many to be kept are forgotten, but not their numbers."""

    def __init__(self) -> None:
        self.examples = Merger[RequestKey]()
        self.keys: list[RequestKey] = [NOT_KNOWN]  # by number; OTHER_REQUEST for those that are forgotten
        self._number_of = {NOT_KNOWN: 0}

    def number(self, key: RequestKey, path: str) -> int:
        """Return the number of a key, of which this path is an example, if it has a path."""
        if key != NOT_KNOWN:
            self.examples.add(key, path)
        number = self._number_of.setdefault(key, len(self.keys))
        if number == len(self.keys):
            self.keys.append(key)
            if len(self._number_of) > _MOST_NUMBERED:
                self._forget()
        return number

    def _forget(self) -> None:
        kept = {NOT_KNOWN, *self.examples.merged()}
        for key, number in self._number_of.items():
            if key not in kept:
                self.keys[number] = OTHER_REQUEST
        self._number_of = {key: number for key, number in self._number_of.items() if key in kept}


def key_of(lines: bytes, patterns: RoutePatterns) -> tuple[RequestKey, str]:
    """Return the key of a request and its path, which is empty if it is not known."""
    head = parse_request(lines)
    if not head.path:  # as of TLS, which tells the server's name only
        return RequestKey("", head.authority, NOT_KNOWN.shape), ""
    return RequestKey(head.method, head.authority, shape_of(head.path, patterns, is_grpc=head.is_grpc)), head.path
