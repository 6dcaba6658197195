"""Read source lines and inlined functions in a worker process, since DWARF may make it crash or hang.

A module on which it fails has no lines, and the reason is a line in `problems`."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import time
from dataclasses import dataclass, field

from .binary import Location

TIMEOUT_S = 60.0  # for one answer; the first answer for a module reads its whole DWARF
MAX_ANSWER = 1 << 20
_PIECE = 1 << 16


class NoAnswerError(Exception):
    """Report that the worker failed; the message says how."""


@dataclass(frozen=True)
class DebugFile:
    """Name a file with DWARF whose build was checked."""

    path: str
    build_id: bytes  # its GNU build ID, empty where it has none
    name: str  # in the cache: what the build is known by, and what tells this file from another of the same build

    @classmethod
    def of(cls, path: bytes, build_id: bytes, identity: bytes) -> DebugFile:
        """Describe the file at a path. Raises OSError."""
        status = os.stat(path)
        name = f"{identity.hex()[:64]}-{status.st_size:x}-{status.st_mtime_ns:x}.symcache"
        return cls(os.path.abspath(os.fsdecode(path)), build_id, name)


@dataclass
class LineReader:
    """Ask the worker. It is started when it is first needed, and again after it died."""

    problems: list[str] = field(default_factory=list)
    _worker: subprocess.Popen[bytes] | None = None
    _failed: set[str] = field(default_factory=set)

    def at(self, file: DebugFile, address: int) -> tuple[Location, ...]:
        """Return the functions at an address from the lowest PT_LOAD: innermost first, all but the last inlined."""
        if file.path in self._failed:
            return ()
        try:
            question = [file.path, file.build_id.hex(), file.name, address]
            answer = self._ask(json.dumps(question).encode() + b"\n")
            return tuple(Location(str(name), _text(path), int(line)) for name, path, line in answer["at"])
        except (NoAnswerError, KeyError, TypeError, ValueError) as error:
            self._failed.add(file.path)
            self.problems.append(f"no lines from {file.path}: {error}")
            return ()

    def close(self) -> None:
        """End the worker."""
        if self._worker is not None:
            self._worker.kill()
            self._worker.communicate()
            self._worker = None

    def _ask(self, question: bytes) -> dict[str, list[tuple[str, str | None, int]]]:
        worker = self._worker = self._worker or _start()
        assert worker.stdin is not None
        try:
            worker.stdin.write(question)
            worker.stdin.flush()
            answer = json.loads(_read_line(worker))
        except (OSError, NoAnswerError) as error:
            self.close()
            raise NoAnswerError(f"its DWARF could not be read ({error})") from None
        if "problem" in answer:
            raise NoAnswerError(answer["problem"])
        return dict(answer)


def _start() -> subprocess.Popen[bytes]:
    """Start the worker.

    -m puts the working directory first on the path, so that must be a directory that only root can write to.
    """
    paths = os.pathsep.join(os.path.abspath(path) for path in sys.path if path)
    command = [sys.executable, "-m", "httpreport.symbols.source_lines_worker"]
    return subprocess.Popen(
        command,
        cwd="/",
        env={**os.environ, "PYTHONPATH": paths},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        close_fds=False,  # the path of the modules may go through an inherited descriptor, /proc/self/fd/N
    )


def _read_line(worker: subprocess.Popen[bytes]) -> bytes:
    assert worker.stdout is not None
    line, deadline = b"", time.monotonic() + TIMEOUT_S
    with selectors.DefaultSelector() as ready:
        ready.register(worker.stdout, selectors.EVENT_READ)
        while not line.endswith(b"\n"):
            if not ready.select(max(deadline - time.monotonic(), 0)):
                raise NoAnswerError(f"no answer within {TIMEOUT_S:.0f} s")
            piece = os.read(worker.stdout.fileno(), _PIECE)
            line += piece
            if not piece or len(line) > MAX_ANSWER:
                raise NoAnswerError("the process that reads it died" if not piece else "the answer was too long")
    return line


def _text(path: object) -> str | None:
    return None if path is None else str(path)
