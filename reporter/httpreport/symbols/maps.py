"""Read /proc/PID/maps: `Maps` has the mappings at one moment, sorted by address and without overlaps.

The text (proc(5)) is untrusted input: a line that is not `start-end perms offset dev inode path` is left out,
and so is a mapping that begins inside the one before it.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from operator import attrgetter
from typing import NamedTuple

MAX_MAPPINGS = 1 << 18  # four times the kernel's default vm.max_map_count

_LINE = re.compile(
    rb"([0-9a-f]{1,16})-([0-9a-f]{1,16}) [r-][w-]([x-])[ps] ([0-9a-f]{1,16}) [0-9a-f]+:[0-9a-f]+ [0-9]+ *(.*)"
)
_DELETED = b" (deleted)"


class Mapping(NamedTuple):
    """Hold one line: the addresses [start, end) show the file `path` from `offset` on. Anonymous memory has no path."""

    start: int
    end: int
    executable: bool
    offset: int
    path: bytes  # without " (deleted)"

    def file_offset(self, address: int) -> int:
        """Return the offset in the file of the byte at an address of the mapping."""
        return address - self.start + self.offset


class Maps:
    """Find the mappings of one process by address."""

    def __init__(self, mappings: list[Mapping]) -> None:
        self._mappings: list[Mapping] = []
        for mapping in sorted(mappings, key=attrgetter("start")):
            if not self._mappings or mapping.start >= self._mappings[-1].end:
                self._mappings.append(mapping)
        self._starts = [mapping.start for mapping in self._mappings]

    def find(self, address: int) -> Mapping | None:
        """Return the mapping that holds an address."""
        index = bisect_right(self._starts, address) - 1
        if index < 0 or address >= self._mappings[index].end:
            return None
        return self._mappings[index]

    def has_code(self, address: int) -> bool:
        """Return whether an executable mapping holds the address."""
        mapping = self.find(address)
        return mapping is not None and mapping.executable

    def __iter__(self) -> Iterator[Mapping]:
        return iter(self._mappings)

    def __len__(self) -> int:
        return len(self._mappings)


def parse(text: bytes) -> Maps:
    """Read /proc/PID/maps as the kernel prints it."""
    mappings = []
    for line in text.split(b"\n", MAX_MAPPINGS)[:MAX_MAPPINGS]:
        match = _LINE.fullmatch(line)
        if match is None:
            continue
        start, end, offset = (int(match[group], 16) for group in (1, 2, 4))
        path = match[5][: -len(_DELETED)] if match[5].endswith(_DELETED) else match[5]
        if start < end:
            mappings.append(Mapping(start, end, match[3] == b"x", offset, path))
    return Maps(mappings)
