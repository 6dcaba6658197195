"""The only file of the reporter that uses the network, and only when it was told to: binaries and debug files by build
ID from debuginfod servers.

What a server sends is bounded in size and time, kept in the cache, and checked by whoever reads it: its build ID has to
be the one asked for. A server that does not answer is not asked again in this run; each such failure is a line in
`problems`.

Protocol: debuginfod(8), "Webapi": GET /buildid/BUILDID/executable and /debuginfo.
"""

from __future__ import annotations

import http.client
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from typing import Protocol

from .cache import Cache
from .errors import ReportError

TIMEOUT_S = 5.0  # for a server to answer, or to go on
MAX_SECONDS = 120.0  # for one file
MAX_BYTES = 1 << 30  # of one file
CACHE_BYTES = 4 << 30
_PIECE = 1 << 20
_NOT_FOUND = 404
_FAILURES = (OSError, ValueError, http.client.HTTPException)  # URLError and timeouts are OSErrors


class _Body(Protocol):
    def read(self, size: int) -> bytes: ...


class Debuginfod:
    """Asks each of `urls` in order. Raises ReportError where one is no http or https URL."""

    def __init__(self, urls: Sequence[str], cache: Cache | None = None) -> None:
        for url in urls:
            parts = urllib.parse.urlsplit(url)
            if parts.scheme not in ("http", "https") or not parts.netloc:
                raise ReportError(f"not the URL of a debuginfod server: {url}")
        self._urls = list(urls)
        self._cache = cache or Cache.of_user("debuginfod", CACHE_BYTES)
        self._asked: dict[str, str | None] = {}
        self.problems: list[str] = []

    def executable(self, build_id: bytes) -> str | None:
        """The path of the binary itself, None where no server has it."""
        return self._file(build_id, "executable")

    def debug_file(self, build_id: bytes) -> str | None:
        """The path of its debug file, None where no server has it."""
        return self._file(build_id, "debuginfo")

    def _file(self, build_id: bytes, kind: str) -> str | None:
        name = f"{build_id.hex()}.{kind}"
        if name not in self._asked:
            self._asked[name] = self._cache.find(name) or self._fetched(name, f"/buildid/{build_id.hex()}/{kind}")
        return self._asked[name]

    def _fetched(self, name: str, path: str) -> str | None:
        for url in list(self._urls):
            try:
                with urllib.request.urlopen(url.rstrip("/") + path, timeout=TIMEOUT_S) as body:
                    return self._cache.write(name, _pieces(body))
            except urllib.error.HTTPError as error:
                error.close()
                if error.code != _NOT_FOUND:
                    self._give_up(url, f"answered with status {error.code}")
            except _FAILURES as error:
                self._give_up(url, str(getattr(error, "reason", error)) or type(error).__name__)
        return None

    def _give_up(self, url: str, why: str) -> None:
        self._urls.remove(url)
        self.problems.append(f"debuginfod server {url} is not asked any more: {why}: names and lines may be missing")


def _pieces(body: _Body) -> Iterator[bytes]:
    """Raises ValueError where there is too much, OSError where it takes too long."""
    deadline, left = time.monotonic() + MAX_SECONDS, MAX_BYTES
    while piece := body.read(_PIECE):
        left -= len(piece)
        if left < 0:
            raise ValueError(f"sent more than {MAX_BYTES >> 20} MiB")
        if time.monotonic() > deadline:
            raise TimeoutError(f"took more than {MAX_SECONDS:.0f} s")
        yield piece
