"""Make recorded text safe to print, without control codes, escapes and bidi marks.

A comm, a path or a function name is chosen by the author of the recorded program.
"""

from __future__ import annotations

from functools import lru_cache

LONGEST = 4096  # characters; C++ template names reach a few thousand


@lru_cache(maxsize=1 << 16)
def printable(text: bytes | str) -> str:
    r"""Return the text as one line that any terminal shows as it is: bytes that are not UTF-8 and characters that
    Unicode calls control, format (bidi marks, zero width), separator or unassigned are written as `\x1b` or
    `\u202e`."""
    if isinstance(text, bytes):
        text = text[: LONGEST * 4].decode("utf-8", "backslashreplace")
    if len(text) > LONGEST:
        text = text[: LONGEST - 3] + "..."
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else _escaped(c) for c in text)


def comm(name: bytes) -> str:
    """Return a comm as the kernel keeps it (at most 15 bytes, then NULs), printable."""
    return printable(name.split(b"\0", 1)[0])


def _escaped(character: str) -> str:
    if character.isascii():
        return f"\\x{ord(character):02x}"
    return character.encode("ascii", "backslashreplace").decode("ascii")
