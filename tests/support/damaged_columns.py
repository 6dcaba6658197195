"""Build a capture of several batches and damage a column of one, with all checksums right."""

from __future__ import annotations

import io

import msgpack
import zstandard

from httpcapture import Writer
from httpcapture.chunks import RecordKind
from httpcapture.frames import FrameReader
from support.recordings import CALL_LAYOUT, META, MS, Row

BATCH = 500  # calls
PID = 1 + [field.name for field in CALL_LAYOUT.fields].index("pid")  # in a batch; the sizes of groups come first


def three_batches() -> bytes:
    """Return a capture with three batches of calls, of at least 100, 200 and 300 ms."""
    stream = io.BytesIO()
    writer = Writer(stream, META)
    for number in (1, 2, 3):
        rows = [Row((number * 100 + n % 90) * MS, sequence=n, pid=n * n % 991) for n in range(BATCH)]
        writer.calls(b"".join(row.packed() for row in rows))
        writer.flush()
    return stream.getvalue()


def with_damaged_pids(capture: bytes, nth: int) -> tuple[bytes, int]:
    """Return the capture with the column of pids of one batch destroyed but all checksums right, and where its chunk
    begins."""
    frames = FrameReader(io.BytesIO(capture))
    for content in frames:
        head, *records = msgpack.Unpacker(io.BytesIO(content))
        nth -= head[0] == RecordKind.CALLS
        if nth < 0:
            break
    ((rows, columns, groups),) = records
    assert len(columns[PID]) < 4 * rows
    columns[PID] = columns[PID][:16] + bytes(len(columns[PID]) - 16)
    content = msgpack.packb(head) + msgpack.packb([rows, columns, groups])
    chunk = zstandard.ZstdCompressor(write_checksum=True).compress(content)
    return capture[: frames.start] + chunk + capture[frames.position :], frames.start
