"""Makes recorded text printable. Everything recorded goes through here before it is printed: no control code, escape or
bidi mark survives.

A comm, a path or a function name is chosen by whoever wrote the program. `printable` makes it one line of visible
characters; `frame` also keeps it apart from its neighbours in a folded stack.
"""

from __future__ import annotations

import re
from functools import lru_cache

LONGEST = 4096  # characters; C++ template names reach a few thousand
LONGEST_HOST = 64  # HOST_NAME_MAX of Linux

# flamegraph.pl takes "frame 12 34" for a frame with two weights (its differential format), so a frame
# may not end in a blank and a number.
_WEIGHT_AT_END = re.compile(r" +(?=[0-9]+(?:\.[0-9]*)?\Z)")


@lru_cache(maxsize=1 << 16)
def printable(text: bytes | str) -> str:
    r"""The text as one line that any terminal shows as it is: bytes that are not UTF-8 and characters that
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
    """A comm as the kernel keeps it (at most 15 bytes, then NULs), printable."""
    return printable(name.split(b"\0", 1)[0])


def host(name: str) -> str:
    """Return a host's name, printable and cut to the longest that Linux allows, since it is written with each call."""
    return printable(name[:LONGEST_HOST])


@lru_cache(maxsize=1 << 16)
def frame(text: bytes | str) -> str:
    """Return a text as one frame of a folded stack: printable and never empty.

    `;` becomes `:`, as stackcollapse-perf.pl writes it, and an end that flamegraph.pl would take for a weight is
    changed.
    """
    return _WEIGHT_AT_END.sub("_", printable(text).strip().replace(";", ":")) or "[no name]"


def _escaped(character: str) -> str:
    return (
        character.encode("ascii", "backslashreplace").decode("ascii")
        if not character.isascii()
        else f"\\x{ord(character):02x}"
    )
