"""The reader yields records in the order of the file, up to its end, to where it was cut off, or to the first
damage.

A capture that was cut off is no error: a recorder may be killed and a copy may stop. What is missing is then
told by `Reader.cut_off`. Damage is an error, and nothing after it is read: where the next chunk begins can no
longer be trusted. What is still packed (columns, `Reader.packed`) is found damaged when it is unpacked.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from functools import partial
from types import TracebackType
from typing import Any, BinaryIO, Union

from . import chunks
from .batch import MAX_ROWS_SIZE, BatchReader
from .chunks import Kind
from .codec import Codec, Source
from .errors import CorruptRecord, Malformed
from .frames import CutOff, FrameReader
from .header import read_header
from .records import Calls, Completions, End, Meta, Record
from .room import Room
from .stacks import Stacks

_CODECS: dict[int, Codec[Any]] = {
    Kind.MODULE: chunks.MODULE,
    Kind.SECTION: chunks.SECTION,
    Kind.PROCESS: chunks.PROCESS,
    Kind.JIT_MAP: chunks.JIT_MAP,
    Kind.LOST: chunks.LOST,
    Kind.END: chunks.END,
}
_KINDS = frozenset(int(kind) for kind in Kind)
_TRAILING = "bytes after the chunk's last record"


def open_capture(path: str | os.PathLike[str]) -> Reader:
    """Opens the capture at `path` for a Reader; use it in a `with` statement. Raises OSError and CaptureError."""
    stream = open(path, "rb")  # noqa: SIM115 (Reader closes it)
    try:
        return Reader(stream, os.fspath(path))
    except BaseException:
        stream.close()
        raise


class Reader:
    """The records of the capture in `stream`, which may be a pipe: an iterator, good for one pass.

    `meta` is there at once, and is also the first record. Once all records were read, `cut_off` says in words
    what is missing at the end; None when the capture is whole. Raises CaptureError, with `name` in its
    message. As a context manager it closes the stream.

    Records beyond what a file may hold of their kind (`room.py`) are left out. `left_out` counts them by their class
    and the limit in words.
    """

    def __init__(self, stream: BinaryIO, name: str = "capture") -> None:
        self.name = name
        self.cut_off: str | None = None
        self._room = Room()
        self._stream = stream
        self._frames = FrameReader(stream)
        read_header(self._frames, name)
        self.meta = self._read_meta()
        self._batch_readers = {
            int(Kind.CALLS): BatchReader(self.meta.call_layout),
            int(Kind.COMPLETIONS): BatchReader(self.meta.completion_layout),
        }
        self._records = self._read_records()

    def __iter__(self) -> Iterator[Record]:
        for record in self._records:
            if isinstance(record, Stacks):
                yield from record
            else:
                yield record

    @property
    def left_out(self) -> Counter[tuple[type, str]]:
        return self._room.left_out

    def packed(self) -> Iterator[Union[Record, Stacks]]:
        """The same for who wants few of the stacks: those of a chunk together, and still packed."""
        return self._records

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
            if (head.kind, head.count) != (Kind.META, 1):
                raise Malformed("the first chunk is not META")
            meta = chunks.META.read(source)
            if not source.at_end():
                raise Malformed(_TRAILING)
            return meta
        except (StopIteration, CutOff):
            raise self._damaged("the file ends here, before META: nothing was recorded or copied") from None
        except Malformed as error:
            raise self._damaged(str(error)) from None

    def _read_records(self) -> Iterator[Union[Record, Stacks]]:
        yield self.meta
        ended = False
        try:
            for content in self._frames:
                for record in self._decode(content):
                    if ended:
                        raise Malformed("a record after END")
                    ended = isinstance(record, End)
                    fitting = self._room.fit(record)
                    if fitting is not None:
                        yield fitting
            missing = f"END is missing: the file ends at byte {self._frames.position}, after a whole chunk"
        except CutOff:
            missing = (
                f"END is missing: the file ends at byte {self._frames.position}, "
                f"inside the chunk at byte {self._frames.start}"
            )
        except Malformed as error:
            raise self._damaged(str(error)) from None
        self.cut_off = None if ended else missing

    def _decode(self, content: bytes) -> Iterator[Union[Record, Stacks]]:
        source = Source(content)
        head = chunks.HEAD.read(source)
        if head.kind == Kind.META:
            raise Malformed("a second META")
        if head.kind not in _KINDS:
            return  # a kind of a later minor version
        if head.kind == Kind.STACKS and head.count:
            yield Stacks(self._frames.frame, partial(CorruptRecord, self.name, self._frames.start))
            return
        records = self._batches(head.kind, source) if head.kind in self._batch_readers else None
        for _ in range(head.count):
            yield next(records) if records else _CODECS[head.kind].read(source)
        if not source.at_end():
            raise Malformed(_TRAILING)

    def _batches(self, kind: int, source: Source) -> Iterator[Calls | Completions]:
        """The batches of one chunk, which are not more than a chunk could hold if none was packed."""
        reader, damaged = self._batch_readers[kind], partial(CorruptRecord, self.name, self._frames.start)
        size = 0
        while True:
            batch = chunks.BATCH.read(source)
            size += batch.rows * reader.layout.size
            if size > MAX_ROWS_SIZE:
                raise Malformed(f"{size} bytes of rows in one chunk")
            columns = reader.columns(batch, damaged)
            yield Calls(batch.rows, columns) if kind == Kind.CALLS else Completions(batch.rows, columns)

    def _damaged(self, reason: str) -> CorruptRecord:
        return CorruptRecord(self.name, self._frames.start, reason)
