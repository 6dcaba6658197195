"""Give each distinct request of a capture a number: what method, of whom, and which shape of a path.

Routes are decided from the shapes of a whole report later (`routes/routes.py`). Here each head is read once, whichever
calls a filter keeps, so that a filter does not change routes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from ..routes.patterns import RoutePatterns
from ..routes.shapes import OTHER, Shape, merged, shape_of
from .call_heads import CallHeads, Numbers
from .http_head import parse_request


class RequestKey(NamedTuple):
    """Identify requests that differ in values only. A text that is not known is empty."""

    method: str
    authority: str
    shape: Shape


NOT_KNOWN = RequestKey("", "", Shape(""))
"""Stands for requests whose path is not known."""
OTHER_REQUEST = RequestKey("", "", OTHER)
"""Stands for requests that are too many to be told apart."""

Examples = Mapping[RequestKey, str]
"""Keys, and for each the path that comes first in the order of texts. `shapes.merged` merges them."""


class RequestKeys:
    """Hold the keys of the requests of one capture."""

    def __init__(self, heads: CallHeads, patterns: RoutePatterns) -> None:
        self._texts, self._patterns = heads.texts, patterns
        places = heads.requests
        self.examples: Examples = merged(self._examples(places))
        """Of all requests in the capture, or of so many as are kept."""
        self.keys = [NOT_KNOWN, OTHER_REQUEST, *self.examples]
        """The keys by their numbers."""
        numbers = {key: number for number, key in enumerate(self.keys)}
        self._number_of_place = np.zeros(len(heads.texts), np.uint32)
        for place in places.tolist():
            key = self._key(place)
            self._number_of_place[place] = 0 if key is None else numbers.get(key[0], 1)

    def numbers(self, requests: Numbers) -> Numbers:
        """Return the number of the key of each request, given the places of the texts of their heads."""
        return self._number_of_place[requests]

    def _examples(self, places: Numbers) -> Iterator[Examples]:
        for place in places.tolist():
            key = self._key(place)
            if key is not None:
                yield dict([key])

    def _key(self, place: int) -> tuple[RequestKey, str] | None:
        """Return the key of a request and its path, or None if that is not known."""
        head = parse_request(self._texts[place])
        if not head.path:
            return None
        shape = shape_of(head.path, self._patterns, is_grpc=head.is_grpc)
        return RequestKey(head.method, head.authority, shape), head.path


def paths_by_shape(examples: Examples) -> Mapping[Shape, str]:
    """Return the shapes of keys, each with the first of its paths."""
    return merged({key.shape: path} for key, path in examples.items())
