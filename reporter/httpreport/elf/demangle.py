"""Turn a mangled name into the name in the source; a name that is not surely mangled stays as it is.

Only names with the prefixes of C++ (Itanium ABI) and Rust (legacy and v0) go through `multi-demangle`: its guesses
about other languages would change plain C names (`h__Fi`). Go does not mangle, but escapes bytes
of package paths as %XX (cmd/internal/objabi, PathToPrefix).

Special names of C++ (Itanium ABI, 5.1.4: thunks, virtual tables) read as c++filt writes them.
"""

from __future__ import annotations

import re
from functools import lru_cache

import multi_demangle

MAX_MANGLED = 4096
MAX_DEMANGLED = 4096

_MANGLED = re.compile(r"_{1,4}Z|_R[A-Z0-9]")
_GO_ESCAPE = re.compile(r"%([2-7][0-9a-f])")
_OFFSET = r"(?:hn?\d+|vn?\d+_n?\d+)_"
_THUNK = re.compile(rf"(_{{1,2}}Z)T(?:(?=([hv])){_OFFSET}|(c){_OFFSET}{_OFFSET})")
_THUNKS = {"h": "non-virtual thunk to ", "v": "virtual thunk to ", "c": "covariant return thunk to "}
_TABLE = re.compile(r"\{(vtable|vtt)\((.*)\)\}")
_TABLES = {"vtable": "vtable for ", "vtt": "VTT for "}
_CONSTRUCTION_TABLE = re.compile(r"(construction vtable for )(.*)-in-(.*?)(?=$| \[clone )")
_REFERENCE = re.compile(r"(&&?)((?:::\w+)+)(?![\w<])")
_EMPTY_PACK = re.compile(r"(?<!operator), (?=>)")  # that ends a list of template arguments


@lru_cache(maxsize=8192)
def demangle(name: str) -> str:
    """Return the readable form of a symbol's name, with its parameters; else `name` itself.

    Names longer than MAX_MANGLED, or whose readable form is longer than MAX_DEMANGLED (a few bytes can
    stand for megabytes), stay mangled.
    """
    if len(name) > MAX_MANGLED:
        return name
    if _MANGLED.match(name):
        readable = _demangled(name)
        return readable if len(readable) <= MAX_DEMANGLED else name
    if "%" in name and "." in name:
        return _GO_ESCAPE.sub(lambda escape: chr(int(escape[1], 16)), name)
    return name


def _demangled(name: str) -> str:
    thunks, target = "", name
    while thunk := _THUNK.match(target):
        thunks += _THUNKS[thunk[2] or thunk[3]]
        target = thunk[1] + target[thunk.end() :]
    readable: str = multi_demangle.demangle_symbol(target)
    if readable == target:
        return name
    return thunks + _as_cxxfilt(readable[: MAX_DEMANGLED + 1])


def _as_cxxfilt(readable: str) -> str:
    """Correct what the library writes differently from c++filt.

    It swaps the two classes of a construction vtable, and misplaces the `&` of a reference to a nested class (`A&::B`).
    """
    readable = _TABLE.sub(lambda table: _TABLES[table[1]] + table[2], readable, count=1)
    readable = _CONSTRUCTION_TABLE.sub(r"\1\3-in-\2", readable)
    readable = _REFERENCE.sub(r"\2\1", readable)
    return _EMPTY_PACK.sub("", readable)
