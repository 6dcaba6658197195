"""A column that cannot be unpacked ends the reading there, for who needs it; what stands before it is reported."""

from __future__ import annotations

import io
from pathlib import Path

import msgpack
import zstandard
from recordings import CALL_LAYOUT, META, MS, Row

from httpcapture import Reader, Writer
from httpcapture.chunks import Kind
from httpcapture.frames import FrameReader
from httpreport.calls.filters import Selection
from httpreport.capture import verify
from httpreport.capture.recording import Recording, load

BATCH = 500  # calls
PID = 1 + [field.name for field in CALL_LAYOUT.fields].index("pid")  # in a batch; the sizes of groups come first


def three_batches() -> bytes:
    """Calls of 100 ms and more, 200 ms and more, 300 ms and more."""
    stream = io.BytesIO()
    writer = Writer(stream, META)
    for number in (1, 2, 3):
        rows = [Row((number * 100 + n % 90) * MS, sequence=n, pid=n * n % 991) for n in range(BATCH)]
        writer.calls(b"".join(row.packed() for row in rows))
        writer.flush()
    return stream.getvalue()


def with_damaged_pids(capture: bytes, nth: int) -> tuple[bytes, int]:
    """The capture with this column of one batch destroyed, and where its chunk begins. All checksums are right."""
    frames = FrameReader(io.BytesIO(capture))
    for content in frames:
        head, *records = msgpack.Unpacker(io.BytesIO(content))
        nth -= head[0] == Kind.CALLS
        if nth < 0:
            break
    ((rows, columns, groups),) = records
    assert len(columns[PID]) < 4 * rows
    columns[PID] = columns[PID][:16] + bytes(len(columns[PID]) - 16)
    content = msgpack.packb(head) + msgpack.packb([rows, columns, groups])
    chunk = zstandard.ZstdCompressor(write_checksum=True).compress(content)
    return capture[: frames.start] + chunk + capture[frames.position :], frames.start


def loaded(capture: bytes, milliseconds: int) -> Recording:
    return load(Reader(io.BytesIO(capture), "run.cap"), Selection(milliseconds * MS))


def test_what_stands_before_a_damaged_column_is_reported() -> None:
    capture, start = with_damaged_pids(three_batches(), 1)
    for milliseconds, kept in ((0, BATCH), (150, 200)):
        found = loaded(capture, milliseconds)
        assert (found.recorded, found.kept, len(found.calls)) == (BATCH, kept, kept)
        assert found.cut_off and found.cut_off.startswith(f"run.cap: damaged at byte {start}: column pid: zstd: ")


def test_a_damaged_column_that_no_kept_call_needs_is_not_looked_at(tmp_path: Path) -> None:
    capture, start = with_damaged_pids(three_batches(), 0)
    found = loaded(capture, 388)
    assert (found.recorded, found.kept) == (3 * BATCH, 10)
    assert found.cut_off and "END is missing" in found.cut_off
    path = tmp_path / "run.cap"
    path.write_bytes(capture)
    with open(path, "rb") as file:
        assert f"damaged at byte {start}: column pid: zstd: " in verify.verify(str(path), file).problems[0]
