"""Find the V8 in a process, by the symbols of Node's binary. Nothing is stopped or changed."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from .elf_symbols import KnownSymbols, Symbols
from .mapped_files import MappedFile
from .memory import Memory
from .v8_layouts import MAJOR, MINOR, SYMBOLS, Layout, UnknownLayoutError, Version, layout_of

_NAMED_LIKE_NODE = re.compile(rb"node|v8", re.IGNORECASE)  # files that may hold one, beside the executable
_SYMBOLS = KnownSymbols(SYMBOLS, "v8dbg_off_fp_function", _NAMED_LIKE_NODE)


class NoV8Error(Exception):
    """Report why the functions of a V8 cannot be read."""


class V8(NamedTuple):
    """Describe the V8 of a process."""

    version: Version
    layout: Layout


def find_v8(pid: int, files: Iterable[MappedFile], executable: bytes) -> V8 | None:
    """Return the V8 of a process, None if it has none. Raises NoV8Error if it has one that is not known, and OSError
    if the process ends."""
    found = _SYMBOLS.among(files, executable)
    if found is None:
        return None
    with Memory(pid) as memory:
        return _v8(memory, *found)


def _v8(memory: Memory, file: MappedFile, symbols: Symbols) -> V8:
    bias = file.start - file.offset - symbols.code_shift
    values = {name: _signed(memory.u32(symbol.address + bias)) for name, symbol in symbols.named.items()}
    if MAJOR not in values or MINOR not in values:
        raise NoV8Error("its binary does not say its version")
    version = values.pop(MAJOR), values.pop(MINOR)
    try:
        return V8(version, layout_of(version, values))
    except UnknownLayoutError as error:
        raise NoV8Error(str(error)) from error


def _signed(number: int) -> int:
    return number - (1 << 32) if number >> 31 else number
