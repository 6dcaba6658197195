"""A mangled name is shown as its author wrote it; a name that is not surely mangled is left as it is.

C++ (Itanium ABI) and Rust (legacy and v0) go through `multi-demangle`, only under their own prefixes: its
guesses about other languages would rewrite plain C names (`h__Fi`). Go does not mangle, but escapes bytes
of package paths as %XX (cmd/internal/objabi, PathToPrefix).
"""

from __future__ import annotations

import re
from functools import lru_cache

import multi_demangle

MAX_MANGLED = 4096
MAX_DEMANGLED = 4096

_MANGLED = re.compile(r"_{1,4}Z|_R[A-Z0-9]")
_GO_ESCAPE = re.compile(r"%([2-7][0-9a-f])")


@lru_cache(maxsize=8192)
def demangle(name: str) -> str:
    """The readable form of a symbol's name, with its parameters; else `name` itself.

    Names longer than MAX_MANGLED, or whose readable form is longer than MAX_DEMANGLED (a few bytes can
    stand for megabytes), stay mangled.
    """
    if len(name) > MAX_MANGLED:
        return name
    if _MANGLED.match(name):
        readable: str = multi_demangle.demangle_symbol(name)
        return readable if len(readable) <= MAX_DEMANGLED else name
    if "%" in name and "." in name:
        return _GO_ESCAPE.sub(lambda escape: chr(int(escape[1], 16)), name)
    return name
