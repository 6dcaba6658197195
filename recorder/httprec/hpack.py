"""Decode header blocks of HTTP/2 (HPACK, RFC 7541), also where some of them were not seen.

The dynamic table of a decoder is made by the blocks of its direction so far. Entries are numbered from the newest one,
so those that were inserted since are known even if older ones are not: because a block was lost, the connection is
older than the recording, or the table is larger than what is kept of it here. A field that refers to an entry that is
not known is not known either. A valid block never refers to an entry that was evicted, so it does no harm to keep one
for too long; but an entry that was inserted must always count, whatever is known of it.

Everything comes from the network: integers, strings, the table and the work for a block are bounded by its size or by
the constants here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Set
from functools import lru_cache
from typing import NamedTuple, Optional

from .hpack_tables import STATIC_TABLE
from .huffman import HuffmanError, decode_huffman

MAX_TABLE = 1 << 14  # bytes, as RFC 7541 counts them, of which a decoder knows the entries
MAX_FIELDS = 512  # of a block
_DEFAULT_TABLE = 4096  # bytes: SETTINGS_HEADER_TABLE_SIZE, RFC 9113, 6.5.2
_ENTRY_OVERHEAD = 32  # bytes: RFC 7541, 4.1
_MOST_SHIFT = 28  # of an integer's last byte
_MAX_REMEMBERED = 32  # blocks that leave the table as it is
_MAX_REMEMBERED_BLOCK = 128  # bytes
_REMEMBERED_SIZE = 512  # bytes of one and what it says, roughly
_SHORT_NAME = 64  # bytes

_STATIC = len(STATIC_TABLE)


class _HpackError(ValueError):
    """Say that a block is malformed."""


class Huffman(bytes):
    """Hold a text in Huffman code."""


class Field(NamedTuple):
    """Hold a header field of which the name is wanted."""

    name: bytes
    value: bytes  # perhaps Huffman, because few values are looked at

    @property
    def text(self) -> bytes:
        """Return the value; empty if it is not in the code in which it says it is."""
        if not isinstance(self.value, Huffman):
            return self.value
        try:
            return decode_huffman(self.value)
        except HuffmanError:
            return b""


class Fields(NamedTuple):
    """Hold what is known of a block."""

    fields: tuple[Field, ...]
    has_unknown: bool
    """Whether the block may have more fields with wanted names."""


NOTHING_KNOWN = Fields((), True)


class _Entry(NamedTuple):
    """Hold an entry of the dynamic table. A name that is not known is None, and so is a value that is not wanted."""

    name: Optional[bytes]
    value: Optional[bytes]
    size: int  # bytes, or fewer if the name is not known


_UNKNOWN = _Entry(None, None, 0)
_STATIC_ENTRIES = [_Entry(name, value, 0) for name, value in STATIC_TABLE]


class Decoder:
    """Decode the blocks of one direction of a connection, one after the other, to the fields whose names are `wanted`.
    `is_whole` says that the first of them is the first one of the connection."""

    def __init__(self, wanted: Set[bytes], *, is_whole: bool) -> None:
        self._wanted = wanted
        self._entries: deque[_Entry] = deque()  # the newest first
        self._size = 0
        self._is_whole = is_whole  # no entries but these are in the table
        self._limit: Optional[int] = _DEFAULT_TABLE if is_whole else None  # of the table, if it is known
        self._remembered: dict[bytes, Fields] = {}

    @property
    def size(self) -> int:
        """Return how many bytes the known entries have, as RFC 7541 counts them, and the blocks that are remembered."""
        return self._size + _REMEMBERED_SIZE * len(self._remembered)

    def lose(self) -> None:
        """Go on behind a block that was not seen. What the table had before may have other numbers now."""
        self._entries.clear()
        self._remembered.clear()
        self._size, self._is_whole, self._limit = 0, False, None

    def decode(self, block: bytes) -> Fields:
        """Return what is known of a block. A malformed one counts as lost."""
        found = self._remembered.get(block)
        if found is None:
            try:
                found = self._decode(block)
            except (_HpackError, HuffmanError, IndexError):
                self.lose()
                return NOTHING_KNOWN
        return found

    def _decode(self, block: bytes) -> Fields:
        reader, fields, has_unknown, changes = _Reader(block), [], False, False
        while reader.at < len(block):
            first = block[reader.at]
            if first & 0xE0 == 0x20:  # RFC 7541, 6.3: a new size of the table
                self._resize(reader.integer(5))
                changes = True
                continue
            if first & 0x80:  # 6.1: an entry, whose number is in this byte mostly
                name, value, _ = self._entry(first & 0x7F if first < 0xFF else reader.integer(7))
                reader.at += first < 0xFF
            else:  # 6.2: a literal, which becomes an entry or not
                is_inserted = first & 0x40
                number = reader.integer(6 if is_inserted else 4)
                name = self._entry(number).name if number else reader.name()
                value = reader.string()
                if is_inserted:
                    value = decode_huffman(value) if isinstance(value, Huffman) else value
                    self._insert(name, value)
                    changes = True
            if name is None:
                has_unknown = True
            elif value is not None and name in self._wanted:
                fields.append(Field(name, value))
            if len(fields) > MAX_FIELDS:
                raise _HpackError
        found = Fields(tuple(fields), has_unknown)
        self._remember(block, found, changes=changes)
        return found

    def _remember(self, block: bytes, found: Fields, *, changes: bool) -> None:
        if changes:
            self._remembered.clear()
        elif len(block) <= _MAX_REMEMBERED_BLOCK:
            if len(self._remembered) >= _MAX_REMEMBERED:
                self._remembered.clear()
            self._remembered[block] = found

    def _entry(self, number: int) -> _Entry:
        if not number:
            raise _HpackError
        if number <= _STATIC:
            return _STATIC_ENTRIES[number - 1]
        if number <= _STATIC + len(self._entries):
            return self._entries[number - _STATIC - 1]
        if self._is_whole:
            raise _HpackError
        return _UNKNOWN

    def _insert(self, name: Optional[bytes], value: bytes) -> None:
        size, most = _ENTRY_OVERHEAD + len(name or b"") + len(value), MAX_TABLE
        if self._limit is not None and self._limit <= MAX_TABLE:
            most = self._limit
            if size > most:  # RFC 7541, 4.4: it empties the table and does not become an entry
                self._evict(0)
                return
        size = min(size, most)
        self._evict(most - size)
        self._entries.appendleft(_Entry(name, value if name in self._wanted else None, size))
        self._size += size

    def _evict(self, most: int) -> None:
        while self._size > most:
            self._size -= self._entries.pop().size

    def _resize(self, limit: int) -> None:
        self._limit = limit
        self._is_whole &= limit <= MAX_TABLE
        self._evict(min(limit, MAX_TABLE))


class _Reader:
    """Read a block from its beginning. Raises IndexError at its end."""

    def __init__(self, block: bytes) -> None:
        self._block = block
        self.at = 0

    def integer(self, bits: int) -> int:
        """Read an integer whose first byte has so many bits of it (RFC 7541, 5.1)."""
        most = (1 << bits) - 1
        value = self._block[self.at] & most
        self.at += 1
        if value < most:
            return value
        shift = 0
        while True:
            byte = self._block[self.at]
            self.at += 1
            value += (byte & 0x7F) << shift
            if not byte & 0x80:
                return value
            shift += 7
            if shift > _MOST_SHIFT:
                raise _HpackError

    def string(self) -> bytes:
        """Read a string (RFC 7541, 5.2) as it is coded."""
        is_huffman = self._block[self.at] & 0x80
        size = self.integer(7)
        text = self._block[self.at : self.at + size]
        self.at += size
        if len(text) < size:
            raise _HpackError
        return Huffman(text) if is_huffman else text

    def name(self) -> bytes:
        """Read a string and decode it."""
        text = self.string()
        if not isinstance(text, Huffman):
            return text
        return _decode_name(text) if len(text) <= _SHORT_NAME else decode_huffman(text)


_decode_name = lru_cache(maxsize=1024)(decode_huffman)
