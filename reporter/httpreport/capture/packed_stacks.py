"""Keep the stacks of a recording packed as in the file: stack copies are large, and the kept calls need few of them.

Stacks are unpacked one by one when they are asked for, so only one stack copy is in memory at a time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import Callable

from httpcapture import ALL_IDS, CorruptRecord, PackedStacks, Stack

MAX_STACKS = 1 << 23  # in one capture; more would take 1 GiB for ids, and a minute to step over


class RecordedStacks:
    """Hold the stacks of one recording in the order of the file. If several have one id, the first counts.

    `damage` says what is wrong if a stack could not be unpacked. This stack and those after it in its chunk are missing
    then. `ambiguous` has the ids that came again with other contents.
    """

    def __init__(self) -> None:
        self.damage: str | None = None
        self.ambiguous = set[int]()
        self.left_out: Counter[str] = Counter()
        """What was left out for lack of memory when stacks were named: counts by kind."""
        self.on_read: Callable[[int], None] = lambda size: None
        """Called with the size in bytes of each chunk that has been unpacked."""
        self._chunks: list[PackedStacks] = []

    def add(self, chunk: PackedStacks) -> None:
        """Add the next chunk of the capture. It stays packed."""
        self._chunks.append(chunk)

    @property
    def nbytes(self) -> int:
        """Return the bytes that the packed stacks take."""
        return sum(len(chunk.frame) for chunk in self._chunks)

    def __iter__(self) -> Iterator[Stack]:
        return (stack for _, stack in self.some(ALL_IDS))

    def some(self, wanted: Collection[int]) -> Iterator[tuple[int, Stack]]:
        """Yield the stacks whose ids are `wanted`, each with its number in the capture.

        The numbers count from 1 and are what the recorder prints live; after damage they are too low. Stacks after the
        first MAX_STACKS count as damage too.
        """
        contents = dict[int, int]()  # by id; 0 if the stack is not wanted
        for count, (id, stack) in enumerate(self._unpacked(wanted), 1):
            if count > MAX_STACKS:
                self.damage = self.damage or f"only the first {MAX_STACKS:,} are read: record in parts"
                return
            content, known = content_of(stack) if stack else 0, len(contents)
            if contents.setdefault(id, content) != content:
                self.ambiguous.add(id)
            if stack and len(contents) > known:
                yield len(contents), stack

    def _unpacked(self, wanted: Collection[int]) -> Iterator[tuple[int, Stack | None]]:
        for chunk in self._chunks if wanted else ():
            try:
                yield from chunk.select(wanted)
            except CorruptRecord as error:
                self.damage = self.damage or str(error)
            self.on_read(len(chunk.frame))


def content_of(stack: Stack) -> int:
    """Return a number that is equal for stacks that differ only in the time when they were taken."""
    return hash(replace(stack, taken_ns=0))
