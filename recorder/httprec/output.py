"""Create the file of a capture. An existing file is never opened, so that no name can lead root to write into it."""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import stat
import sys

from .errors import RecorderError

STDOUT = "-"
_MIN_FREE = 16 << 20  # bytes


def _owner() -> tuple[int, int]:
    """Return the user and group who ran sudo, since they will read the capture; else our own."""
    try:
        return int(os.environ["SUDO_UID"]), int(os.environ["SUDO_GID"])
    except (KeyError, ValueError):
        return os.getuid(), os.getgid()


def _check_space(folder: str) -> None:
    status = os.statvfs(folder)
    free = status.f_bavail * status.f_frsize
    if free < _MIN_FREE:
        raise RecorderError(
            f"{folder} has {free >> 20} MiB free, a recording needs {_MIN_FREE >> 20}: free some space or choose "
            "another -o FILE"
        )


def _check_stdout() -> None:
    if sys.stdout.isatty():
        raise RecorderError("-o - would write the capture to the terminal: redirect it to a file or a pipe")
    if not fcntl.fcntl(sys.stdout.fileno(), fcntl.F_GETFL) & (os.O_WRONLY | os.O_RDWR):
        raise RecorderError("-o - cannot write to standard output, which is closed: redirect it to a file or a pipe")


def _is_regular(path: str) -> bool | None:
    """Return whether `path` is a regular file, or None if nothing has that path."""
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except OSError:
        return None


def _is_file(path: str) -> bool:
    """Return whether `path` is an existing file. Raises RecorderError if it is something else."""
    regular = _is_regular(path)
    if regular is False:
        raise RecorderError(f"{path} is not a regular file: -f replaces only files; choose another -o FILE")
    return bool(regular)


def check_output(path: str, *, replace: bool) -> None:
    """Raise RecorderError if `open_output` cannot work; change nothing."""
    if path == STDOUT:
        _check_stdout()
        return
    if _is_file(path) and not replace:
        raise RecorderError(f"{path} exists: give -f to replace it, or choose another -o FILE")
    folder = os.path.dirname(os.path.abspath(path))
    if not os.access(folder, os.W_OK | os.X_OK):
        raise RecorderError(f"cannot write into {folder}: it is missing or not writable; choose another -o FILE")
    _check_space(folder)


def open_output(path: str, *, replace: bool) -> io.RawIOBase:
    """Create and open a file with mode 0600, or open standard output for `-`. Raises RecorderError if that fails."""
    if path == STDOUT:
        return open(os.dup(sys.stdout.fileno()), "wb", buffering=0)
    try:
        if replace and _is_file(path):  # again, because it may have changed since check_output
            os.unlink(path)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise RecorderError(f"{path} exists: give -f to replace it, or choose another -o FILE") from None
    except OSError as error:
        raise RecorderError(f"cannot create {path}: {error.strerror}; choose another -o FILE") from None
    with contextlib.suppress(PermissionError):  # FAT has no owners, NFS may not let root change them
        os.fchown(fd, *_owner())
    return open(fd, "wb", buffering=0)


def remove(path: str) -> None:
    """Delete a file. Raises RecorderError if that fails, but not if the file is gone already."""
    if _is_regular(path) is False:
        raise RecorderError(f"cannot remove {path}: it is not a regular file; choose another -o FILE")
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise RecorderError(f"cannot remove {path}: {error.strerror}; choose another -o FILE") from None


def is_removed(stream: io.RawIOBase) -> bool:
    """Return whether the open file was deleted, so that nobody will find it."""
    return os.fstat(stream.fileno()).st_nlink == 0
