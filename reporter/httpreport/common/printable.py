"""Make recorded text printable. Everything recorded goes through here before it is printed: no control code, escape or
bidi mark survives.

A comm, a path or a function name is chosen by whoever wrote the program. `printable` makes it one line of visible
characters; `frame` also keeps it apart from its neighbours in a folded stack.
"""

from __future__ import annotations

import re
from functools import lru_cache

from httpcapture.printable import comm, printable

__all__ = ["comm", "frame", "host", "printable"]

LONGEST_HOST = 64  # HOST_NAME_MAX of Linux

# flamegraph.pl takes "frame 12 34" for a frame with two weights (its differential format), so a frame
# may not end in a blank and a number.
_WEIGHT_AT_END = re.compile(r" +(?=[0-9]+(?:\.[0-9]*)?\Z)")


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
