"""Fetch binaries and debug files by build ID from debuginfod servers, if the user asks for it.

No other file of the reporter uses the network. An answer is bounded in size and time, and kept in the cache. Its reader
checks that it has the requested build ID, else refuses it, and it does not stay in the cache. A server that does not
answer is not asked again in this run. Each failure is a line in `problems`.

Protocol: debuginfod(8), "Webapi": GET /buildid/BUILDID/executable and /debuginfo. How servers are named:
debuginfod-client-config(7), DEBUGINFOD_URLS, and init_server_urls and init_handle in elfutils' debuginfod-client.c.
Words that begin with ima: tell how signatures are checked, and are no servers. Below a file:// URL the same paths are
those of files.
"""

from __future__ import annotations

import http.client
import os
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable, Iterator, Sequence
from email.message import Message
from typing import NamedTuple, Optional, Protocol

from ..common.cache import Cache

TIMEOUT_S = 5.0  # for a server to answer, or to go on
MAX_SECONDS = 120.0  # for one file
MAX_BYTES = 1 << 30  # of one file
CACHE_BYTES = 4 << 30
_PIECE = 1 << 20
_NOT_FOUND = 404
_USER = re.compile("//[^/]*@")  # and a password, which is not for a report
_FAILURES = (OSError, ValueError, http.client.HTTPException)  # URLError and timeouts are OSErrors


class _Body(Protocol):
    @property
    def headers(self) -> Message: ...

    def read(self, size: int) -> bytes: ...


def servers_of(texts: Iterable[str]) -> list[str]:
    """Return the servers that texts like DEBUGINFOD_URLS name, each once."""
    words = (word for text in texts for word in text.split())
    return list(dict.fromkeys(word for word in words if not word.startswith("ima:")))


class Debuginfod:
    """Ask each of the servers in order."""

    def __init__(self, servers: Sequence[str], cache: Cache | None = None) -> None:
        self.problems: list[str] = []
        self._locations: dict[str, _ServerLocation] = {}  # by the names of the servers
        for name in servers:
            try:
                self._locations[name] = _locate(name)
            except ValueError as error:
                self._problem(name, f"is not asked: {error}")
        self._cache = cache or Cache.of_user("debuginfod", CACHE_BYTES)
        self._in_vain: set[str] = set()

    def executables(self, build_id: bytes) -> Iterator[str]:
        """Yield paths of binaries that servers have. Asking for the next path refuses the one before."""
        return self._files(build_id, "executable")

    def debug_files(self, build_id: bytes) -> Iterator[str]:
        """Yield paths of debug files that servers have. Asking for the next path refuses the one before."""
        return self._files(build_id, "debuginfo")

    def _files(self, build_id: bytes, kind: str) -> Iterator[str]:
        """Yield the file in the cache, then the file of each server. A refused file does not stay in the cache."""
        name = f"{build_id.hex()}.{kind}"
        if name in self._in_vain:
            return
        kept = self._cache.find(name)
        if kept:
            yield kept
            self._cache.remove(name)
        for server, location in list(self._locations.items()):
            path = f"/buildid/{build_id.hex()}/{kind}"
            found = (
                self._fetched(server, location.url + path, name)
                if location.folder is None
                else _file(location.folder + path)
            )
            if found:
                yield found
                if location.folder is None:
                    self._cache.remove(name)
                self.problems.append(
                    f"debuginfod server {server} sent the {kind} of another build than {build_id.hex()}"
                )
        self._in_vain.add(name)

    def _fetched(self, server: str, url: str, name: str) -> str | None:
        try:
            with urllib.request.urlopen(url, timeout=TIMEOUT_S) as body:
                return self._cache.write(name, _pieces(body))
        except urllib.error.HTTPError as error:
            error.close()
            if error.code != _NOT_FOUND:
                self._give_up(server, f"answered with status {error.code}")
        except _FAILURES as error:
            self._give_up(server, str(getattr(error, "reason", error)) or type(error).__name__)
        return None

    def _give_up(self, server: str, why: str) -> None:
        del self._locations[server]
        self._problem(server, f"is not asked any more: {why}")

    def _problem(self, server: str, what: str) -> None:
        shown = _USER.sub("//...@", server)
        self.problems.append(f"debuginfod server {shown} {what}: names and lines may be missing")


class _ServerLocation(NamedTuple):
    """Say where a server is: a URL or, for a file:// URL, a folder. Neither ends with a slash."""

    url: str
    folder: Optional[str] = None


def _locate(server: str) -> _ServerLocation:
    """Return where a server is. Raises ValueError if its name cannot be the name of a server."""
    named = server if "://" in server or server.startswith("file:") else f"http://{server}"  # as curl takes it
    url = urllib.parse.urlsplit(named)
    if "@" in url.netloc:
        raise ValueError("a user name in its URL is not supported")
    if url.scheme in ("http", "https") and url.netloc:
        return _ServerLocation(named.rstrip("/"))
    if url.scheme != "file":
        raise ValueError("it is not an http, https or file URL")
    if url.netloc not in ("", "localhost", "127.0.0.1"):
        raise ValueError("its files are on another host")
    folder = os.fsdecode(urllib.parse.unquote_to_bytes(url.path))
    if not os.path.isdir(folder):
        raise ValueError("the folder does not exist")
    return _ServerLocation(named, folder.rstrip("/"))


def _file(path: str) -> str | None:
    return path if os.path.exists(path) else None


def _pieces(body: _Body) -> Iterator[bytes]:
    """Yield the bytes of an answer. Raises ValueError if it is too long, OSError if it is slow or cut off."""
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
