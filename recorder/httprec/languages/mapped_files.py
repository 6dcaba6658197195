"""List the files that a process has mapped to execute them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

_MAPPED = re.compile(rb"^([0-9a-f]+)-([0-9a-f]+) ..x. ([0-9a-f]+) [0-9a-f]+:[0-9a-f]+ [0-9]+ +(/.*)$", re.MULTILINE)
DELETED = b" (deleted)"


class MappedFile(NamedTuple):
    """Describe an executable mapping of a file."""

    path: bytes
    start: int
    offset: int
    link: str  # by which it can be opened, although it was deleted or is in another mount namespace


def mapped_files(pid: int, maps: bytes) -> Iterator[MappedFile]:
    """Yield the executable mappings of files, of each file the first."""
    seen = set()
    for low, high, offset, shown in _MAPPED.findall(maps):
        path = shown.removesuffix(DELETED)
        if path not in seen:
            seen.add(path)
            start, end = int(low, 16), int(high, 16)
            yield MappedFile(path, start, int(offset, 16), f"/proc/{pid}/map_files/{start:x}-{end:x}")
