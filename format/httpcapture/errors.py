"""Whatever is wrong with a capture is a `CaptureError` that says what happened, to what, and what to do next.

A file that cannot be opened or read is an `OSError`, as everywhere in Python.
"""

from __future__ import annotations


class CaptureError(Exception):
    """The base of every error that a reader raises about the data it reads."""


class NotACapture(CaptureError):
    """The file does not begin as a capture does."""


class UnsupportedVersion(CaptureError):
    """A capture, but one that this reader is too old to read."""


class CorruptRecord(CaptureError):
    """The capture is damaged at `position`: the offset in the file of the frame that could not be read."""

    def __init__(self, name: str, position: int, reason: str) -> None:
        super().__init__(
            f"{name}: damaged at byte {position}: {reason}; what stands before it was read: "
            "compare the file with the original on the recorded host and copy it again"
        )
        self.position = position
        self.reason = reason


class Malformed(Exception):
    """What the inner layers raise, who know no file and no position; `Reader` makes it a `CorruptRecord`."""
