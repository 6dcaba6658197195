"""Define the errors of a reader. A `CaptureError` says what is wrong with a capture, and what to do next.

A file that cannot be opened or read raises OSError, as everywhere in Python.
"""

from __future__ import annotations


class CaptureError(Exception):
    """Report that a reader cannot use the data of a capture; the base of the errors below."""


class NotACapture(CaptureError):
    """Report that a file does not begin as a capture does."""


class UnsupportedVersion(CaptureError):
    """Report that a capture needs another version of the reader."""


class CorruptRecord(CaptureError):
    """Report that a capture is damaged; `position` is the offset in the file of the frame that cannot be read."""

    def __init__(self, name: str, position: int, reason: str) -> None:
        super().__init__(
            f"{name}: damaged at byte {position}: {reason}; everything before it was read: "
            "compare the file with the original on the recorded host and copy it again"
        )
        self.position = position
        self.reason = reason


class Malformed(Exception):
    """Report damage from an inner layer, which does not know the file or the offset; `Reader` turns it into
    `CorruptRecord`."""
