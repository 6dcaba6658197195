"""Redact Python frames: addresses become numbers, and frames of a loop name their native frame by its number."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from httpcapture import Code, Stack

from ..capture.recording import ProcessKey, Recording
from ..languages.python_merge import places
from ..languages.python_stack import FRAME, Release, decoded_text, raw_frames, release_of, runs
from .masks import PathMasks

_BYTECODE = 1 << 32  # stands for the address of every code object's instructions
_COOKIE = 1


class RedactedPython:
    """Number the code objects of the frames of a recording."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._numbers: dict[tuple[ProcessKey, int, int], int] = {}  # by process, address and cookie
        self._starts: dict[ProcessKey, int] = {}  # of processes, in ns

    def redacted(self, stack: Stack, depths: Sequence[int]) -> Stack:
        """Return the stack with redacted Python frames. `depths` are those of its native frames."""
        if not stack.python:
            return stack
        key = ProcessKey.of(self._recording.meta, stack.pid, stack.process_start_ns)
        self._starts.setdefault(key, stack.process_start_ns)
        codes = self._recording.codes.get(key, {})
        release, numbers = release_of(stack), iter(places(stack, list(runs(stack, codes)), depths))
        frames = []
        for _, address, instruction, cookie, flags in raw_frames(stack):
            native = next(numbers, None) if release.ends_run(flags) else None
            if release.is_entry(flags):
                frames.append((0 if native is None else native + 1, 0, 0, 0, flags & 0xFF))
                continue
            number = self._numbers.setdefault((key, address, cookie), len(self._numbers) + 1)
            where = _instruction(release, codes.get((address, cookie)), instruction)
            frames.append((0, number, where, _COOKIE if cookie else 0, flags & 0xFFFF))
        return replace(stack, python=b"".join(FRAME.pack(*frame) for frame in frames))

    def codes(self, paths: PathMasks) -> Iterator[Code]:
        """Yield the code objects that frames refer to, with the folders of their files masked."""
        for (key, address, cookie), number in self._numbers.items():
            code = self._recording.codes.get(key, {}).get((address, cookie))
            if code is None:
                continue
            known = Code(key.pid, self._starts[key], number, _COOKIE, paths.text(code.problem))
            if not code.problem:
                name, filename = (
                    paths.within(decoded_text(text, width).encode("utf-8", "replace")).decode("utf-8", "replace")
                    for text, width in ((code.name, code.name_width), (code.filename, code.filename_width))
                )
                known = replace(
                    known,
                    name=name.encode("utf-32-le", "replace"),
                    name_width=4,
                    filename=filename.encode("utf-32-le", "replace"),
                    filename_width=4,
                    first_line=code.first_line,
                    table=code.table,
                    bytecode=_BYTECODE if code.bytecode else 0,
                    bytecode_size=code.bytecode_size,
                    first_traceable=code.first_traceable,
                )
            yield known


def _instruction(release: Release, code: Code | None, instruction: int) -> int:
    """Return where in its code object a frame is."""
    if not release.has_addresses:
        return instruction & 0xFFFFFFFF
    if code is None or code.problem:
        return 0
    return (instruction - code.bytecode + _BYTECODE) % (1 << 64)
