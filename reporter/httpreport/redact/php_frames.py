"""Redact PHP frames: what tells functions apart becomes numbers."""

from __future__ import annotations

from httpcapture import Stack

from ..calls.process_keys import ProcessKey
from ..capture.recording import Recording
from ..languages.runs import FRAME, raw_frames
from .codes import COOKIE, RedactedCodes

_KEPT_FLAGS = (1 << 40) - 1  # all that have a meaning


def redacted_php(recording: Recording, numbers: RedactedCodes, stack: Stack) -> bytes:
    """Return the redacted PHP frames of a stack."""
    key = ProcessKey.of(recording.meta, stack.pid, stack.process_start_ns)
    return b"".join(
        FRAME.pack(
            1 if function else 0,
            numbers.number(key, stack.process_start_ns, code, cookie) if cookie else 0,
            line & 0xFFFFFFFF,
            COOKIE if cookie else 0,
            flags & _KEPT_FLAGS,
        )
        for function, code, line, cookie, flags in raw_frames(stack.php)
    )
