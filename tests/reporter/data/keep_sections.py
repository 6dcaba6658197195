"""Make the module files of this folder: python3 keep_sections.py ELF-FILE... writes NAME.xz, with all but unwinding
zeroed.

What stays is what a capture carries: the headers, the notes, .dynsym, .dynstr, .eh_frame_hdr and .eh_frame, at their
places.
"""

from __future__ import annotations

import lzma
import struct
import sys
from pathlib import Path

KEPT = (b".dynsym", b".dynstr", b".eh_frame_hdr", b".eh_frame", b".shstrtab")
NOTES = 7


def only_kept(data: bytes) -> bytes:
    kept = bytearray(len(data))
    programs_at, sections_at = struct.unpack_from("<QQ", data, 32)
    _, programs, _, sections, names = struct.unpack_from("<HHHHH", data, 54)
    headers = [struct.unpack_from("<IIQQQQ", data, sections_at + 64 * index) for index in range(sections)]
    places = [(0, 64), (programs_at, 56 * programs), (sections_at, 64 * sections)]
    for name_at, kind, _, _, offset, size in headers:
        begin = headers[names][4] + name_at
        if kind == NOTES or data[begin : data.index(b"\0", begin)] in KEPT:
            places.append((offset, size))
    for offset, size in places:
        kept[offset : offset + size] = data[offset : offset + size]
    return bytes(kept)


for path in map(Path, sys.argv[1:]):
    data = only_kept(path.read_bytes())
    Path(path.name + ".xz").write_bytes(lzma.compress(data, preset=9 | lzma.PRESET_EXTREME))
