"""Read code objects of CPython from the memory of a process: as they are, to be decoded elsewhere.

Only pointers are followed here. Whether a code object is still the one that a frame had is decided by its cookie, which
the kernel has made in the same way (python_walk.h), and by its count of references: freed memory may be as it was.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from httpcapture import MAX_CODE_TABLE, MAX_PATH, Code

from .known_codes import CodeKey, ReplacedError
from .memory import Memory
from .python_process import Python

_OBJECT_SIZE = 16  # PyVarObject: references, type, size
# Bits of the count that may be set, and that may not be: an allocator leaves a pointer there in freed memory, or one in
# the place of the type, or nothing, and then the count is 0.
_REFERENCES, _NO_REFERENCES = (1 << 32) - 1, 0xFFFF << 32
_IMMORTAL = 1 << 30  # references of an object that is never freed: only such code objects have the number 0
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


def living_cookie(memory: Memory, python: Python, address: int) -> int:
    """Return what tells the code object at an address from all others. Raises ReplacedError if there is none, and
    OSError."""
    layout = python.layout
    head = memory.read(address, layout.code_begin + 8 * layout.code_words)
    references, kind = struct.unpack_from("<QQ", head)
    if not references & _REFERENCES or references & _NO_REFERENCES or kind != python.code_type:
        raise ReplacedError
    words = struct.unpack_from(f"<{layout.code_words}Q", head, layout.code_begin)
    if layout.numbered:
        if not words[0] >> 32 and references & _REFERENCES < _IMMORTAL:
            raise ReplacedError  # the process has run out of numbers
        contents = []
    else:
        contents = [0] * (_WORDS - len(words))
        name, filename, table = (
            words[(offset - layout.code_begin) // 8] for offset in (layout.name, layout.filename, layout.table)
        )
        contents.append(memory.u64(name + _STR_HASH))
        contents += struct.unpack(f"<{_TEXT_SIZE // 8}Q", _c_string(memory, filename + _STR_CHARACTERS))
        size, _, *first = struct.unpack("<4Q", memory.read(table + _OBJECT_SIZE, 32))
        contents += size, 0, *first  # 0: its hash, which may be set later
    cookie: int = sum(word * factor(place) for place, word in enumerate((*words, *contents)))
    return _mixed(cookie) | 1


def factor(place: int) -> int:
    """Return what the word at a place among those of a code object is multiplied by, as in python_walk.h."""
    return _mixed(2 * place + 1) * _FACTOR & _MASK | 1


def _mixed(word: int) -> int:
    word = word * _FACTOR & _MASK
    return word ^ word >> 32


def _c_string(memory: Memory, address: int) -> bytes:
    """Return the bytes up to a NUL, at most _TEXT_SIZE with it, and zeros. Raises OSError."""
    try:
        text = memory.read(address, _TEXT_SIZE)
    except OSError:  # it ends with its page
        text = memory.read(address, -address % 4096)
    return text[: _TEXT_SIZE - 1].partition(b"\0")[0].ljust(_TEXT_SIZE, b"\0")


def code_of(memory: Memory, python: Python, key: CodeKey, address: int) -> Code:
    """Return the record of the code object at an address. Raises ReplacedError if it is not the one with this cookie,
    and OSError."""
    found = read_code(memory, python, address, key[3])
    return Code(
        *key,
        "",
        name=found.title.characters,
        name_width=found.title.width,
        filename=found.filename.characters,
        filename_width=found.filename.width,
        first_line=found.first_line,
        table=found.table,
        bytecode=found.bytecode,
        bytecode_size=found.bytecode_size,
        first_traceable=found.first_traceable,
    )


def read_code(memory: Memory, python: Python, address: int, cookie: int) -> CodeObject:
    """Return the code object at an address. Raises ReplacedError if it is not the one with this cookie, and OSError.

    The cookie is compared last: an object that lives then has kept alive all that was read before.
    """
    layout = python.layout
    size = max(layout.table, layout.first_traceable or 0) + 8
    head = memory.read(address, size)
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
    if living_cookie(memory, python, address) != cookie:
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
