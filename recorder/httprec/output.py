"""The capture is created, never opened: root must not be led by a name to write into what is there already."""

from __future__ import annotations

import io
import os
import stat
import sys

from .errors import RecorderError

STDOUT = "-"
_MIN_FREE = 16 << 20  # bytes


def _owner() -> tuple[int, int]:
    """The user behind sudo, who will want to read the capture; else ourselves."""
    try:
        return int(os.environ["SUDO_UID"]), int(os.environ["SUDO_GID"])
    except (KeyError, ValueError):
        return os.getuid(), os.getgid()


def _remove_old(path: str) -> None:
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISREG(status.st_mode):
        raise RecorderError(f"{path} is not a regular file: -f replaces only files; remove it or choose another name")
    os.unlink(path)


def _check_space(path: str) -> None:
    folder = os.path.dirname(os.path.abspath(path))
    status = os.statvfs(folder)
    free = status.f_bavail * status.f_frsize
    if free < _MIN_FREE:
        raise RecorderError(
            f"{folder} has {free >> 20} MiB free, a recording wants {_MIN_FREE >> 20}: free some space or choose "
            "another -o FILE"
        )


def open_output(path: str, *, replace: bool) -> io.RawIOBase:
    """A new file of mode 0600, or standard output for `-`. Raises RecorderError where there can be none."""
    if path == STDOUT:
        if sys.stdout.isatty():
            raise RecorderError("-o - would write the capture to the terminal: redirect it to a file or a pipe")
        return open(os.dup(sys.stdout.fileno()), "wb", buffering=0)
    try:
        _check_space(path)
        if replace:
            _remove_old(path)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise RecorderError(f"{path} exists: give -f to replace it, or choose another -o FILE") from None
    except OSError as error:
        raise RecorderError(f"cannot create {path}: {error.strerror}; choose another -o FILE") from None
    os.fchown(fd, *_owner())
    return open(fd, "wb", buffering=0)
