"""Read a BPF ring buffer in place: map its pages, and hand on whole spans of records without copying them.

The mapping (kernel/bpf/ringbuf.c) is a page with the consumer's position, a page with the producer's, then the data
twice in a row, so that a record that wraps around is contiguous; here, only the beginning of the second copy is mapped.
A record is a header of 8 bytes (u32 length, u32 page offset) and a payload padded to 8. Bit 31 of the length is set
while the record is being written, bit 30 if it was discarded.
"""

from __future__ import annotations

import ctypes
import mmap
import struct
from collections.abc import Iterator

from httpcapture import RING_HEADER

_REPEATED = 128 << 10  # bytes of the second copy that are mapped: more than the largest record has
_BUSY = 1 << 31
_DISCARDED = 1 << 30
_LENGTH = struct.Struct("<I")


class Ring:
    """Consume one ring buffer of `size` bytes (a power of two)."""

    def __init__(self, fd: int, size: int) -> None:
        page = mmap.PAGESIZE
        self._size = size
        self._consumer_page = mmap.mmap(fd, page, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        mapped = page + size + min(size, _REPEATED)  # not all of it twice, because every mapped page counts as ours
        self._shared = mmap.mmap(fd, mapped, mmap.MAP_SHARED, mmap.PROT_READ, offset=page)
        self.is_cut = False  # whether the last `rows` left complete records
        # A c_uint64 is loaded and stored in one access, which struct does not guarantee.
        self._position = ctypes.c_uint64.from_buffer(self._consumer_page)
        view = memoryview(self._shared)
        self._producer = view[:8].cast("Q")
        self._data = view[page:]

    def rows(self, row_size: int) -> memoryview:
        """Return a view of all complete records, with their headers, of a ring whose records all have `row_size` bytes.

        `row_size` is a multiple of 8. The view is valid until `consume`. Complete records behind the mapped part of the
        second copy are returned the next time, and `is_cut` is then true.
        """
        stride = RING_HEADER + row_size
        start = self._position.value & (self._size - 1)
        waiting, reached = (self._producer[0] - self._position.value) // stride, (len(self._data) - start) // stride
        self.is_cut = waiting > reached
        waiting = min(waiting, reached)
        span = self._data[start : start + waiting * stride]
        lengths = span.cast("I")[:: stride // 4].tobytes()  # read once, because the kernel finishes records meanwhile
        if lengths != _LENGTH.pack(row_size) * waiting:
            waiting = next(i for i, (length,) in enumerate(_LENGTH.iter_unpack(lengths)) if length != row_size)
        return span[: waiting * stride]

    def consume(self, size: int) -> None:
        """Give the first `size` bytes back to the kernel."""
        self._position.value += size

    def records(self) -> Iterator[bytes]:
        """Yield the payloads of all records that are complete by now; each is given back to the kernel before it is
        yielded.

        Records that arrive after the call are left for the next one, because a busy kernel could add records for ever.
        """
        return self._records_before(self._producer[0])

    def _records_before(self, end: int) -> Iterator[bytes]:
        while self._position.value < end:
            start = self._position.value & (self._size - 1)
            (length,) = _LENGTH.unpack_from(self._data, start)
            if length & _BUSY:
                return
            payload = length & ~_DISCARDED
            data = bytes(self._data[start + RING_HEADER : start + RING_HEADER + payload])
            self.consume(RING_HEADER + payload + (-payload % 8))
            if not length & _DISCARDED:
                yield data
