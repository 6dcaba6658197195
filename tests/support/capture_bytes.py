"""Build captures from FORMAT.md instead of with the writer, so that they can contain what it never writes."""

from __future__ import annotations

import dataclasses
import io
import struct
from collections.abc import Sequence

import msgpack
import zstandard

from httpcapture import Layout, Writer
from support.capture_samples import META

META_KIND, MODULE, PROCESS, STACKS, CALLS, COMPLETIONS, LOST, END, SECTION, JIT_MAP, CODE, HEAD_TEXT, HEADS = range(
    1, 14
)
CALL_CAUSES = 16


def header(major: int = 1, minor: int = 0, required: int = 0, appended: bytes = b"") -> bytes:
    payload = struct.pack("<8sHHHH", b"httpcap\0", major, minor, required, 0) + appended
    return struct.pack("<II", 0x184D2A50, len(payload)) + payload


def frame(content: bytes) -> bytes:
    return zstandard.ZstdCompressor(write_checksum=True).compress(content)


def raw_frame(content: bytes, *, unused_bit: bool = False, dictionary: int | None = None) -> bytes:
    """Return a frame of one raw block, with header fields that few writers use (RFC 8878, 3.1.1.1)."""
    descriptor = 0xA4 | unused_bit << 4 | (dictionary is not None)  # a size of 4 bytes, single segment, checksum
    start = struct.pack("<IB", zstandard.MAGIC_NUMBER, descriptor) + bytes([] if dictionary is None else [dictionary])
    block = (len(content) << 3 | 1).to_bytes(3, "little") + content
    return start + struct.pack("<I", len(content)) + block + frame(content)[-4:]


def objects(*values: object) -> bytes:
    return b"".join(msgpack.packb(value) for value in values)


def chunk(kind: int, *records: object, count: int | None = None) -> bytes:
    """Return a chunk of records given as msgpack objects; its head says `count`, or their actual number."""
    return frame(objects([kind, len(records) if count is None else count], *records))


def layout_object(layout: Layout) -> list[object]:
    return [layout.size, [[*dataclasses.astuple(field)] for field in layout.fields]]


def meta_object(call_layout: object = None, completion_layout: object = None) -> list[object]:
    """Return META's fields as a msgpack object."""
    stream = io.BytesIO()
    Writer(stream, META)
    content = zstandard.ZstdDecompressor().decompress(stream.getvalue()[24:])
    _, meta = msgpack.Unpacker(io.BytesIO(content))
    assert isinstance(meta, list)
    meta[13] = call_layout or meta[13]
    meta[14] = completion_layout or meta[14]
    return meta


def capture(*chunks: bytes, meta: Sequence[object] | None = None) -> bytes:
    """Return a capture of the header, META and the given chunks."""
    return header() + chunk(META_KIND, meta or meta_object()) + b"".join(chunks)


def decompressed(capture: bytes) -> bytes:
    """Return the chunks of a capture; texts of several bytes a character without the zeros."""
    with zstandard.ZstdDecompressor().stream_reader(capture, read_across_frames=True) as chunks:
        return chunks.read().replace(b"\0", b"")
