"""Read functions of PHP from the memory of a process: their names, to be decoded elsewhere.

The cookie of a frame is a hash of all that names it, which the kernel has made at the send (php_walk.h). So it does not
matter whether a function is still the one that ran then: what has the same hash has the same names.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from httpcapture import UTF_8, Code

from .known_codes import CodeKey, ReplacedError
from .memory import Memory
from .php_process import Php

_FUNCTION = struct.Struct("<QQQ")  # zend_function: type in the low byte, function_name, scope
_FILE = struct.Struct("<QII")  # zend_op_array: filename, line_start, line_end
_STRING = struct.Struct("<IIQQ")  # zend_string: references, type, hash, length; then its characters
_CLASS_NAME = 8  # zend_class_entry
_IS_STRING, _INTERNAL_FUNCTION = 6, 1
_MAX_TEXT = 255  # bytes of a string of which the kernel hashes all
_FACTOR, _MASK = 0x9E3779B97F4A7C15, (1 << 64) - 1


class Function(NamedTuple):
    """Hold what names the frames of a function; a function of PHP itself has no file."""

    name: bytes
    class_name: bytes
    filename: bytes
    first_line: int

    @property
    def title(self) -> bytes:
        """Return the name with its class, empty for code outside of functions. A class without a name has one that PHP
        shows up to a NUL."""
        shown = self.class_name.partition(b"\0")[0]
        return shown + b"::" + self.name if shown else self.name


def code_of(memory: Memory, php: Php, key: CodeKey, address: int) -> Code:
    """Return the record of the function at an address. Raises ReplacedError if it has other names than that with this
    cookie, and OSError."""
    if php.layout is None:
        raise ReplacedError
    found = read_function(memory, php.layout.filename, address, key[3])
    return Code(
        *key,
        "",
        name=found.title,
        name_width=UTF_8,
        filename=found.filename,
        filename_width=UTF_8,
        first_line=found.first_line,
    )


def read_function(memory: Memory, place_of_file: int, address: int, cookie: int) -> Function:
    """Return the function at an address, as `code_of` does; its file is at this offset in a zend_op_array."""
    kind, name, scope = _FUNCTION.unpack(memory.read(address, _FUNCTION.size))
    texts = [_text(memory, name)]
    if scope:
        texts.append(_text(memory, memory.u64(scope + _CLASS_NAME)))
    words = [text_hash(text) for text in texts]
    filename, first_line, last_line = b"", 0, 0
    if kind & 0xFF != _INTERNAL_FUNCTION:
        place, first_line, last_line = _FILE.unpack(memory.read(address + place_of_file, _FILE.size))
        filename = _text(memory, place)
        words += [text_hash(filename), last_line << 32 | first_line]
    found = 0
    for word in words:
        found = _mixed(found, word)
    if found | 1 != cookie:
        raise ReplacedError
    return Function(texts[0], b"".join(texts[1:]), filename, first_line)


def text_hash(text: bytes) -> int:
    """Return the hash of a string, as in php_walk.h: 0 for none."""
    found = len(text)
    if not text:
        return 0
    for (word,) in struct.iter_unpack("<Q", text.ljust(len(text) // 8 * 8 + 8, b"\0")):
        found = _mixed(found, word)
    return found


def _mixed(found: int, word: int) -> int:
    found = (found ^ word) * _FACTOR & _MASK
    return found ^ found >> 32


def _text(memory: Memory, address: int) -> bytes:
    """Return the characters of a zend_string, none for no string. Raises ReplacedError if it is none, or too long."""
    if not address:
        return b""
    _, kind, _, length = _STRING.unpack(memory.read(address, _STRING.size))
    if kind & 0xF != _IS_STRING or length > _MAX_TEXT:
        raise ReplacedError
    return memory.read(address + _STRING.size, length) if length else b""
