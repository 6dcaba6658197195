"""Keep what is built under the hash of all its inputs, so that no entry is ever out of date.

An entry is one file, KIND/KEY in the cache's folder. One process at a time builds it, in an empty work space,
and it is moved to its name when it is whole: a reader finds all of it or nothing. Each kind keeps the entries
that were used last.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


def folder() -> Path:
    """Return the cache's folder: $HTTPREC_GUEST_CACHE, or httprec-guest among the user's caches."""
    chosen = os.environ.get("HTTPREC_GUEST_CACHE")
    if chosen:
        return Path(chosen).resolve()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").resolve() / "httprec-guest"


def key(*inputs: object) -> str:
    """Return a name for what is made from `inputs` (values that JSON can write): 24 hexadecimal digits."""
    return hashlib.sha256(json.dumps(inputs).encode()).hexdigest()[:24]


@contextmanager
def lock(name: str) -> Iterator[None]:
    """Hold the lock `name`; the kernel releases it if this process dies."""
    folder().mkdir(parents=True, exist_ok=True)
    with open(folder() / f"{name}.lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def workspace(name: str) -> Iterator[Path]:
    """Yield an empty folder of the cache's file system, with the lock `name` held while it is used."""
    with lock(name):
        path = folder() / f"{name}.unfinished"
        shutil.rmtree(path, ignore_errors=True)  # from a process that was killed
        path.mkdir()
        try:
            yield path
        finally:
            shutil.rmtree(path)


def entry(kind: str, name: str, build: Callable[[Path], Path], *, keep: int) -> Path:
    """Return the entry `name` of `kind`, after building it with `build(workspace)` if it does not exist."""
    path = folder() / kind / name
    if not _touch(path):
        with workspace(kind) as space:
            if not _touch(path):
                built = build(space)
                path.parent.mkdir(exist_ok=True)
                built.rename(path)
                _touch(path)
                prune(path.parent, keep)
    return path


def prune(directory: Path, keep: int) -> None:
    """Delete the files of `directory` except the `keep` that were modified last."""
    newest_first = sorted(directory.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in newest_first[keep:]:
        path.unlink()


def _touch(path: Path) -> bool:
    """Mark `path` as used now; return False if it does not exist."""
    try:
        os.utime(path)
    except FileNotFoundError:
        return False
    return True
