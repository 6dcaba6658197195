"""Check that stacks that no kept call names stay packed, and that only one stack copy is in memory at a time."""

from __future__ import annotations

import io
import re
import tracemalloc
from collections.abc import Sequence
from dataclasses import replace

import msgpack
import pytest
import zstandard

from httpcapture import End, Reader, Record, Writer
from httpcapture.chunks import RecordKind
from httpcapture.frames import FrameReader
from httpreport.calls.filters import Selection
from httpreport.capture import packed_stacks
from httpreport.capture.loader import load
from httpreport.capture.recording import Recording
from httpreport.common import tuning
from httpreport.languages.stack_trace import NoStack
from httpreport.redact import Redaction
from httpreport.report.aggregate import Request
from httpreport.report.info import info
from httpreport.report.report import make_report
from httpreport.report.warnings import Cause, incomplete
from support.recordings import META, MS, STARTED_NS, TEXT, Row, capture, process, stack
from support.redactions import redacted
from support.reports import folded_lines, no_binary, reported

COPY = 60 << 10
COPIES = 2000  # more than 100 MiB


def copies(count: int) -> list[Record]:
    """Return stacks with copies that all differ and compress well."""
    registers = bytes(168)
    one = replace(stack(TEXT), registers=registers, memory_address=0x7FFC_0000_0000)
    memories = (number.to_bytes(8, "little") * (COPY // 8) for number in range(1, count + 1))
    return [replace(one, id=number, memory=memory) for number, memory in enumerate(memories, 1)]


def read(data: bytes, milliseconds: int) -> Recording:
    return load(Reader(io.BytesIO(data), "run.cap"), Selection(milliseconds * MS))


@pytest.mark.parametrize("kept", [0, 5, COPIES])
def test_copies_of_stacks_are_not_held(kept: int) -> None:
    rows = [Row(stack=number, sequence=number, duration_ns=number * MS) for number in range(1, COPIES + 1)]
    data = capture(rows, [process(), *copies(COPIES)], threshold_ns=0)
    assert len(data) < COPIES * COPY / 50
    tracemalloc.start()
    try:
        recording = read(data, COPIES - kept + 1)
        report = make_report(recording, Selection((COPIES - kept + 1) * MS), no_binary)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert recording.kept == kept == len(report.record_numbers)
    assert peak < COPIES * COPY / 4


def test_a_stack_has_the_number_of_its_place_in_the_capture() -> None:
    """The recorder prints the same number live. If two stacks have the same ID, the first counts."""
    ids = [70, 90, 70, 80, 60]
    records = [stack(TEXT, id=id, taken_ns=STARTED_NS + place) for place, id in enumerate(ids)]
    report = reported(capture([Row(stack=80), Row(stack=60, sequence=1), Row(stack=50, sequence=2)], records))
    assert report.record_numbers == {80: 3, 60: 4}
    found = [(one.id, one.taken_ns - STARTED_NS) for one in report.recording.stacks]
    assert found == [(70, 0), (90, 1), (80, 3), (60, 4)]


def with_a_damaged_stack(data: bytes) -> bytes:
    """Return the capture with a number as the frames of the second stack of its first chunk of stacks, and all
    checksums right."""
    frames = FrameReader(io.BytesIO(data))
    for content in frames:
        head, *records = msgpack.Unpacker(io.BytesIO(content))
        if head[0] == RecordKind.STACKS:
            break
    records[1][4] = 7
    chunk = zstandard.ZstdCompressor(write_checksum=True).compress(b"".join(map(msgpack.packb, [head, *records])))
    return data[: frames.start] + chunk + data[frames.position :]


def with_damage() -> bytes:
    """Return five calls with stacks in two chunks, one of which is damaged."""
    stream = io.BytesIO()
    writer = Writer(stream, META)
    for ids in ((1, 2, 3), (4, 5)):
        writer.process(process())
        for id in ids:
            writer.stack(stack(TEXT, id=id))
        rows = [Row(stack=id, sequence=id) for id in ids]
        writer.calls(b"".join(row.packed() for row in rows))
        writer.flush()
    writer.end(End(STARTED_NS, "signal", True, 5, 5, 0))
    return with_a_damaged_stack(stream.getvalue())


def test_a_damaged_stack_loses_no_call_and_no_stack_of_another_chunk() -> None:
    report = reported(with_damage(), milliseconds=None)

    missing, others = folded_lines(report)
    assert missing == "nova-api;[no stack: missing in the capture] 500000"
    assert others.endswith(" 750000")
    (warning,) = report.warnings
    assert re.match(r"stacks that cannot be read \(capture: damaged at byte \d+: Stack\.frames: int", warning.text)
    assert warning.text.endswith("): some calls have no stack trace")
    assert incomplete(report.recording)


def test_info_reports_a_damaged_stack_as_a_report_does() -> None:
    (warning,) = reported(with_damage(), milliseconds=None).warnings
    lines = info("run.cap", io.BytesIO(with_damage()), Request(), modules=False)
    told = [line.split(None, 1)[1] for line in lines if line.split()[0] == "warning"]
    assert [line.replace("run.cap:", "capture:") for line in told] == [warning.text]


def test_a_damaged_stack_loses_no_call_when_the_capture_is_redacted() -> None:
    found = load(Reader(io.BytesIO(redacted(with_damage(), no_binary))), Selection(0))
    assert (found.kept, found.cut_off) == (5, None)
    assert [one.id for one in found.stacks] == [1, 4, 5]


@pytest.mark.parametrize("ids", [range(1, 11), [1] * 10])
def test_of_more_stacks_than_can_be_read_the_first_are(ids: Sequence[int], monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [Row(stack=ids[0]), Row(stack=ids[-1], sequence=1)]
    data = capture(rows, [stack(TEXT, id=id) for id in ids])
    assert reported(data, milliseconds=None).warnings == []
    monkeypatch.setattr(packed_stacks, "MAX_STACKS", 9)

    report = reported(data, milliseconds=None)

    text = "stacks that cannot be read (only the first 9 are read: record in parts): some calls have no stack trace"
    assert [(warning.cause, warning.text) for warning in report.warnings] == [(Cause.DAMAGE, text)]
    missing = [report.trace(place).missing for place in range(2)]
    assert missing == [None, NoStack.MISSING if ids[-1] == 10 else None]


def test_of_more_frames_than_can_be_redacted_the_first_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "MAX_HELD_BYTES", 10 * (4096 + tuning.RECORD_OVERHEAD))
    for count in (10, 11):
        data = capture([Row(stack=1)], [stack(*range(1, 513), id=id) for id in range(1, count + 1)])
        redaction = Redaction(read(data, 0), no_binary, ())

        again = read(b"".join(redaction.pieces(Reader(io.BytesIO(data), "run.cap"))), 0)

        assert [one.id for one in again.stacks] == [*range(1, 11)]
        said = ["stacks left out for lack of memory: 1: their calls have no stack; record in parts"] * (count - 10)
        assert [warning.text for warning in redaction.warnings()] == said
