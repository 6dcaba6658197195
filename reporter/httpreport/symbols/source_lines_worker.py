"""Read DWARF in a process of its own: whatever a debug file does to this process, the report goes on.

It limits its own memory and processor time, then answers one JSON line with one: `[file, build ID, name in the
cache, address]` with `{"at": [[function, file, line], ...]}`, innermost first, or with `{"problem": text}`. What
`symbolic` makes of a file it keeps in the cache, so that the next report of the same binary is fast. A file, or what is
in the cache, counts only if it has the build ID asked for; an empty one stands for a file that has none.

`symbolic` counts addresses from the lowest PT_LOAD.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import uuid

from symbolic.debuginfo import Archive
from symbolic.symcache import SymCache

from ..common.cache import Cache
from ..common.parent import end_with_parent

MAX_MEMORY = 4 << 30
MAX_PROCESSOR_S = 600
MAX_FILE = 1 << 30  # of a file in the cache
CACHE_BYTES = 2 << 30
MAX_INLINED = 64


def main() -> None:
    """Serve until standard input ends; where the parent is killed, end at once, also in the middle of an answer."""
    end_with_parent()
    for limit, value in (
        (resource.RLIMIT_AS, MAX_MEMORY),
        (resource.RLIMIT_CPU, MAX_PROCESSOR_S),
        (resource.RLIMIT_FSIZE, MAX_FILE),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(limit)[1]
        most = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(limit, (most, most))
    cache = Cache.of_user("lines", CACHE_BYTES)
    opened: dict[str, SymCache] = {}
    for line in sys.stdin.buffer:
        path, build_id, name, address = json.loads(line)
        try:
            if path not in opened:
                opened[path] = _open(path, build_id, cache, name)
            answer: dict[str, object] = {"at": _at(opened[path], address)}
        except (Exception, MemoryError) as error:  # of any kind: the report goes on
            answer = {"problem": str(error) or type(error).__name__}
        print(json.dumps(answer), flush=True)


def _open(path: str, build_id: str, cache: Cache, name: str) -> SymCache:
    kept = cache.find(name)
    if kept is not None:
        found = SymCache.open(kept)
        if found.is_latest_version and _is(found.debug_id, build_id):
            return found
    for debug in Archive.open(os.fsencode(path)).iter_objects():
        if _is(debug.debug_id, build_id):
            made = debug.make_symcache()
            try:
                cache.write(name, made.open_stream())
            except OSError:
                pass  # a full disk makes the next report slower, not this one wrong
            return made
    raise ValueError("the file belongs to another build")


def _is(debug_id: str, build_id: str) -> bool:
    """Return whether a debug ID is the build ID: its first 16 bytes as a UUID of little-endian fields."""
    return not build_id or debug_id.startswith(str(uuid.UUID(bytes_le=bytes.fromhex(build_id)[:16].ljust(16, b"\0"))))


def _at(symcache: SymCache, address: int) -> list[tuple[str, str | None, int]]:
    found = symcache.lookup(address)[:MAX_INLINED]
    return [(each.symbol, each.full_path, each.line) for each in found]


if __name__ == "__main__":
    main()
