"""Redact the code objects that frames of programs refer to: number them, and mask the folders of their files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from httpcapture import Code

from ..calls.process_keys import ProcessKey
from ..capture.recording import Recording
from ..languages.runs import decoded_text
from .masks import PathMasks

BYTECODE = 1 << 32  # stands for the address of every code object's instructions
COOKIE = 1


class RedactedCodes:
    """Number the code objects of the frames of a recording."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._numbers: dict[tuple[ProcessKey, int, int], int] = {}  # by process, address and cookie
        self._starts: dict[ProcessKey, int] = {}  # of processes, in ns

    def number(self, process: ProcessKey, start_ns: int, address: int, cookie: int) -> int:
        """Return the number of a code object, which a redacted capture has instead of its address."""
        self._starts.setdefault(process, start_ns)
        return self._numbers.setdefault((process, address, cookie), len(self._numbers) + 1)

    def redacted(self, paths: PathMasks) -> Iterator[Code]:
        """Yield the code objects that have a number."""
        for (key, address, cookie), number in self._numbers.items():
            code = self._recording.codes.get(key, {}).get((address, cookie))
            if code is None:
                continue
            known = Code(key.pid, self._starts[key], number, COOKIE, paths.text(code.problem))
            if not code.problem:
                name = decoded_text(code.name, code.name_width).encode("utf-8", "replace")
                filename = paths.script(decoded_text(code.filename, code.filename_width))
                known = replace(
                    known,
                    name=paths.within(name).decode("utf-8", "replace").encode("utf-32-le", "replace"),
                    name_width=4,
                    filename=filename.encode("utf-32-le", "replace"),
                    filename_width=4,
                    first_line=code.first_line,
                    table=code.table,
                    bytecode=BYTECODE if code.bytecode else 0,
                    bytecode_size=code.bytecode_size,
                    first_traceable=code.first_traceable,
                    position=code.position,
                    line_ends=code.line_ends,
                )
            yield known
