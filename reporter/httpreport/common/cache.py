"""Keep files between runs, below XDG_CACHE_HOME/httpreport. A file is whole or absent, and their sizes are bounded.

A file is written under another name and renamed, so nobody ever reads half of one. When the files of one kind exceed
their share, the least recently used are removed. Whoever reads a file checks it like any other untrusted input.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass

PRIVATE = 0o700


@dataclass(frozen=True)
class Cache:
    """Hold the files of one kind, together at most `max_bytes`."""

    folder: str
    max_bytes: int

    @classmethod
    def of_user(cls, kind: str, max_bytes: int) -> Cache:
        """Return a cache below XDG_CACHE_HOME, which must be absolute (XDG Base Directory Specification), else below
        ~/.cache."""
        home = os.environ.get("XDG_CACHE_HOME", "")
        home = home if os.path.isabs(home) else os.path.expanduser("~/.cache")
        return cls(os.path.join(home, "httpreport", kind), max_bytes)

    def find(self, name: str) -> str | None:
        """Return the path of a file and mark it as used, or return None if there is no such file."""
        path = os.path.join(self.folder, name)
        try:
            os.utime(path)
        except OSError:
            return None
        return path

    def write(self, name: str, pieces: Iterable[bytes]) -> str:
        """Write a file and return its path. Raises OSError and what `pieces` raises; no file is left behind then."""
        os.makedirs(self.folder, PRIVATE, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=self.folder)
        try:
            with open(descriptor, "wb") as file:
                file.writelines(pieces)
            path = os.path.join(self.folder, name)
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
        self._shrink(path)
        return path

    def remove(self, name: str) -> None:
        """Remove a file if it exists and may be removed."""
        try:
            os.unlink(os.path.join(self.folder, name))
        except OSError:
            pass

    def _shrink(self, newest: str) -> None:
        """Remove the least recently used files until the others fit. `newest` always stays."""
        found = []
        for entry in os.scandir(self.folder):
            status = entry.stat(follow_symlinks=False)
            found.append((entry.path != newest, -status.st_mtime_ns, status.st_size, entry.path))
        total = 0
        for _, _, size, path in sorted(found):
            total += size
            if total > self.max_bytes and path != newest:
                os.unlink(path)
