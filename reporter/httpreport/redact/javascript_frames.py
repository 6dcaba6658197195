"""Redact JavaScript frames: each names its native frame by the number of that, and its function by another one."""

from __future__ import annotations

from collections.abc import Sequence

from httpcapture import Stack

from ..calls.process_keys import ProcessKey
from ..capture.recording import Recording
from ..languages.javascript import FRAME, places, raw_frames
from .codes import COOKIE, RedactedCodes

_MAX_OFFSET = 1 << 32  # of bytecode; larger ones are addresses


def redacted_javascript(recording: Recording, numbers: RedactedCodes, stack: Stack, depths: Sequence[int]) -> bytes:
    """Return the redacted JavaScript frames of a stack, without what turned out to be none. `depths` are those of its
    native frames."""
    key = ProcessKey.of(recording.meta, stack.pid, stack.process_start_ns)
    frames = []
    for native, (_, address, instruction, cookie) in zip(places(stack, depths), raw_frames(stack)):
        if native is None:
            continue
        number = numbers.number(key, stack.process_start_ns, address, cookie) if cookie else 0
        offset = instruction if instruction < _MAX_OFFSET else 0
        frames.append((native + 1, number, offset, COOKIE if cookie else 0))
    return b"".join(FRAME.pack(*frame) for frame in frames)
