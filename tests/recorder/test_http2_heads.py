"""The heads of HTTP/2 streams from pieces of header blocks, as the kernel sends them, whole and with losses."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from httpbpf.layout import BLOCK_ROW
from httpcapture import End, Reader, Writer
from httprec import tuning
from httprec.http2_blocks import MAX_BLOCK
from httprec.http2_heads import Http2Heads
from httprec.http_heads import DEFAULT_RULES
from httprec.kept_heads import KeptHeads
from httpreport.capture.loader import KeepNothing, load
from support.capture_samples import META
from support.head_records import heads_of
from support.synthetic import row_of

oracle: Any = pytest.importorskip("hpack")

HEADERS, PUSH_PROMISE, CONTINUATION = 1, 5, 9
END_HEADERS, PADDED, PRIORITY = 4, 8, 0x20
PIECE_BYTES = 256  # as in frames.h
CONNECTION = 9
Header = tuple[bytes, bytes]


@dataclass
class Sender:
    """Make the rows of one direction of a connection, from what one end sends."""

    is_request: int
    order: int = 0
    encoder: Any = field(default_factory=oracle.Encoder)

    def frame(self, kind: int, flags: int, stream: int, payload: bytes) -> Iterator[bytes]:
        for offset in range(0, max(len(payload), 1), PIECE_BYTES):
            data = payload[offset : offset + PIECE_BYTES]
            yield (
                row_of(
                    BLOCK_ROW,
                    connection=CONNECTION,
                    stream=stream,
                    order=self.order,
                    offset=offset,
                    left=len(payload) - offset - len(data),
                    size=len(data),
                    frame=kind,
                    flags=flags,
                    is_request=self.is_request,
                )
                + data
            )
            self.order += 1

    def send(
        self, stream: int, headers: Sequence[Header], *, cuts: Sequence[int] = (), padding: int = 0, promise: int = 0
    ) -> list[bytes]:
        """Return the rows of a block in frames that are cut at some places, the first of them padded."""
        block = self.encoder.encode(headers)
        ends = [*sorted({min(cut, len(block)) for cut in cuts} - {0}), len(block)]
        begins = [0, *ends[:-1]]
        rows: list[bytes] = []
        for begin, end in zip(begins, ends):
            is_first, flags = begin == 0, END_HEADERS if end == len(block) else 0
            payload = block[begin:end]
            kind = CONTINUATION
            if is_first:
                kind = PUSH_PROMISE if promise else HEADERS
                extra = struct.pack(">I", promise) if promise else bytes(5) if padding % 2 else b""
                flags |= PRIORITY if padding % 2 and not promise else 0
                payload = extra + payload
                if padding:
                    flags |= PADDED
                    payload = bytes([padding]) + payload + bytes(padding)
            rows += self.frame(kind, flags, stream, payload)
            if end == len(block):
                break
        return rows


def mark(stream: int, **values: int) -> bytes:
    return row_of(BLOCK_ROW, connection=CONNECTION, stream=stream, sequence=stream, **values)


SLOW, ENDED = {"is_slow": 1}, {"has_ended": 1}


class Recorded:
    """Write heads into memory."""

    def __init__(self) -> None:
        self._stream = io.BytesIO()
        self._writer = Writer(self._stream, META)
        self.kept = KeptHeads(self._writer, DEFAULT_RULES)
        self.heads = Http2Heads(self.kept, DEFAULT_RULES)

    def of(self, *streams: int) -> list[tuple[bytes, bytes]]:
        """Return the heads of the calls that streams are."""
        self._writer.end(End(1, "why", True, 0, 0, 0))
        found = load(Reader(io.BytesIO(self._stream.getvalue())), KeepNothing()).heads
        return [heads_of(found, CONNECTION, stream) for stream in streams]


def request(path: bytes, *more: Header) -> list[Header]:
    return [(b":method", b"POST"), (b":scheme", b"http"), (b":path", path), (b":authority", b"shop:80"), *more]


SECRETS = [(b"authorization", b"Bearer planted"), (b"cookie", b"a=planted"), (b"x-api-key", b"planted")]
OK: list[Header] = [(b":status", b"200"), (b"content-type", b"application/grpc"), (b"set-cookie", b"planted")]


def test_a_slow_stream_has_what_is_kept_of_its_heads_and_its_trailers() -> None:
    asks, answers, recorded = Sender(1), Sender(0), Recorded()
    asked = request(b"/shop.Shop/Buy?token=planted", *SECRETS, (b"traceparent", b"00-a-b-01"), (b"host", b"other"))
    recorded.heads.read([*asks.send(1, asked), *asks.send(3, request(b"/fast"))])
    recorded.heads.read([*answers.send(3, OK), mark(3, **ENDED), *answers.send(1, [(b":status", b"103")])])
    recorded.heads.read([mark(1, **SLOW), *answers.send(1, OK)])
    recorded.heads.read([*answers.send(1, [(b"grpc-status", b"14"), (b"grpc-message", b"planted")]), mark(1, **ENDED)])
    assert recorded.of(1, 3) == [
        (
            b"POST /shop.Shop/Buy?... HTTP/2\nhost: shop:80\ntraceparent: 00-a-b-01",
            b"HTTP/2 200\ncontent-type: application/grpc\ngrpc-status: 14",
        ),
        (b"", b""),
    ]


def test_a_stream_that_the_recorder_ends_has_its_heads() -> None:
    asks, recorded = Sender(1), Recorded()
    recorded.heads.read(asks.send(1, request(b"/wait")))
    recorded.heads.write_of_call({"connection": CONNECTION, "stream": 1, "sequence": 1})
    recorded.heads.write_of_call({"connection": CONNECTION, "stream": 0, "sequence": 5})
    assert recorded.of(1) == [(b"POST /wait HTTP/2\nhost: shop:80", b"")]


def test_values_that_are_not_as_they_must_be_are_not_written() -> None:
    asks, answers, recorded = Sender(1), Sender(0), Recorded()
    odd = [(b":method", b"GET /x"), (b":path", b"/a\nb: c"), (b":authority", b"a\nb"), (b"x-request-id", b"a\nb: c")]
    recorded.heads.read([*asks.send(1, odd), *asks.send(3, [(b":method", b"CONNECT"), (b":authority", b"db:5432")])])
    status = [(b":status", b"20\n"), (b"grpc-status", b"0\n"), (b"server", b"x")]
    recorded.heads.read([*answers.send(1, status), mark(1, **SLOW), mark(3, **SLOW)])
    assert recorded.of(1, 3) == [
        (b"", b"HTTP/2 ?\nserver: x"),
        (b"CONNECT db:5432 HTTP/2\nhost: db:5432", b""),
    ]


def test_a_promised_request_is_no_call_but_counts_for_the_table() -> None:
    answers, recorded = Sender(0), Recorded()
    recorded.heads.read(answers.send(1, request(b"/pushed"), promise=2))
    recorded.heads.read([*answers.send(1, OK), *answers.send(1, [(b":path", b"/pushed"), *OK]), mark(1, **SLOW)])
    assert recorded.of(1) == [(b"", b"HTTP/2 200\ncontent-type: application/grpc\ncontent-type: application/grpc")]


NUMBERS = st.integers(0, 400)
BLOCKS = st.lists(
    st.tuples(
        st.sampled_from([b"/", b"/a", b"/orders/list", b"/" + b"x/" * 300]),
        st.sampled_from([b"1", b"2", b"abc"]),
        st.lists(st.integers(0, 300), max_size=3),  # where its frames are cut
        st.integers(0, 40),  # bytes of padding
    ),
    max_size=8,
)


def paths_of(blocks: Sequence[Any], lost: set[int]) -> list[tuple[bytes, bytes]]:
    """Return the path that was asked for, and the head that was recorded, where rows with some numbers are lost."""
    asks, recorded, rows = Sender(1), Recorded(), []
    for number, (path, ident, cuts, padding) in enumerate(blocks):
        asked = request(path, (b"x-request-id", ident), *SECRETS)
        rows += asks.send(2 * number + 1, asked, cuts=cuts, padding=padding)
    recorded.heads.read(row for number, row in enumerate(rows) if number not in lost)
    streams = [2 * number + 1 for number in range(len(blocks))]
    recorded.heads.read(mark(stream, **SLOW) for stream in streams)
    return [(block[0], text) for block, (text, _) in zip(blocks, recorded.of(*streams))]


@given(BLOCKS)
def test_blocks_are_read_however_they_are_in_frames(blocks: Sequence[Any]) -> None:
    for path, text in paths_of(blocks, set()):
        assert text.startswith(b"POST %s HTTP/2\nhost: shop:80\nx-request-id: " % path)


@given(BLOCKS, st.sets(st.integers(0, 20), max_size=3))
def test_where_pieces_were_lost_the_rest_is_true_or_not_known(blocks: Sequence[Any], lost: set[int]) -> None:
    for path, text in paths_of(blocks, lost):
        words = text.split(b"\n")[0].split(b" ")
        assert words in ([b""], *([m, p, b"HTTP/2"] for m in (b"POST", b"?") for p in (path, b"?")))
        assert words != [b"?", b"?", b"HTTP/2"] or text.endswith(b"...")


def test_a_connection_that_was_joined_late_is_not_known_at_first() -> None:
    asks, recorded = Sender(1), Recorded()
    asks.send(1, request(b"/old"))
    recorded.heads.read([*asks.send(3, request(b"/old")), *asks.send(5, request(b"/new")), mark(3, **SLOW)])
    recorded.heads.read([*asks.send(7, request(b"/new")), mark(5, **SLOW), mark(7, **SLOW)])
    assert [text for text, _ in recorded.of(3, 5, 7)] == [
        b"POST ? HTTP/2\n...",
        b"POST /new HTTP/2\n...",
        b"POST /new HTTP/2\n...",
    ]


def test_a_block_that_is_too_long_is_not_known() -> None:
    asks, recorded = Sender(1), Recorded()
    more = [(b"x-much-%d" % number, bytes(8000)) for number in range(MAX_BLOCK // 8000 + 1)]
    marked = [oracle.NeverIndexedHeaderTuple(*each) for each in more]
    recorded.heads.read(asks.send(1, [*request(b"/a"), *marked], cuts=range(0, 80000, 16000)))
    recorded.heads.read([*asks.send(3, request(b"/b")), mark(1, **SLOW), mark(3, **SLOW)])
    assert [text for text, _ in recorded.of(1, 3)] == [b"", b"POST /b HTTP/2\n..."]


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "MAX_STREAM_HEADS", 2)
    monkeypatch.setattr(tuning, "MAX_HTTP2_DIRECTIONS", 1)
    asks, answers, recorded = Sender(1), Sender(0), Recorded()
    for stream in (1, 3, 5):
        recorded.heads.read([*asks.send(stream, request(b"/a")), *answers.send(stream, OK)])
    recorded.heads.read(mark(stream, **SLOW) for stream in (3, 5))
    assert recorded.heads.given_up == 1
    third, fifth = recorded.of(3, 5)
    assert third == fifth == (b"POST ? HTTP/2\n...", b"HTTP/2 200\n...")
