"""Read and write zstd frames, of which a capture is a sequence. No frame is decompressed before its size is checked.

`FrameReader` walks the frames of a stream by their headers (RFC 8878, section 3.1). It therefore needs no seeking,
never reads into the next frame, and distinguishes a frame that was cut off (`CutOff`) from one that is damaged
(`Malformed`).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO

import zstandard

from .errors import Malformed

MAX_CONTENT = 8 << 20  # bytes in one chunk, decompressed; also the largest window that a reader allocates
_BLOCK_MAX = 128 << 10
HEADER_SIZE = 18  # bytes of the longest frame header (RFC 8878, 3.1.1)
_READ_SIZE = 64 << 10  # skipped frames are read in pieces of this size

_ZSTD_MAGIC = 0xFD2FB528
_SKIPPABLE_MAGIC = 0x184D2A50  # to 0x184D2A5F

_U32 = struct.Struct("<I")
_CHECKSUM_SIZE = 4
_BLOCK_HEADER_SIZE = 3
_SHORTEST_HEADER = 5  # magic and descriptor: enough to know the header's size
_BLOCK_RLE, _BLOCK_RESERVED = 1, 3


class CutOff(Exception):
    """Report that the stream ended inside a frame."""


def skippable_frame(payload: bytes, magic: int = _SKIPPABLE_MAGIC) -> bytes:
    """Return a frame with this payload that every zstd tool skips."""
    return struct.pack("<II", magic, len(payload)) + payload


def _is_skippable(magic: int) -> bool:
    return magic & ~0xF == _SKIPPABLE_MAGIC


def declared_size(header: bytes) -> int | None:
    """Return the content size that a frame declares in its first HEADER_SIZE bytes: 0 for a skippable frame, None if no
    frame begins here."""
    magic = int.from_bytes(header[: _U32.size], "little")
    if _is_skippable(magic):
        return 0
    try:
        return zstandard.frame_content_size(header) if magic == _ZSTD_MAGIC else None
    except zstandard.ZstdError:
        return None


def compressor(level: int, *, checksum: bool = True) -> zstandard.ZstdCompressor:
    """Return a compressor that writes one frame with its content size: a chunk, or, without a checksum, a column."""
    return zstandard.ZstdCompressor(level=level, write_checksum=checksum, write_content_size=True)


def decompressor() -> zstandard.ZstdDecompressor:
    """Return a decompressor for frames whose sizes have been checked."""
    return zstandard.ZstdDecompressor(max_window_size=MAX_CONTENT)


def check_only_frame(data: bytes, size: int) -> None:
    """Raise Malformed or ZstdError unless `data` is exactly one frame that declares `size` bytes, no dictionary, and a
    window of at most MAX_CONTENT."""
    parameters = zstandard.get_frame_parameters(data)
    if parameters.content_size != size:
        raise Malformed(f"its frame does not declare {size} bytes")
    if parameters.window_size > MAX_CONTENT or parameters.dict_id:
        raise Malformed("its frame must have no dictionary, and a window of at most 8 MiB")
    end, last = zstandard.frame_header_size(data), False
    while not last and end < len(data):
        header = int.from_bytes(data[end : end + _BLOCK_HEADER_SIZE], "little")
        last, kind, block_size = bool(header & 1), header >> 1 & 3, header >> 3
        end += _BLOCK_HEADER_SIZE + (1 if kind == _BLOCK_RLE else block_size)
    end += _CHECKSUM_SIZE if parameters.has_checksum else 0
    if end < len(data):
        raise Malformed("there are bytes after its zstd frame")


class FrameReader:
    """Read the chunks of `stream`, one after the other, and skip frames that zstd skips.

    `start` is the offset of the frame that was read last or is being read, `position` that up to which was read, and
    `frame` the chunk that was read last, still compressed.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._decompressor = decompressor()
        self.start = self.position = 0
        self._whole = 0  # offset behind the last frame that was read whole
        self.frame = b""
        self._size = 0  # of its content, as it declares

    def __iter__(self) -> Iterator[bytes]:
        """Yield contents until the stream ends between two frames. Raises CutOff or Malformed if it ends otherwise."""
        return (self.content() for _ in self.chunks())

    def chunks(self) -> Iterator[None]:
        """Read one chunk after the other, as iterating does, but decompress none: `content` and `beginning` do."""
        while True:
            self.start = self._whole = self.position
            magic = self._read_at_most(_U32.size)
            if not magic:
                return
            if len(magic) < _U32.size:
                raise CutOff
            (number,) = _U32.unpack(magic)
            if number == _ZSTD_MAGIC:
                self.frame, self._size = self._zstd_frame(magic)
                self._whole = self.position
                yield
            elif _is_skippable(number):
                self._skip(_U32.unpack(self._read(_U32.size))[0])
            else:
                raise Malformed(f"no zstd frame begins here (the first bytes are {magic.hex()})")

    def resume(self) -> None:
        """Go back to the frame that was cut off, for it may be whole by now. The stream must be seekable."""
        self._stream.seek(self._whole)
        self.start = self.position = self._whole

    def skippable(self, limit: int) -> bytes:
        """Return the payload of the next frame, which must be skippable and have at most `limit` bytes. Raises CutOff
        or Malformed."""
        magic, size = struct.unpack("<II", self._read(8))
        if magic != _SKIPPABLE_MAGIC or size > limit:
            raise Malformed(f"the frame is not skippable, or has more than {limit} bytes")
        return self._read(size)

    def content(self) -> bytes:
        """Return the content of the chunk that was read last. Raises Malformed."""
        try:
            content = self._decompressor.decompress(self.frame)
        except zstandard.ZstdError as error:
            raise _not_zstd(error) from None
        if len(content) != self._size:
            raise Malformed(f"the frame declares {self._size} bytes and holds {len(content)}")
        return content

    def beginning(self, size: int) -> bytes:
        """Return the first bytes of that content, at most `size`, without the cost of all of it, and without checking
        what follows. Raises Malformed."""
        try:
            return self._decompressor.stream_reader(self.frame).read(size)
        except zstandard.ZstdError as error:
            raise _not_zstd(error) from None

    def _zstd_frame(self, magic: bytes) -> tuple[bytes, int]:
        """Return one whole frame, still compressed, and the size that it declares."""
        start = magic + self._read(_SHORTEST_HEADER - len(magic))
        try:
            start += self._read(zstandard.frame_header_size(start) - len(start))
            parameters = zstandard.get_frame_parameters(start)
        except zstandard.ZstdError as error:
            raise _not_zstd(error) from None
        size = parameters.content_size
        if size == zstandard.CONTENTSIZE_UNKNOWN or not 0 < size <= MAX_CONTENT:
            raise Malformed(f"the frame's declared size must be 1 to {MAX_CONTENT} bytes")
        if parameters.window_size > MAX_CONTENT or parameters.dict_id or not parameters.has_checksum:
            raise Malformed("the frame must have a checksum, no dictionary, and a window of at most 8 MiB")
        return b"".join([start, *self._blocks(size)]), size

    def _blocks(self, size: int) -> Iterator[bytes]:
        """Yield the blocks of a frame whose content has `size` bytes, then its checksum. Each block is read together
        with the header of the next."""
        longest = size + (size >> 8) + 1024  # ZSTD_COMPRESSBOUND (lib/zstd.h), and a margin
        header, left, last = self._read(_BLOCK_HEADER_SIZE), longest, False
        yield header
        while not last:
            number = int.from_bytes(header, "little")
            last, kind, block_size = bool(number & 1), number >> 1 & 3, number >> 3
            if kind == _BLOCK_RESERVED or block_size > _BLOCK_MAX:
                raise Malformed("a block has a kind or size that zstd does not have")
            stored = 1 if kind == _BLOCK_RLE else block_size
            left -= _BLOCK_HEADER_SIZE + stored
            if left < 0:
                raise Malformed(f"a frame that declares {size} bytes has more than {longest} compressed bytes")
            block = self._read(stored + (_CHECKSUM_SIZE if last else _BLOCK_HEADER_SIZE))
            yield block
            header = block[stored:]

    def _skip(self, size: int) -> None:
        while size:
            size -= len(self._read(min(size, _READ_SIZE)))

    def _read(self, size: int) -> bytes:
        data = self._read_at_most(size)
        if len(data) < size:
            raise CutOff
        return data

    def _read_at_most(self, size: int) -> bytes:
        """Return `size` bytes, or fewer at the end of the stream. A pipe may return less at a time, so this asks
        again."""
        pieces = []
        while size:
            piece = self._stream.read(size)
            if not piece:
                break
            pieces.append(piece)
            size -= len(piece)
            self.position += len(piece)
        return b"".join(pieces)


def _not_zstd(error: zstandard.ZstdError) -> Malformed:
    return Malformed(f"zstd: {error}")
