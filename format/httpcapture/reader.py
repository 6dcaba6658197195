"""Read the records of a capture in the order of the file: up to its end, up to where it was cut off, or up to the first
damage.

A capture that was cut off is no error, because a recorder may be killed and a copy may stop; `Reader.cut_off` says what
is missing. Damage is an error, and nothing after it is read, because the start of the next chunk can no longer be
trusted. Damage in data that is still packed (columns, `Reader.packed`) is found when that is unpacked.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Set
from functools import partial
from types import TracebackType
from typing import Any, BinaryIO, Union

from . import chunks
from .batch_reader import MAX_ROWS_SIZE, BatchReader
from .chunks import RecordKind
from .codec import Source, Struct
from .errors import CorruptRecord, Malformed
from .file_budget import FileBudget
from .frames import CutOff, FrameReader
from .header import read_header
from .packed_stacks import TRAILING, PackedStacks
from .records import Calls, Completions, Connections, End, Meta, Record, RowBatch, ShortCalls, Stack

_CODECS: dict[int, Struct[Any]] = {
    RecordKind.MODULE: chunks.MODULE,
    RecordKind.SECTION: chunks.SECTION,
    RecordKind.PROCESS: chunks.PROCESS,
    RecordKind.JIT_MAP: chunks.JIT_MAP,
    RecordKind.CODE: chunks.CODE,
    RecordKind.HEAD_TEXT: chunks.HEAD_TEXT,
    RecordKind.HEADS: chunks.HEADS,
    RecordKind.CALL_CAUSES: chunks.CALL_CAUSES,
    RecordKind.LOST: chunks.LOST,
    RecordKind.END: chunks.END,
}
_BATCHES: dict[int, type[RowBatch]] = {
    RecordKind.CALLS: Calls,
    RecordKind.COMPLETIONS: Completions,
    RecordKind.CONNECTIONS: Connections,
    RecordKind.SHORT_CALLS: ShortCalls,
}
_KINDS = frozenset(int(kind) for kind in RecordKind)
_KIND_OF: dict[type, int] = {
    **{codec.cls: kind for kind, codec in _CODECS.items()},
    **{batch: kind for kind, batch in _BATCHES.items()},
    Stack: RecordKind.STACKS,
}


def open_capture(path: str | os.PathLike[str]) -> Reader:
    """Open the capture at `path` and return its Reader, for use in a `with` statement. Raises OSError and
    CaptureError."""
    stream = open(path, "rb")  # noqa: SIM115 (Reader closes it)
    try:
        return Reader(stream, os.fspath(path))
    except BaseException:
        stream.close()
        raise


class Reader:
    """Iterate, once, over the records of the capture in `stream`, which may be a pipe.

    `meta` is available immediately and is also the first record. After all records were read, `cut_off` says in words
    what is missing at the end, or is None if the capture is whole. Raises CaptureError, with `name` in its message. As
    a context manager it closes the stream.

    Records beyond what a file may hold of their kind (`file_budget.py`) are left out. `left_out` counts them by class
    and by the limit in words.
    """

    def __init__(self, stream: BinaryIO, name: str = "capture") -> None:
        self.name = name
        self.cut_off: str | None = None
        self._budget = FileBudget()
        self._stream = stream
        self._frames = FrameReader(stream)
        read_header(self._frames, name)
        self.meta = self._read_meta()
        self._batch_readers = {
            int(RecordKind.CALLS): BatchReader(self.meta.call_layout),
            int(RecordKind.COMPLETIONS): BatchReader(self.meta.completion_layout),
            int(RecordKind.CONNECTIONS): BatchReader(self.meta.connection_layout),
            int(RecordKind.SHORT_CALLS): BatchReader(self.meta.short_layout),
        }
        self._ended = False
        self._records = self._read_records(_KINDS)

    def __iter__(self) -> Iterator[Record]:
        for record in self._records:
            if isinstance(record, PackedStacks):
                yield from record
            else:
                yield record

    @property
    def left_out(self) -> Counter[tuple[type, str]]:
        return self._budget.left_out

    def packed(self) -> Iterator[Union[Record, PackedStacks]]:
        """Return the records with the stacks of each chunk together and still packed, for a caller that wants few."""
        return self._records

    def only(self, *kinds: type) -> Iterator[Union[Record, PackedStacks]]:
        """Return the records of these classes and META, instead of all. It costs little to skip others: their chunks
        are not decompressed, so damage in them is not found. Without End among the classes, `cut_off` is wrong."""
        return self._read_records(frozenset(_KIND_OF[kind] for kind in kinds))

    def more(self, *kinds: type) -> Iterator[Union[Record, PackedStacks]]:
        """Return the records of these classes in the chunks behind those that were read, as far as they are whole.

        Once all of them were read, call it again to read what has been appended since. `stream` must be a seekable
        file. What `only` says of other records holds here too."""
        self._frames.resume()
        return self._read_on(frozenset(_KIND_OF[kind] for kind in kinds))

    def again(self) -> Reader:
        """Return a reader of the same capture from its start, for which `stream` must be a seekable file. Raises
        CaptureError."""
        self._stream.seek(0)
        return Reader(self._stream, self.name)

    def __enter__(self) -> Reader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stream.close()

    def _read_meta(self) -> Meta:
        try:
            source = Source(next(iter(self._frames)))
            head = chunks.HEAD.read(source)
            if (head.kind, head.count) != (RecordKind.META, 1):
                raise Malformed("the first chunk is not a META record")
            meta = chunks.META.read(source)
            if not source.at_end():
                raise Malformed(TRAILING)
            return meta
        except (StopIteration, CutOff):
            raise self._damaged("the file ends here, before META: nothing was recorded or copied") from None
        except Malformed as error:
            raise self._damaged(str(error)) from None

    def _read_records(self, kinds: Set[int]) -> Iterator[Union[Record, PackedStacks]]:
        yield self.meta
        yield from self._read_on(kinds)

    def _read_on(self, kinds: Set[int]) -> Iterator[Union[Record, PackedStacks]]:
        try:
            for _ in self._frames.chunks():
                if kinds != _KINDS and self._kind() not in kinds:
                    continue
                for record in self._decode(self._frames.content()):
                    if self._ended:
                        raise Malformed("there is a record after END")
                    self._ended = isinstance(record, End)
                    admitted = self._budget.admit(record)
                    if admitted is not None:
                        yield admitted
            missing = f"END is missing: the file ends at byte {self._frames.position}, after a whole chunk"
        except CutOff:
            missing = (
                f"END is missing: the file ends at byte {self._frames.position}, "
                f"inside the chunk at byte {self._frames.start}"
            )
        except Malformed as error:
            raise self._damaged(str(error)) from None
        self.cut_off = None if self._ended else missing

    def _kind(self) -> object:
        """Return the kind of the records in the chunk that was read last."""
        source = Source(self._frames.beginning(chunks.MAX_HEAD))
        source.array()
        return source.scalar()

    def _decode(self, content: bytes) -> Iterator[Union[Record, PackedStacks]]:
        source = Source(content)
        head = chunks.HEAD.read(source)
        if head.kind == RecordKind.META:
            raise Malformed("there is a second META record")
        if head.kind not in _KINDS:
            return  # a kind of a later minor version
        if head.kind == RecordKind.STACKS and head.count:
            yield PackedStacks(self._frames.frame, partial(CorruptRecord, self.name, self._frames.start))
            return
        records = self._batches(head.kind, source) if head.kind in self._batch_readers else None
        for _ in range(head.count):
            yield next(records) if records else _CODECS[head.kind].read(source)
        if not source.at_end():
            raise Malformed(TRAILING)

    def _batches(self, kind: int, source: Source) -> Iterator[RowBatch]:
        """Yield the batches of one chunk. Raises Malformed if their rows would not fit into a chunk unpacked."""
        reader, damaged = self._batch_readers[kind], partial(CorruptRecord, self.name, self._frames.start)
        size = 0
        while True:
            batch = chunks.BATCH.read(source)
            size += batch.rows * reader.layout.size
            if size > MAX_ROWS_SIZE:
                raise Malformed(f"one chunk has {size} bytes of rows, the format allows {MAX_ROWS_SIZE}")
            columns = reader.columns(batch, damaged)
            yield _BATCHES[kind](batch.rows, columns)

    def _damaged(self, reason: str) -> CorruptRecord:
        return CorruptRecord(self.name, self._frames.start, reason)
