"""The stacks of a chunk stay packed until they are asked for: copies take much room, and few may be needed."""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass
from typing import Callable, Optional

from . import frames
from .chunks import HEAD, STACK
from .codec import Source
from .errors import Malformed
from .records import Stack

ALL_IDS = range(1 << 64)


@dataclass(frozen=True)
class Stacks:
    """The stacks of one chunk, in the order of the file. Raises CorruptRecord where one is damaged, once that one is
    reached."""

    frame: bytes  # as it stands in the file; its checksum and sizes are right
    damaged: Callable[[str], Exception]  # makes the exception, of a reason

    def __iter__(self) -> Iterator[Stack]:
        return (stack for _, stack in self.some(ALL_IDS) if stack)

    def some(self, wanted: Container[int]) -> Iterator[tuple[int, Optional[Stack]]]:
        """The id of each stack, and the stack if its id is wanted; else it is stepped over."""
        try:
            source = Source(frames.decompressor().decompress(self.frame))
            head = HEAD.read(source)
            for _ in range(head.count):
                yield STACK.read_wanted(source, wanted)
            if not source.at_end():
                raise Malformed("bytes after the chunk's last record")
        except Malformed as error:
            raise self.damaged(str(error)) from None
