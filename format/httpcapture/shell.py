"""Quote paths in the commands that both programs print for the user to type next."""

from __future__ import annotations

import os
import shlex
import string

_PLAIN = (string.ascii_letters + string.digits + "/._-").encode()  # needs quotes in no shell


def quoted(path: str) -> str:
    """Return a path as one word of a shell's command line that no program takes for an option. Characters that cannot
    be printed are escaped as in bash, ksh and zsh: `$'a\\x0ab'`."""
    path = f"./{path}" if path.startswith("-") else path
    if path.isprintable():
        return shlex.quote(path)
    plain = (chr(byte) if byte in _PLAIN else f"\\x{byte:02x}" for byte in os.fsencode(path))
    return f"$'{''.join(plain)}'"
