"""Checks a capture's seek table against the frames of the file. Nothing else that reads a capture looks at it.

The format is zstd's seekable format (facebook/zstd, contrib/seekable_format/zstd_seekable_compression_format.md)
without checksums. The last skippable frame has one entry for each frame (its size in the file, and the size of its
content), then u32 number of entries, u8 descriptor, u32 magic.
"""

from __future__ import annotations

import os
import struct
from typing import BinaryIO

import zstandard

_FOOTER = struct.Struct("<IBI")
_HEAD, _ENTRY = struct.Struct("<II"), struct.Struct("<II")
_MAGIC, _FRAME_MAGIC = 0x8F92EAB1, 0x184D2A5E
_ZSTD, _SKIPPABLE = 0xFD2FB528, 0x184D2A50
_HEADER = 18  # bytes of the longest frame header (RFC 8878, 3.1.1)


def check(file: BinaryIO) -> str | None:
    """Return what is wrong with the table at the end of the file; None if nothing is, or if the file has no table."""
    end = file.seek(0, os.SEEK_END)
    if end < _HEAD.size + _FOOTER.size:
        return None
    file.seek(end - _FOOTER.size)
    count, _, magic = _FOOTER.unpack(file.read(_FOOTER.size))
    if magic != _MAGIC:
        return None
    size = count * _ENTRY.size + _FOOTER.size
    begin = end - size - _HEAD.size
    if begin < 0:
        return f"seek table: {count:,} entries are more than the file has room for"
    file.seek(begin)
    if _HEAD.unpack(file.read(_HEAD.size)) != (_FRAME_MAGIC, size):
        return f"seek table: no skippable frame of {size:,} bytes begins at byte {begin}"
    at = 0
    for number in range(count):
        file.seek(begin + _HEAD.size + number * _ENTRY.size)
        frame_size, content_size = _ENTRY.unpack(file.read(_ENTRY.size))
        file.seek(at)
        if _content_size(file.read(_HEADER)) != content_size:
            return f"seek table: entry {number} does not describe the frame at byte {at}"
        at += frame_size
    return None if at == begin else f"seek table: its frames end at byte {at}, the table begins at byte {begin}"


def _content_size(header: bytes) -> int | None:
    """Return the content size that a frame declares: 0 for a skippable frame, None if no frame begins here."""
    magic = int.from_bytes(header[:4], "little")
    if magic & ~0xF == _SKIPPABLE:
        return 0
    try:
        return zstandard.frame_content_size(header) if magic == _ZSTD else None
    except zstandard.ZstdError:
        return None
