"""Find the PHP in a process, and describe it to the kernel. Nothing is stopped or changed.

The first module that PHP registers is its core, and says for which layouts of structs it was compiled. Whether the
frames are where that layout says is checked at each walk: beside the pointer to the first of them is a size of pages.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable
from typing import NamedTuple, Optional

from httpbpf.layout import PHP_LAYOUT
from httpcapture import WalkStatus

from ..rows import RowCodec
from .elf_symbols import KnownSymbols, Symbols
from .mapped_files import MappedFile
from .memory import Memory
from .php_layouts import LAYOUTS, Layout

_CODEC = RowCodec(PHP_LAYOUT)
_GLOBALS, _MODULES = "executor_globals", "module_registry"
_NAMED_LIKE_PHP = re.compile(rb"php")  # files that may hold one, beside the executable
_TABLE_ENTRIES = 16  # HashTable.arData; the value in a Bucket is first
_MODULE = struct.Struct("<HxxIBB")  # zend_module_entry: size, zend_api, zend_debug, zts
_MODULE_SIZE = 168  # of all versions since 7.0
_START_CODE = 25  # among the fields of /proc/PID/stat, from 0


class Php(NamedTuple):
    """Describe the PHP of a process. Without a layout its frames cannot be followed, for the reason `unwalked`."""

    version: tuple[int, int]
    layout: Optional[Layout] = None
    page_size: int = 0  # where it is, in bytes from where the code of the executable begins, modulo 2^64
    in_executable: bool = False
    unwalked: WalkStatus = WalkStatus.NOT_WALKED

    def for_process(self) -> bytes:
        """Return a struct php_layout (runtime_rows.h), empty if there is none."""
        if self.layout is None:
            return b""
        return _CODEC.make({"page_size": self.page_size, "filename": self.layout.filename})

    def for_executable(self) -> bytes:
        """Return the same if it holds for all processes of the same executable."""
        return self.for_process() if self.in_executable else b""


_SYMBOLS = KnownSymbols((_GLOBALS, _MODULES), _MODULES, _NAMED_LIKE_PHP)


def find_php(pid: int, files: Iterable[MappedFile], executable: bytes) -> Php | None:
    """Return the PHP of a process, None if it has none that has started. Raises OSError if the process ends."""
    found = _SYMBOLS.among(files, executable)
    if found is None:
        return None
    file, symbols = found
    with Memory(pid) as memory:
        php = php_of(memory, file, symbols)
    if php is None:
        return None
    place = (php.page_size - _start_of_code(pid)) % (1 << 64)
    return php._replace(page_size=place, in_executable=file.path == executable)


def php_of(memory: Memory, file: MappedFile, symbols: Symbols) -> Php | None:
    """Return the PHP of a file that a process has mapped, with an address as its `page_size`; None if it is none or has
    not started. Raises OSError."""
    bias = file.start - file.offset - symbols.code_shift
    entries = memory.u64(symbols.named[_MODULES].address + bias + _TABLE_ENTRIES)
    size, api, is_debug, has_threads = _MODULE.unpack(memory.read(memory.u64(entries), _MODULE.size))
    if size != _MODULE_SIZE:
        return None
    layout = LAYOUTS.get(api)
    if layout is None or is_debug:
        return Php((0, 0), unwalked=WalkStatus.OTHER_VERSION)
    if has_threads or _GLOBALS not in symbols.named:
        return Php(layout.version, unwalked=WalkStatus.HAS_THREADS)
    return Php(layout.version, layout, symbols.named[_GLOBALS].address + bias + layout.page_size)


def _start_of_code(pid: int) -> int:
    """Return mm_struct.start_code of a process. Raises OSError."""
    with open(f"/proc/{pid}/stat", "rb") as file:
        return int(file.read().rpartition(b")")[2].split()[_START_CODE - 2])
