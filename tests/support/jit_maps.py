"""Keep the parts of JIT maps that the recorder writes."""

from __future__ import annotations

from httpcapture import BeyondLimitError, JitMap, Writer


class Written(Writer):
    """Keep the parts instead of writing them, up to `limit`."""

    def __init__(self, limit: int = 1 << 20) -> None:
        self.parts: list[JitMap] = []
        self.limit = limit

    def jit_map(self, jit_map: JitMap) -> None:
        if len(self.parts) == self.limit:
            raise BeyondLimitError
        self.parts.append(jit_map)

    def texts(self) -> dict[int, bytes]:
        """Return each text by the time that identifies it. Its parts follow each other."""
        texts: dict[int, bytes] = {}
        for part in self.parts:
            before = texts.get(part.taken_ns, b"")
            assert part.start == len(before)
            texts[part.taken_ns] = before + part.data
        return texts
