"""Stand in for the memory of a process."""

from __future__ import annotations

from collections.abc import Mapping

from httprec.languages.memory import Memory


class MadeMemory(Memory):
    """Hold bytes by the addresses at which they begin; no others can be read."""

    def __init__(self, content: Mapping[int, bytes]) -> None:
        self._content = content

    def read(self, address: int, size: int) -> bytes:
        """Return `size` bytes. Raises OSError if one is missing."""
        for start, data in self._content.items():
            found = data[address - start : address - start + size] if address >= start else b""
            if len(found) == size:
                return found
        raise OSError(0, f"{address:#x} is not in memory")
