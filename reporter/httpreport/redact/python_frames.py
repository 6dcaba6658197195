"""Redact Python frames: addresses become numbers, and frames of a loop name their native frame by its number."""

from __future__ import annotations

from collections.abc import Sequence

from httpcapture import Code, Stack

from ..calls.process_keys import ProcessKey
from ..capture.recording import Recording
from ..languages.merge import places
from ..languages.python_stack import Release, release_of, runs
from ..languages.runs import FRAME, raw_frames
from .codes import BYTECODE, COOKIE, RedactedCodes


def redacted_python(recording: Recording, numbers: RedactedCodes, stack: Stack, depths: Sequence[int]) -> bytes:
    """Return the redacted Python frames of a stack. `depths` are those of its native frames."""
    if not stack.python:
        return b""
    key = ProcessKey.of(recording.meta, stack.pid, stack.process_start_ns)
    codes = recording.codes.get(key, {})
    release, natives = release_of(stack), iter(places(stack, list(runs(stack, codes)), depths))
    frames = []
    is_open = False
    for _, address, instruction, cookie, flags in raw_frames(stack.python):
        is_entry, ends_run = release.is_entry(flags), release.ends_run(flags)
        native = next(natives, None) if ends_run and (is_open or not is_entry) else None
        is_open = not ends_run
        if is_entry:
            frames.append((0 if native is None else native + 1, 0, 0, 0, flags & 0xFF))
            continue
        number = numbers.number(key, stack.process_start_ns, address, cookie)
        where = _instruction(release, codes.get((address, cookie)), instruction)
        frames.append((0, number, where, COOKIE if cookie else 0, flags & 0xFFFF))
    return b"".join(FRAME.pack(*frame) for frame in frames)


def _instruction(release: Release, code: Code | None, instruction: int) -> int:
    """Return where in its code object a frame is."""
    if not release.has_addresses:
        return instruction & 0xFFFFFFFF
    if code is None or code.problem:
        return 0
    return (instruction - code.bytecode + BYTECODE) % (1 << 64)
