"""Write a capture. Only whole chunks are appended, so everything in the file is readable whatever happens next.

Records of one kind gather in one open chunk. Chunks are written in the order of `RecordKind`: before a chunk is
written, the open chunks of all kinds before it are. A record that was given to the writer before another that refers to
it therefore comes first in the file too.
"""

from __future__ import annotations

import errno
from typing import Protocol, TypeVar

from . import chunks, frames
from .batch_builder import BatchBuilder, Buffer
from .chunks import RecordKind
from .codec import Codec, packed
from .file_budget import BeyondLimitError, FileBudget
from .header import header as file_header
from .layout import WORD
from .records import CallCauses, Code, End, Heads, HeadText, JitMap, Lost, Meta, Module, Process, Section, Stack
from .seek_table import SeekTable

T = TypeVar("T")

RING_HEADER = 8  # bytes before each record of a BPF ring buffer: u32 length, u32 page offset
LEVEL = 3
CHUNK_BYTES = 2 << 20
CHUNK_NS = 1_000_000_000
_MAX_CHUNK_BYTES = frames.MAX_CONTENT // 2


class Stream(Protocol):
    """Define what the writer needs of a file. Best is an unbuffered one (`buffering=0`), which keeps no written data
    back.
    """

    def write(self, data: bytes | memoryview, /) -> int | None:
        """Write `data` and return how many of its bytes were written. Raises OSError."""


class OpenChunk(Protocol):
    """Hold the records of one kind that wait to be written."""

    @property
    def size(self) -> int:
        """Return how many bytes wait."""

    def close(self) -> list[bytes]:
        """Return the waiting records, packed, and begin an empty chunk."""


class _OpenRecords:
    """Hold records, each packed when it is added."""

    def __init__(self) -> None:
        self.size = 0
        self._records: list[bytes] = []

    def add(self, record: bytes) -> None:
        self._records.append(record)
        self.size += len(record)

    def close(self) -> list[bytes]:
        records, self._records, self.size = self._records, [], 0
        return records


class _OpenBatch(BatchBuilder):
    """Hold rows, which become one batch."""

    def close(self) -> list[bytes]:
        return [packed([chunks.BATCH.pack(self.batch())])]


class Writer:
    """Write one capture to `stream`; the header and META are written at once. Not thread-safe.

    Every method raises OSError if the stream does. The file then ends in the middle of a chunk, so every later write
    raises OSError too. ValueError is raised for a record beyond the format's limits (the `MAX_` constants of this
    package), and BeyondLimitError for one that exceeds them only together with earlier records. Such a record is left
    out, and the writer can be used further.
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
        layouts = {
            RecordKind.CALLS: meta.call_layout,
            RecordKind.COMPLETIONS: meta.completion_layout,
            RecordKind.CONNECTIONS: meta.connection_layout,
            RecordKind.SHORT_CALLS: meta.short_layout,
        }
        if not max(layout.size for layout in layouts.values()) <= chunk_bytes <= _MAX_CHUNK_BYTES:
            raise ValueError(f"chunk_bytes is {chunk_bytes}: at least a row, at most {_MAX_CHUNK_BYTES}")
        self.bytes_written = 0  # whole frames only
        self._stream = stream
        self._compressor = frames.compressor(level)
        self._seek_table = SeekTable()
        self._budget = FileBudget()
        self._chunk_bytes, self._chunk_ns = chunk_bytes, chunk_ns
        self._records = {kind: _OpenRecords() for kind in RecordKind}
        compress = frames.compressor(level, checksum=False).compress
        self._rows = {kind: _OpenBatch(layout, compress) for kind, layout in layouts.items()}
        self._open: dict[RecordKind, OpenChunk] = {**self._records, **self._rows}
        self._now_ns = meta.started_monotonic_ns
        self._oldest_ns: int | None = None  # when the oldest open chunk was opened
        self._broken = self._ended = False
        self._add(RecordKind.META, chunks.META, meta)
        self._write(file_header())
        self.flush()

    def calls(self, rows: Buffer, *, header: int = 0) -> None:
        """Append whole rows of `Meta.call_layout`, and leave out the `header` bytes before each of them.

        With `header=RING_HEADER`, `rows` can be a span of a BPF ring buffer. The rows are copied before this returns.
        """
        self._take(RecordKind.CALLS, rows, header)

    def completions(self, rows: Buffer, *, header: int = 0) -> None:
        """Append whole rows of `Meta.completion_layout`, as `calls` does."""
        self._take(RecordKind.COMPLETIONS, rows, header)

    def connections(self, rows: Buffer, *, header: int = 0) -> None:
        """Append whole rows of `Meta.connection_layout`, as `calls` does."""
        self._take(RecordKind.CONNECTIONS, rows, header)

    def short_calls(self, rows: Buffer, *, header: int = 0) -> None:
        """Append whole rows of `Meta.short_layout`, as `calls` does."""
        self._take(RecordKind.SHORT_CALLS, rows, header)

    def stack(self, stack: Stack) -> None:
        """Append a stack."""
        self._add(RecordKind.STACKS, chunks.STACK, stack)

    def process(self, process: Process) -> None:
        """Append a process."""
        self._add(RecordKind.PROCESS, chunks.PROCESS, process)

    def module(self, module: Module) -> None:
        """Append a module."""
        self._add(RecordKind.MODULE, chunks.MODULE, module)

    def section(self, section: Section) -> None:
        """Append a part of a section."""
        self._add(RecordKind.SECTION, chunks.SECTION, section)

    def jit_map(self, jit_map: JitMap) -> None:
        """Append a part of a JIT map."""
        self._add(RecordKind.JIT_MAP, chunks.JIT_MAP, jit_map)

    def code(self, code: Code) -> None:
        """Append a code object."""
        self._add(RecordKind.CODE, chunks.CODE, code)

    def head_text(self, head: HeadText) -> None:
        """Append the head of a request or response."""
        self._add(RecordKind.HEAD_TEXT, chunks.HEAD_TEXT, head)

    def heads(self, heads: Heads) -> None:
        """Append which heads calls have."""
        self._add(RecordKind.HEADS, chunks.HEADS, heads)

    def call_causes(self, causes: CallCauses) -> None:
        """Append which causes calls have."""
        self._add(RecordKind.CALL_CAUSES, chunks.CALL_CAUSES, causes)

    def lost(self, lost: Lost) -> None:
        """Append the counters of losses."""
        self._add(RecordKind.LOST, chunks.LOST, lost)

    def tick(self, now_ns: int) -> None:
        """Take `now_ns` (CLOCK_MONOTONIC) as the time, and write the open chunks if one is older than `chunk_ns`."""
        self._now_ns = now_ns
        if self._oldest_ns is not None and now_ns - self._oldest_ns >= self._chunk_ns:
            self.flush()

    def flush(self) -> None:
        """Write the open chunks."""
        self._close_through(RecordKind.END)
        self._oldest_ns = None

    def end(self, end: End) -> None:
        """Write the open chunks, END and the seek table. Raises ValueError if anything is written after it."""
        self._add(RecordKind.END, chunks.END, end)
        self.flush()
        self._write(self._seek_table.frame())
        self._ended = True

    def _add(self, kind: RecordKind, codec: Codec[T], record: T) -> None:
        data = packed([codec.pack(record)])
        if len(data) > frames.MAX_CONTENT - chunks.MAX_HEAD:
            raise ValueError(f"a {kind.name} record of {len(data)} bytes does not fit into a chunk")
        limit = self._budget.charge(record)
        if limit:
            raise BeyondLimitError(f"a {kind.name} record is beyond the format's limit of {limit}")
        self._opening()
        if self._records[kind].size + len(data) > self._chunk_bytes:
            self._close_through(kind)
        self._records[kind].add(data)

    def _take(self, kind: RecordKind, rows: Buffer, header: int) -> None:
        chunk, view = self._rows[kind], memoryview(rows).cast("B")
        stride = header + chunk.layout.size
        if header < 0 or header % WORD or len(view) % stride:
            raise ValueError(f"{len(view)} bytes are not whole rows of {header} + {chunk.layout.size} bytes")
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

    def _close_through(self, last: RecordKind) -> None:
        """Write the open chunks of `last` and of all kinds before it."""
        for kind in RecordKind:
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
        self._broken = True  # also if a signal handler raises meanwhile
        rest = memoryview(frame)
        while rest:
            written = self._stream.write(rest)
            if written is None:
                raise BlockingIOError(errno.EAGAIN, "the capture's stream is non-blocking and takes no more")
            rest = rest[written:]
        self._broken = False
        self.bytes_written += len(frame)
        self._seek_table.add(len(frame), content_size)
