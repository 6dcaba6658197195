"""The stacks of a recording stay packed as in the file: copies take much room, and the calls that are kept need few.

They are unpacked one after the other when they are asked for, so of their copies one is in memory at a time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import Callable

from httpcapture import ALL_IDS, CorruptRecord, Stack, Stacks

MAX_STACKS = 1 << 23  # in one capture: 1 GiB of ids, and a minute to step over them


class RecordedStacks:
    """Of one recording, in the order of the file; of several with one id the first counts.

    `damage` says what is wrong where one could not be unpacked: it is missing then, and those behind it in its chunk.
    `ambiguous` are the ids that came again with another content.
    """

    def __init__(self) -> None:
        self.damage: str | None = None
        self.ambiguous = set[int]()
        self.left_out: Counter[str] = Counter()
        """What was left out when they were named, since it takes too much memory: how often, by what it is."""
        self.on_read: Callable[[int], None] = lambda size: None
        """Called with the bytes of each chunk that was unpacked."""
        self._chunks: list[Stacks] = []

    def add(self, chunk: Stacks) -> None:
        self._chunks.append(chunk)

    @property
    def nbytes(self) -> int:
        """Bytes that they take, packed."""
        return sum(len(chunk.frame) for chunk in self._chunks)

    def __iter__(self) -> Iterator[Stack]:
        return (stack for _, stack in self.some(ALL_IDS))

    def some(self, wanted: Collection[int]) -> Iterator[tuple[int, Stack]]:
        """Those with ids that are `wanted`, and their places in the capture, from 1, as the recorder prints them live
        (behind damage they are too low). Those behind the first MAX_STACKS are damage too."""
        contents = dict[int, int]()  # by id; 0 of those that are not wanted
        for count, (id, stack) in enumerate(self._unpacked(wanted), 1):
            if count > MAX_STACKS:
                self.damage = self.damage or f"only the first {MAX_STACKS:,} are read: record in parts"
                return
            content, places = content_of(stack) if stack else 0, len(contents)
            if contents.setdefault(id, content) != content:
                self.ambiguous.add(id)
            if stack and len(contents) > places:
                yield len(contents), stack

    def _unpacked(self, wanted: Collection[int]) -> Iterator[tuple[int, Stack | None]]:
        for chunk in self._chunks if wanted else ():
            try:
                yield from chunk.some(wanted)
            except CorruptRecord as error:
                self.damage = self.damage or str(error)
            self.on_read(len(chunk.frame))


def content_of(stack: Stack) -> int:
    """Return a number that is the same for stacks that differ in nothing but when they were taken."""
    return hash(replace(stack, taken_ns=0))
