"""The writer only ever appends whole chunks, so what is in the file is readable whatever happens next.

Records of one kind gather in one open chunk. Chunks are written in the order of `Kind`: before a chunk is
written, so are the open chunks of all kinds before it. A record that was given to the writer before another
one that refers to it therefore comes before it in the file.
"""

from __future__ import annotations

import errno
from typing import Protocol, TypeVar

from . import chunks, frames
from .chunks import Kind
from .codec import Codec, packed
from .columns import Buffer, Columns
from .header import header as file_header
from .layout import WORD
from .records import End, JitMap, Lost, Meta, Module, Process, Section, Stack
from .room import BeyondLimitError, Room
from .seek_table import SeekTable

T = TypeVar("T")

RING_HEADER = 8  # bytes before each record of a BPF ring buffer: u32 length, u32 page offset
LEVEL = 3
CHUNK_BYTES = 2 << 20
CHUNK_NS = 1_000_000_000
_MAX_CHUNK_BYTES = frames.MAX_CONTENT // 2


class Stream(Protocol):
    """What the writer needs of a file. An unbuffered one (`buffering=0`) is best: what was written is then
    safe.
    """

    def write(self, data: bytes | memoryview, /) -> int | None: ...


class OpenChunk(Protocol):
    """The records of one kind that wait to be written."""

    @property
    def size(self) -> int: ...

    def close(self) -> list[bytes]:
        """Gives the records away, packed, and starts anew."""


class _PackedRecords:
    """Records, packed as they come."""

    def __init__(self) -> None:
        self.size = 0
        self._records: list[bytes] = []

    def add(self, record: bytes) -> None:
        self._records.append(record)
        self.size += len(record)

    def close(self) -> list[bytes]:
        records, self._records, self.size = self._records, [], 0
        return records


class _Rows(Columns):
    """Rows, which become one batch."""

    def close(self) -> list[bytes]:
        return [packed([chunks.BATCH.pack(self.batch())])]


class Writer:
    """Writes one capture to `stream`, header and META at once. Not for use by several threads.

    Raises OSError when the stream does; the file then ends in the middle of a chunk, so that every later
    write raises OSError too. Raises ValueError for a record beyond the format's limits (the `MAX_` constants
    of this package), BeyondLimitError where the record alone is within them but not with those before it; that record
    is left out, the writer goes on.
    """

    def __init__(
        self,
        stream: Stream,
        meta: Meta,
        *,
        level: int = LEVEL,
        chunk_bytes: int = CHUNK_BYTES,
        chunk_ns: int = CHUNK_NS,
    ) -> None:
        if not max(meta.call_layout.size, meta.completion_layout.size) <= chunk_bytes <= _MAX_CHUNK_BYTES:
            raise ValueError(f"chunk_bytes is {chunk_bytes}: at least a row, at most {_MAX_CHUNK_BYTES}")
        self.bytes_written = 0  # whole frames only
        self._stream = stream
        self._compressor = frames.compressor(level)
        self._seek_table = SeekTable()
        self._room = Room()
        self._chunk_bytes, self._chunk_ns = chunk_bytes, chunk_ns
        self._records = {kind: _PackedRecords() for kind in Kind}
        compress = frames.compressor(level, checksum=False).compress
        layouts = {Kind.CALLS: meta.call_layout, Kind.COMPLETIONS: meta.completion_layout}
        self._rows = {kind: _Rows(layout, compress) for kind, layout in layouts.items()}
        self._open: dict[Kind, OpenChunk] = {**self._records, **self._rows}
        self._now_ns = meta.started_monotonic_ns
        self._oldest_ns: int | None = None  # when the oldest open chunk was opened
        self._broken = self._ended = False
        self._add(Kind.META, chunks.META, meta)
        self._write(file_header())
        self.flush()

    def calls(self, rows: Buffer, *, header: int = 0) -> None:
        """Whole rows of `Meta.call_layout`, one after the other, each after `header` bytes that are left out.

        `header=RING_HEADER` takes a span of a BPF ring buffer as it is. The rows are copied at once.
        """
        self._take(Kind.CALLS, rows, header)

    def completions(self, rows: Buffer, *, header: int = 0) -> None:
        """Whole rows of `Meta.completion_layout`, as in `calls`."""
        self._take(Kind.COMPLETIONS, rows, header)

    def stack(self, stack: Stack) -> None:
        self._add(Kind.STACKS, chunks.STACK, stack)

    def process(self, process: Process) -> None:
        self._add(Kind.PROCESS, chunks.PROCESS, process)

    def module(self, module: Module) -> None:
        self._add(Kind.MODULE, chunks.MODULE, module)

    def section(self, section: Section) -> None:
        self._add(Kind.SECTION, chunks.SECTION, section)

    def jit_map(self, jit_map: JitMap) -> None:
        self._add(Kind.JIT_MAP, chunks.JIT_MAP, jit_map)

    def lost(self, lost: Lost) -> None:
        self._add(Kind.LOST, chunks.LOST, lost)

    def tick(self, now_ns: int) -> None:
        """Tells the time (CLOCK_MONOTONIC): writes the open chunks once one is older than `chunk_ns`."""
        self._now_ns = now_ns
        if self._oldest_ns is not None and now_ns - self._oldest_ns >= self._chunk_ns:
            self.flush()

    def flush(self) -> None:
        """Writes the open chunks."""
        self._close_through(Kind.END)
        self._oldest_ns = None

    def end(self, end: End) -> None:
        """Writes the open chunks, END and the seek table. Nothing may be written after it."""
        self._add(Kind.END, chunks.END, end)
        self.flush()
        self._write(self._seek_table.frame())
        self._ended = True

    def _add(self, kind: Kind, codec: Codec[T], record: T) -> None:
        data = packed([codec.pack(record)])
        if len(data) > frames.MAX_CONTENT - chunks.MAX_HEAD:
            raise ValueError(f"a {kind.name} record of {len(data)} bytes does not fit into a chunk")
        limit = self._room.take(record)
        if limit:
            raise BeyondLimitError(f"a {kind.name} record is beyond the format's limit of {limit}")
        self._opening()
        if self._records[kind].size + len(data) > self._chunk_bytes:
            self._close_through(kind)
        self._records[kind].add(data)

    def _take(self, kind: Kind, rows: Buffer, header: int) -> None:
        chunk, view = self._rows[kind], memoryview(rows).cast("B")
        stride = header + chunk.layout.size
        if header < 0 or header % WORD or len(view) % stride:
            raise ValueError(f"{len(view)} bytes are no whole rows of {header} + {chunk.layout.size} bytes")
        self._opening()
        while view:
            room = (self._chunk_bytes - chunk.size) // chunk.layout.size * stride
            chunk.take(view[:room], header)
            view = view[room:]
            if view:
                self._close_through(kind)

    def _opening(self) -> None:
        if self._oldest_ns is None:
            self._oldest_ns = self._now_ns

    def _close_through(self, last: Kind) -> None:
        """Writes the open chunks of `last` and of all kinds before it."""
        for kind in Kind:
            if self._open[kind].size:
                content = chunks.chunk(kind, self._open[kind].close())
                self._write(self._compressor.compress(content), len(content))
            if kind == last:
                return

    def _write(self, frame: bytes, content_size: int = 0) -> None:
        if self._ended:
            raise ValueError("the capture has ended: nothing can be written after END")
        if self._broken:
            raise OSError(errno.EIO, "an earlier write failed in the middle of the capture's last chunk")
        self._broken = True  # also when a signal handler raises in here
        rest = memoryview(frame)
        while rest:
            written = self._stream.write(rest)
            if written is None:
                raise BlockingIOError(errno.EAGAIN, "the capture's stream is non-blocking and takes no more")
            rest = rest[written:]
        self._broken = False
        self.bytes_written += len(frame)
        self._seek_table.add(len(frame), content_size)
