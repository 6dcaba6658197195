"""Keep the stacks of a chunk packed until they are needed: stack copies are large, and a report may need few."""

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
TRAILING = "there are bytes after the chunk's last record"


@dataclass(frozen=True)
class PackedStacks:
    """Iterate over the stacks of one chunk, in the order of the file. Raises CorruptRecord at a damaged one."""

    frame: bytes  # as it stands in the file; its checksum and sizes were checked
    damaged: Callable[[str], Exception]  # makes the exception from a reason

    def __iter__(self) -> Iterator[Stack]:
        return (stack for _, stack in self.select(ALL_IDS) if stack)

    def select(self, wanted: Container[int]) -> Iterator[tuple[int, Optional[Stack]]]:
        """Yield the ID of each stack, and the stack if its ID is in `wanted`, else None. Raises CorruptRecord."""
        try:
            source = Source(frames.decompressor().decompress(self.frame))
            head = HEAD.read(source)
            for _ in range(head.count):
                yield STACK.read_wanted(source, wanted)
            if not source.at_end():
                raise Malformed(TRAILING)
        except Malformed as error:
            raise self.damaged(str(error)) from None
