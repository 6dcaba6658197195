"""Write output files so that each appears whole or not at all: under a temporary name in the same directory, then
renamed.

A regular file is replaced only if the user asked for that. Anything else, such as a device, a named pipe or a symbolic
link, is never replaced. New files can be read by their owner only (0600), like the capture. The path `-` stands for
standard output.
"""

from __future__ import annotations

import os
import secrets
import stat
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from ..common.errors import ReportError

STDOUT = "-"
_KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


@dataclass(frozen=True)
class Target:
    """Describe the destination of one output. `option` is the option that chose it; `force` lets it replace a regular
    file."""

    path: str
    option: str
    force: bool = False
    binary: bool = False  # must not go to a terminal

    @property
    def is_stdout(self) -> bool:
        """Return whether the output goes to standard output."""
        return self.path == STDOUT

    @property
    def is_terminal(self) -> bool:
        """Return whether the output goes to standard output and that is a terminal."""
        return self.is_stdout and sys.stdout.isatty()

    @property
    def name(self) -> str:
        """Return how messages name the destination."""
        return "standard output" if self.is_stdout else self.path

    @property
    def directory(self) -> str:
        """Return the directory of the file, "." if the path has none."""
        return os.path.dirname(self.path) or "."

    def check(self) -> None:
        """Check, before the work begins, that `write` can succeed. Makes the directory if it is missing.

        Raises ReportError.
        """
        if not self.is_stdout:
            check_directory(self.directory, self.option)
            self._check_file()
        elif self.binary and self.is_terminal:
            raise ReportError(
                f"{self.option} - would write binary data to the terminal: redirect it to a file or a pipe"
            )

    def write(self, pieces: Iterable[bytes]) -> None:
        """Write the pieces. If that fails, no file is left behind. Raises ReportError."""
        if self.is_stdout:
            sys.stdout.buffer.writelines(pieces)
            sys.stdout.flush()
            return
        temporary = temporary_path(self.directory)
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                with open(descriptor, "wb") as file:
                    file.writelines(pieces)
                self._check_file()  # a file may have appeared meanwhile
                os.replace(temporary, self.path)
            except BaseException:
                with suppress(OSError):
                    os.unlink(temporary)
                raise
        except OSError as error:
            raise ReportError(
                f"cannot write {self.path}: {error.strerror or error}; choose another place with {self.option}"
            ) from None

    def _check_file(self) -> None:
        """Check that the path names nothing that may not be replaced. Raises ReportError."""
        try:
            kind = stat.S_IFMT(os.lstat(self.path).st_mode)
        except FileNotFoundError:
            return
        except OSError as error:
            raise ReportError(
                f"cannot write {self.path}: {error.strerror}; choose another place with {self.option}"
            ) from None
        if kind != stat.S_IFREG:
            what = _KINDS.get(kind, "not a regular file")
            or_stdout = "" if self.option == "-o" else ", or - for standard output"
            raise ReportError(
                f"{self.path} is {what}, and only regular files are replaced: choose another place with "
                f"{self.option}{or_stdout}"
            )
        if not self.force:
            raise ReportError(f"{self.path} exists: use -f to replace it, or choose another place with {self.option}")


def temporary_path(directory: str) -> str:
    """Return a path in the directory that no file has.

    It is relative if the directory is. The tempfile module makes paths absolute, and such a path cannot be used if the
    working directory lies below a directory that the user cannot enter.
    """
    return os.path.join(directory, f".httpreport.{secrets.token_hex(8)}")


def check_directory(directory: str, option: str) -> None:
    """Make sure that files can be created in the directory. A missing directory is created. Raises ReportError."""
    try:
        os.mkdir(directory)
    except FileExistsError:
        if not os.path.isdir(directory):
            raise ReportError(f"{directory} is not a directory: choose another one with {option}") from None
    except OSError as error:
        raise ReportError(
            f"cannot make the directory {directory}: {error.strerror}; choose another with {option}"
        ) from None
    if not os.access(directory, os.W_OK | os.X_OK):
        raise ReportError(f"cannot write in the directory {directory}: choose another one with {option}")


def check_apart(targets: Iterable[Target], captures: Sequence[str]) -> None:
    """Make sure that no output replaces a capture that is read, or another output. Raises ReportError."""
    read = {identity: path for path in captures if (identity := _identity(path))}
    written: dict[str, Target] = {}
    for target in targets:
        if target.is_stdout:
            continue
        identity = _identity(target.path)
        if identity in read:
            raise ReportError(
                f"{target.path} is the capture {read[identity]}, which is to be read: choose another place with "
                f"{target.option}"
            )
        path = os.path.join(os.path.realpath(target.directory), os.path.basename(target.path))
        other = written.setdefault(path, target)
        if other is not target:
            raise ReportError(
                f"{other.option} and {target.option} both write {target.path}: choose another place for one of them"
            )


def _identity(path: str) -> tuple[int, int] | None:
    """Return the device and inode of a file, or None if it does not exist."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino
