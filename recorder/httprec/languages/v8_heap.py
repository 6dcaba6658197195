"""Read objects of V8's heap from the memory of a process. Everything may have moved or be something else by now.

A tagged pointer is the address of an object and 1; a Smi is a number in the upper half of a word.
Source: src/objects of V8: heap-object.tq, string.tq, instance-type.h.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from .memory import Pages
from .v8_layouts import Layout

_WORD = 8
_MAX_PARTS = 64  # of a string that is put together from others
_NOT_STRING, _REPRESENTATION, _ONE_BYTE, _UNCACHED = ~0x7F, 7, 8, 0x10
_SEQUENTIAL, _CONS, _EXTERNAL, _SLICED, _THIN = 0, 1, 2, 3, 5
_FIRST, _SECOND, _OFFSET, _DATA = 16, 24, 24, 24  # words of the other kinds of strings
_CHARACTERS = 16


class MovedError(Exception):
    """Report that there is no such object at an address, or not any more."""


class Text(NamedTuple):
    """Hold the characters of a string, `width` bytes each (1: Latin-1, 2: UTF-16)."""

    characters: bytes
    width: int


class Piece(NamedTuple):
    """Say where characters of a string are in memory."""

    address: int
    length: int
    width: int


def is_pointer(word: int) -> bool:
    """Return whether a word may be a strong tagged pointer."""
    return word & 3 == 1 and word >> 47 == 0


def is_smi(word: int) -> bool:
    """Return whether a word may be a small integer."""
    return not word & 0xFFFFFFFF


class Heap:
    """Read objects. Every method raises OSError if they are not in memory, MovedError if something else is there."""

    def __init__(self, memory: Pages, layout: Layout) -> None:
        self.memory, self.layout = memory, layout

    def type_of(self, pointer: int) -> int:
        """Return the instance type of an object."""
        return self._type_of_map(self.memory.u64(_object(pointer)))

    def words(self, pointer: int, count: int, kind: int | None = None) -> tuple[int, ...]:
        """Return the first words of an object, its map included. Raises MovedError if it is not of this type."""
        words = struct.unpack(f"<{count}Q", self.memory.read(_object(pointer), count * _WORD))
        if kind is not None and self._type_of_map(words[0]) != kind:
            raise MovedError
        return words

    def bytes_of(self, pointer: int, limit: int) -> bytes:
        """Return the content of a ByteArray; nothing if it is longer than the limit."""
        length = smi(self.words(pointer, 2, self.layout.byte_array_type)[1])
        return self.memory.read(_object(pointer) + _CHARACTERS, length) if 0 < length <= limit else b""

    def text(self, pointer: int, limit: int) -> Text:
        """Return the characters of a string, cut off at `limit` bytes, all of one width."""
        pieces = list(self.pieces(pointer, limit))
        width = max((piece.width for piece in pieces), default=1)
        found, left = [], limit // width
        for piece in pieces:
            data = self.memory.read(piece.address, min(piece.length, left) * piece.width) if left else b""
            left -= len(data) // piece.width
            found.append(data if piece.width == width else data.decode("latin-1").encode("utf-16-le"))
        return Text(b"".join(found), width)

    def pieces(self, pointer: int, limit: int) -> Iterator[Piece]:
        """Yield where the characters of a string are, in their order, until there are `limit`."""
        waiting = [(pointer, 0, limit)]  # string, first character, how many at most
        for _ in range(_MAX_PARTS):
            if not waiting or limit <= 0:
                return
            pointer, start, most = waiting.pop()
            words = self.words(pointer, 4)
            kind = self._type_of_map(words[0])
            if kind & _NOT_STRING:
                raise MovedError
            length = min(max((words[1] >> 32) - start, 0), most, limit)
            width = 1 if kind & _ONE_BYTE else 2
            shape = kind & _REPRESENTATION
            if shape == _SEQUENTIAL:
                yield Piece(_object(pointer) + _CHARACTERS + start * width, length, width)
            elif shape == _EXTERNAL and not kind & _UNCACHED:
                yield Piece(words[_DATA // _WORD] + start * width, length, width)
            elif shape == _THIN:
                waiting.append((words[_FIRST // _WORD], start, length))
                continue
            elif shape == _SLICED:
                waiting.append((words[_FIRST // _WORD], start + smi(words[_OFFSET // _WORD]), length))
                continue
            elif shape == _CONS and not start:
                first, second = words[_FIRST // _WORD], words[_SECOND // _WORD]
                begin = self.words(first, 2)[1] >> 32
                waiting += [(second, 0, max(length - begin, 0)), (first, 0, min(length, begin))]
                continue
            else:
                raise MovedError
            limit -= length

    def _type_of_map(self, pointer: int) -> int:
        return int.from_bytes(self.memory.read(_object(pointer) + self.layout.map_type, 2), "little")


def smi(word: int) -> int:
    """Return the number of a Smi. Raises MovedError if the word is none."""
    if not is_smi(word):
        raise MovedError
    return (word >> 32) - (1 << 32 if word >> 63 else 0)


def _object(pointer: int) -> int:
    if not is_pointer(pointer):
        raise MovedError
    return pointer - 1
