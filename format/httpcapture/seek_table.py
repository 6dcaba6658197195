"""Write the seek table of a capture, and check it against the frames of the file. Nothing else that reads a capture
looks at it.

The format is zstd's seekable format (facebook/zstd, contrib/seekable_format/zstd_seekable_compression_format.md)
without checksums. The last skippable frame has one entry for each frame (its size in the file, and the size of its
content), then u32 number of entries, u8 descriptor, u32 magic.
"""

from __future__ import annotations

import os
import struct
from typing import BinaryIO

from .frames import HEADER_SIZE, declared_size, skippable_frame

_HEAD, _ENTRY, _FOOTER = struct.Struct("<II"), struct.Struct("<II"), struct.Struct("<IBI")
_FRAME_MAGIC, _MAGIC = 0x184D2A5E, 0x8F92EAB1


class SeekTable:
    """Collect the entries of a seek table while frames are written."""

    def __init__(self) -> None:
        self._entries = bytearray()

    def add(self, size: int, content_size: int) -> None:
        """Add a frame of `size` bytes in the file, which holds `content_size` bytes (0 if skippable)."""
        self._entries += _ENTRY.pack(size, content_size)

    def frame(self) -> bytes:
        """Return the table as the last frame of the file."""
        footer = _FOOTER.pack(len(self._entries) // _ENTRY.size, 0, _MAGIC)
        return skippable_frame(bytes(self._entries) + footer, _FRAME_MAGIC)


def check_seek_table(file: BinaryIO) -> str | None:
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
        if declared_size(file.read(HEADER_SIZE)) != content_size:
            return f"seek table: entry {number} does not describe the frame at byte {at}"
        at += frame_size
    return None if at == begin else f"seek table: its frames end at byte {at}, the table begins at byte {begin}"
