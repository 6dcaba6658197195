"""Read code objects of CPython from the memory of a process: as they are, to be decoded elsewhere.

Only pointers are followed here. Whether a code object is still the one that a frame had is decided by its cookie, which
the kernel has made in the same way (python_walk.h).
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from httpcapture import MAX_CODE_TABLE, MAX_PATH

from .memory import Memory
from .python_process import Python

_OBJECT_TYPE, _OBJECT_SIZE = 8, 16  # PyVarObject
_STR_LENGTH, _STR_HASH, _STR_STATE = 16, 24, 32  # PyASCIIObject
_STR_CHARACTERS = 48  # up to 3.11
_BYTES_DATA = 32
_TEXT_SIZE = 64  # bytes of a file name that the kernel reads, with a NUL
_WORDS = 12  # that the kernel hashes of a code object
_FACTOR, _MASK = 0x9E3779B97F4A7C15, (1 << 64) - 1


class Text(NamedTuple):
    """Hold the characters of a str, `width` bytes each (1: Latin-1, 2 or 4: code points)."""

    characters: bytes
    width: int


class CodeObject(NamedTuple):
    """Hold what names the frames of a code object."""

    title: Text
    filename: Text
    first_line: int  # modulo 2^32
    table: bytes
    bytecode: int  # address of the first instruction, 0 up to 3.10
    bytecode_size: int  # bytes
    first_traceable: int  # index of the first instruction of which Python shows the frame


class ReplacedError(Exception):
    """Report that another object is at the address by now."""


def _mixed(value: int, word: int) -> int:
    value = (value ^ word) * _FACTOR & _MASK
    return value ^ value >> 32


def cookie_of(memory: Memory, python: Python, address: int) -> int:
    """Return what tells the code object at an address from all others. Raises OSError."""
    layout = python.layout
    words = struct.unpack(f"<{layout.code_words}Q", memory.read(address + layout.code_begin, 8 * layout.code_words))
    cookie = 0
    for word in (*words, *[0] * (_WORDS - len(words))):
        cookie = _mixed(cookie, word)
    if not layout.numbered:
        name, filename, table = (
            words[(offset - layout.code_begin) // 8] for offset in (layout.name, layout.filename, layout.table)
        )
        cookie = _mixed(cookie, memory.u64(name + _STR_HASH))
        for word in struct.unpack(f"<{_TEXT_SIZE // 8}Q", _c_string(memory, filename + _STR_CHARACTERS)):
            cookie = _mixed(cookie, word)
        head = struct.unpack("<4Q", memory.read(table + _OBJECT_SIZE, 32))
        for word in (head[0], head[2], head[3]):
            cookie = _mixed(cookie, word)
    return cookie | 1


def _c_string(memory: Memory, address: int) -> bytes:
    """Return the bytes up to a NUL, at most _TEXT_SIZE with it, and zeros. Raises OSError."""
    try:
        text = memory.read(address, _TEXT_SIZE)
    except OSError:  # it ends with its page
        text = memory.read(address, -address % 4096)
    return text[: _TEXT_SIZE - 1].partition(b"\0")[0].ljust(_TEXT_SIZE, b"\0")


def read_code(memory: Memory, python: Python, address: int, cookie: int) -> CodeObject:
    """Return the code object at an address. Raises ReplacedError if it is not the one with this cookie, and OSError.

    The cookie is compared last, so all that is returned was there while it was still the same.
    """
    layout = python.layout
    size = max(layout.table, layout.first_traceable or 0) + 8
    head = memory.read(address, size)
    (kind,) = struct.unpack_from("<Q", head, _OBJECT_TYPE)
    if python.code_type and kind != python.code_type:
        raise ReplacedError
    filename, title, table = (
        struct.unpack_from("<Q", head, offset)[0] for offset in (layout.filename, layout.title, layout.table)
    )
    found = CodeObject(
        title=_text(memory, python, title),
        filename=_text(memory, python, filename),
        first_line=struct.unpack_from("<I", head, layout.first_line)[0],
        table=_bytes(memory, table),
        bytecode=address + layout.bytecode if layout.bytecode is not None else 0,
        bytecode_size=2 * min(struct.unpack_from("<Q", head, _OBJECT_SIZE)[0], 1 << 30) if layout.bytecode else 0,
        first_traceable=struct.unpack_from("<I", head, layout.first_traceable)[0] if layout.first_traceable else 0,
    )
    if cookie_of(memory, python, address) != cookie:
        raise ReplacedError
    return found


def _text(memory: Memory, python: Python, address: int) -> Text:
    """Return a str, cut off at MAX_PATH bytes. Raises ReplacedError unless it is a compact one, as all of code are."""
    head = memory.read(address, _STR_STATE + 4)
    (length,), (state,) = struct.unpack_from("<Q", head, _STR_LENGTH), struct.unpack_from("<I", head, _STR_STATE)
    width, is_compact, is_ascii = state >> 2 & 7, state >> 5 & 1, state >> 6 & 1
    if not is_compact or width not in (1, 2, 4):
        raise ReplacedError
    offset = python.layout.characters if is_ascii else python.layout.wide_characters
    return Text(memory.read(address + offset, min(length * width, MAX_PATH // 4 * 4)), width)


def _bytes(memory: Memory, address: int) -> bytes:
    """Return the content of a bytes object, cut off at MAX_CODE_TABLE. Raises OSError."""
    return memory.read(address + _BYTES_DATA, min(memory.u64(address + _OBJECT_SIZE), MAX_CODE_TABLE))
