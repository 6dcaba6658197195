"""Check that reading ends at a column that cannot be unpacked and is needed, and the calls before it are reported."""

from __future__ import annotations

import io
from pathlib import Path

from httpcapture import Reader
from httpreport.calls.filters import Selection
from httpreport.capture import verify
from httpreport.capture.loader import load
from httpreport.capture.recording import Recording
from support.damaged_columns import BATCH, three_batches, with_damaged_pids
from support.recordings import MS


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
