"""What a capture's report is handed to while it exists: outputs that list calls one by one take what they need from it.

An aggregate knows no single call, so nothing could list them later.
"""

from __future__ import annotations

from typing import Protocol

from .report import Report


class Sink(Protocol):
    """Stores what one output lists of one capture. It must be picklable: another process may fill it."""

    def write(self, report: Report, capture: str) -> None:
        """Store what the output lists of this report of the file `capture`. Raises OSError."""

    def discard(self) -> None:
        """Remove what was stored: the capture cannot be read to its end."""
