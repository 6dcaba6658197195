"""Reduce paths to shapes, by what can be told of each path alone, and gather the shapes of a report.

A shape is the path with a route that the user gave, or with its typed segments replaced; the path of a gRPC call stays
as it is. What only many paths together can tell is decided later (`routes.py`). The shapes of two captures can be
merged, in any order and grouping, with the same result: of too many, those with the lowest hashes are kept, and each of
them was among the lowest wherever it was seen.
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Generic, NamedTuple, TypeVar

from .patterns import RoutePatterns
from .segments import typed

MAX_SHAPES = 100_000  # shapes, or keys with shapes, that are kept
MAX_SEGMENTS = 20  # of a path; those behind are one segment
REST = "{rest}"  # stands for them

Key = TypeVar("Key")


class Source(enum.IntEnum):
    """Say what a shape comes from."""

    SEGMENTS = 0  # the segments of its path
    PATTERN = 1  # a route that the user gave
    GRPC = 2  # the path of a gRPC call: service and method


class Shape(NamedTuple):
    """Hold a shape. Only one that comes from segments can change further."""

    text: str
    source: Source = Source.SEGMENTS


OTHER = Shape("{other}", Source.PATTERN)
"""Stands for the shapes that are too many to be kept."""


@lru_cache(maxsize=1 << 16)
def shape_of_segments(path: str) -> Shape:
    """Return the shape of a path by its segments alone."""
    segments = path.split("/")
    if len(segments) > MAX_SEGMENTS + 1:
        segments[MAX_SEGMENTS:] = [REST]
    return Shape("/".join(map(typed, segments)))


def shape_of(path: str, patterns: RoutePatterns, *, is_grpc: bool = False) -> Shape:
    """Return the shape of a path, which begins with `/`."""
    given = patterns.find(path)
    if given is not None:
        return Shape(given, Source.PATTERN)
    return Shape(path, Source.GRPC) if is_grpc else shape_of_segments(path)


Shapes = Mapping[Shape, str]
"""Shapes, and for each of them the path that comes first in the order of texts, as an example."""


class Merger(Generic[Key]):
    """Merge shapes, or other keys that have shapes, each with the path that is its example."""

    def __init__(self) -> None:
        self._examples: dict[Key, str] = {}

    def add(self, key: Key, path: str) -> None:
        """Add a key and its example."""
        self._examples[key] = min(path, self._examples.get(key, path))
        if len(self._examples) > 2 * MAX_SHAPES:
            self._examples = self.merged()

    def merged(self) -> dict[Key, str]:
        """Return at most MAX_SHAPES of all keys that were added."""
        return {key: self._examples[key] for key in _kept(self._examples)}


def merged(several: Iterable[Mapping[Key, str]]) -> Mapping[Key, str]:
    """Return at most MAX_SHAPES of all keys. The order and grouping of merges make no difference."""
    merger = Merger[Key]()
    for keys in several:
        for key, path in keys.items():
            merger.add(key, path)
    return merger.merged()


def _kept(keys: Iterable[Key]) -> Iterator[Key]:
    """Yield the keys that stay, in their order: all, or the MAX_SHAPES with the lowest hashes if they are more.

    Whatever is kept of the keys of several captures together is also kept of those of each.
    """
    listed = list(keys)
    if len(listed) <= MAX_SHAPES:
        return iter(listed)
    ranks = [_rank(key) for key in listed]
    limit = sorted(ranks)[MAX_SHAPES]
    return (key for key, rank in zip(listed, ranks) if rank < limit)


def _rank(key: object) -> bytes:
    """Return a number that is the same in every process, and unrelated to what the key says."""
    return hashlib.blake2b(repr(key).encode("utf-8", "backslashreplace"), digest_size=16).digest()
