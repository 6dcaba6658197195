"""Output files appear whole or not at all: written under a temporary name in the same directory, then
renamed.

A file that is there is replaced only if that was asked for; a symlink of that name is never followed. New
files are for their owner alone (0600), as the capture is.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from contextlib import suppress

from .errors import ReportError


def check(directory: str, names: Iterable[str], *, force: bool, option: str = "-o") -> None:
    """Find out before the work begins whether `write` can work. Makes the directory if it is missing. `option` is the
    one that chose it.

    Raises ReportError.
    """
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
    for name in names:
        path = os.path.join(directory, name)
        if os.path.lexists(path) and not force:
            raise ReportError(f"{path} exists: use -f to replace it, or choose another place with {option}")
        if os.path.isdir(path) and not os.path.islink(path):
            raise ReportError(f"{path} is a directory: choose another one with {option}")


def write(directory: str, name: str, lines: Iterable[str]) -> str:
    """Write the lines to a file and return its path. Raises ReportError, with no file left behind."""
    return write_pieces(directory, name, ((line + "\n").encode("utf-8", "backslashreplace") for line in lines))


def write_pieces(directory: str, name: str, pieces: Iterable[bytes]) -> str:
    """The same with what is to be written as it is."""
    path = os.path.join(directory, name)
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=f".{name}.", dir=directory)
        try:
            with open(descriptor, "wb") as file:
                file.writelines(pieces)
            os.replace(temporary, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary)
            raise
    except OSError as error:
        raise ReportError(f"cannot write {path}: {error.strerror or error}") from None
    return path
