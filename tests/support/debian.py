"""Fetch files of Debian packages for tests, from any suite, through the cache that guests use."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vm.apt import Apt, AptError
from vm.rootfs import unpack


def unpack_packages(suite: str, names: Sequence[str], folder: Path, members: str = "*") -> None:
    """Unpack the packages `names`, but not their dependencies, into `folder`; only the files that match `members`.
    Raises AptError, and ImageError if a package cannot be unpacked.

    In a module that imports live.own_cache, call it in a module-scoped fixture, because a test's own cache is empty.
    """
    try:
        files = _files(Apt(suite), names)
    except AptError:  # a mirror deletes what it replaces: even lists of today can name what is gone
        files = _files(Apt(suite, fetch_lists=True), names)
    for file in files:
        unpack(file, folder, members)


def _files(apt: Apt, names: Sequence[str]) -> list[Path]:
    return apt.download([package for package in apt.resolve(names) if package.name in names])
