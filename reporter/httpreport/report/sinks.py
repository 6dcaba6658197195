"""Define what receives the report of a capture while it exists, for outputs that list calls one by one.

An aggregate has no single calls, so nothing could list them later.
"""

from __future__ import annotations

from typing import Protocol

from .report import Report


class Sink(Protocol):
    """Store what one output lists of one capture. It must be picklable, because another process may fill it."""

    def write(self, report: Report, capture: str) -> None:
        """Store what the output lists of this report. `capture` is the path of the file. Raises OSError."""

    def discard(self) -> None:
        """Remove what was stored, because the capture could not be read to its end."""
