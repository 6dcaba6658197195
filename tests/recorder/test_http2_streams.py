"""Streams of HTTP/2 end with their connection, or by a GOAWAY."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from httpbpf.layout import BLOCK_ROW, CONNECTION, ENUMS, STREAMS_END_ROW
from httpcapture import HeadText, Outcome
from httprec.http2_streams import Http2Streams
from httprec.rows import RowCodec
from support.scripted import parts_of, record
from support.synthetic import SyntheticTracer, row_of
from workload import http2_frames

REQUEST, RESPONSE = (ENUMS["phase"].index(name) for name in ("REQUEST", "RESPONSE"))
IN_RING = ENUMS["recorded"].index("IN_RING")


class Kernel(SyntheticTracer):
    """Hold open streams, and rows that end some."""

    def __init__(self, streams: Sequence[dict[str, Any]], ends: Sequence[dict[str, Any]]) -> None:
        super().__init__()
        self.kept = {bytes([number]): row_of(CONNECTION, **stream) for number, stream in enumerate(streams)}
        self.ends = [row_of(STREAMS_END_ROW, **end) for end in ends]
        self.slots: list[int] = []
        self.gone: list[tuple[int, int]] = []
        self.noted: list[tuple[int, int]] = []

    def note(self, connection: int, number: int) -> None:
        self.noted.append((connection, number))

    def open_streams(self, connections: Any = None) -> Iterator[tuple[bytes, bytes]]:
        return iter(list(self.kept.items()))

    def streams_ends(self) -> Iterator[bytes]:
        return iter(self.ends)

    def forget_stream(self, key: bytes, slots: Any) -> None:
        known = RowCodec(CONNECTION).read(self.kept.pop(key))
        self.gone.append((known["connection"], known["stream"]))
        self.slots += filter(None, slots)


def stream(number: int, **changed: Any) -> dict[str, Any]:
    return {"connection": 7, "stream": number, "t0": 100, "t3": 0, "phase": REQUEST, "slot": number, **changed}


def end(**changed: Any) -> dict[str, Any]:
    return {"connection": 7, "at": 500, "above": 0, "outcome": Outcome.CLOSED, **changed}


def ended(kernel: Kernel) -> list[tuple[int, int, int]]:
    streams = Http2Streams(kernel, kernel.note)
    found = [(each["stream"], each["t3"], each["outcome"]) for each in streams.end(streams.ends())]
    kernel.close()
    assert kernel.noted == kernel.gone
    return found


def test_all_streams_of_a_connection_end_with_it_and_no_other() -> None:
    kernel = Kernel([stream(1), stream(3), stream(1, connection=8)], [end()])
    assert ended(kernel) == [(1, 500, Outcome.CLOSED), (3, 500, Outcome.CLOSED)]
    assert list(kernel.kept) == [b"\2"]
    assert kernel.slots == [1, 3]


def test_a_goaway_ends_the_streams_above_its_last_one() -> None:
    kernel = Kernel([stream(1), stream(3), stream(5)], [end(above=3)])
    assert ended(kernel) == [(5, 500, Outcome.CLOSED)]
    assert len(kernel.kept) == 2


def test_a_stream_that_was_opened_later_is_not_meant() -> None:
    kernel = Kernel([stream(1, t0=501)], [end()])
    assert ended(kernel) == []
    assert kernel.kept


def test_a_response_ends_where_it_has_come_to() -> None:
    kernel = Kernel([stream(1, phase=RESPONSE, t3=300)], [end()])
    assert ended(kernel) == [(1, 300, Outcome.ANSWERED)]
    assert not kernel.kept


@pytest.mark.parametrize("phase", [REQUEST, RESPONSE])
def test_what_was_lost_is_forgotten_and_not_told(phase: int) -> None:
    kernel = Kernel([stream(1, phase=phase)], [end(is_lost=1)])
    assert ended(kernel) == []
    assert not kernel.kept
    assert kernel.slots == [1]


def test_the_first_end_counts() -> None:
    kernel = Kernel([stream(1)], [end(outcome=Outcome.EOF, at=400), end()])
    assert ended(kernel) == [(1, 400, Outcome.EOF)]


def test_a_connection_that_ends_while_rows_are_read_takes_no_heads_along(tmp_path: Path) -> None:
    block = {
        "connection": 7,
        "stream": 1,
        "frame": http2_frames.HEADERS,
        "flags": http2_frames.END_HEADERS,
        "size": len(http2_frames.REQUEST),
    }
    asked = row_of(BLOCK_ROW, is_request=1, **block) + http2_frames.REQUEST
    slow = row_of(BLOCK_ROW, connection=7, stream=1, sequence=1, is_slow=1)
    kernel = Kernel([stream(1, phase=RESPONSE, recorded=IN_RING)], [])
    rows = [asked]

    def blocks() -> Iterator[bytes]:
        """Yield what has arrived; meanwhile the stream becomes slow, and then its connection ends."""
        arrived, rows[:] = rows[:], [slow] if asked in rows else []
        yield from arrived
        if asked in arrived:
            kernel.ends = [row_of(STREAMS_END_ROW, **end())]

    def begin(tracer: Any) -> None:
        tracer.block_rows, tracer.streams_ends = blocks, kernel.streams_ends
        tracer.open_streams, tracer.forget_stream = kernel.open_streams, kernel.forget_stream

    record(tmp_path, [[begin], []])
    (part,) = parts_of(tmp_path)
    assert b"GET /a HTTP/2" in b"".join(text.text for text in part.of(HeadText) if isinstance(text, HeadText))
    assert not kernel.kept
    kernel.close()
