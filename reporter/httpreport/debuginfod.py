"""The only file of the reporter that uses the network, and only when it was told to: binaries and debug files by build
ID from debuginfod servers.

What a server sends is bounded in size and time, kept in the cache, and checked by whoever reads it: its build ID has to
be the one asked for, else it is refused and not kept. A server that does not answer is not asked again in this run.
Each such failure is a line in `problems`.

Protocol: debuginfod(8), "Webapi": GET /buildid/BUILDID/executable and /debuginfo.
"""

from __future__ import annotations

import http.client
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from email.message import Message
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
    @property
    def headers(self) -> Message: ...

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
        self._in_vain: set[str] = set()
        self.problems: list[str] = []

    def executables(self, build_id: bytes) -> Iterator[str]:
        """Paths of what may be the binary itself; none where no server has it. To ask for the next is to refuse one."""
        return self._files(build_id, "executable")

    def debug_files(self, build_id: bytes) -> Iterator[str]:
        """Paths of what may be its debug file; none where no server has it. To ask for the next is to refuse one."""
        return self._files(build_id, "debuginfo")

    def _files(self, build_id: bytes, kind: str) -> Iterator[str]:
        """The file in the cache, then that of each server. What is refused is not kept."""
        name = f"{build_id.hex()}.{kind}"
        if name in self._in_vain:
            return
        kept = self._cache.find(name)
        if kept:
            yield kept
            self._cache.remove(name)
        for url in list(self._urls):
            fetched = self._fetched(url, f"/buildid/{build_id.hex()}/{kind}", name)
            if fetched:
                yield fetched
                self._cache.remove(name)
                self.problems.append(f"debuginfod server {url} sent another {kind} than that of build {build_id.hex()}")
        self._in_vain.add(name)

    def _fetched(self, url: str, path: str, name: str) -> str | None:
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
    """Raises ValueError where there is too much, OSError where it takes too long or ends too early."""
    declared, received = body.headers.get("Content-Length"), 0
    deadline = time.monotonic() + MAX_SECONDS
    while piece := body.read(_PIECE):
        received += len(piece)
        if received > MAX_BYTES:
            raise ValueError(f"sent more than {MAX_BYTES >> 20} MiB")
        if time.monotonic() > deadline:
            raise TimeoutError(f"took more than {MAX_SECONDS:.0f} s")
        yield piece
    if declared is not None and received < int(declared):  # http.client's read(size) does not tell
        raise ConnectionError(f"sent {received} of {declared} bytes")
