"""Write the heads of slow HTTP/2 streams, with what is known of their header blocks.

The kernel sends the blocks of all streams and then says which streams are slow and which have ended. A head is kept
until then. What comes after a stream has become slow, such as the status of gRPC in the trailers, is written when it is
known.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Optional

from httpbpf.layout import BLOCK_ROW
from httpcapture import HEAD_CUT

from . import tuning
from .hpack import Fields
from .http2_blocks import Block, HeaderBlocks, Piece
from .http_heads import TOKEN, HeadRules, kept_value
from .http_targets import UNKNOWN, redact_target
from .kept_heads import Head, KeptHeads
from .rows import RowCodec

GRPC_STATUS = b"grpc-status"
_PSEUDO = (b":method", b":path", b":authority", b":status")
_VERSION = b"HTTP/2"
_STATUS = re.compile(rb"[1-9][0-9]{2}")
_NUMBER = re.compile(rb"[0-9]{1,3}")
_MOST_BLOCKS = 16  # of a response: those of interim ones and trailers too
_CODEC = RowCodec(BLOCK_ROW)


def wanted_names(rules: HeadRules) -> frozenset[bytes]:
    """Return the names of the fields from which heads are made."""
    return frozenset((*_PSEUDO, GRPC_STATUS, *rules.headers))


def request_text(fields: Fields, rules: HeadRules) -> bytes:
    """Return what is kept of a request; empty if nothing of it is known."""
    first, lines = _sorted_out(fields, rules)
    authority = first.get(b":authority", b"")
    method = first.get(b":method", UNKNOWN)
    method = method if TOKEN.fullmatch(method) else UNKNOWN
    asked = authority if method == b"CONNECT" and b":path" not in first else first.get(b":path", UNKNOWN)
    target = redact_target(method, asked, rules.query, rules.path, is_cut=False) or UNKNOWN
    host = kept_value(b"host", authority)
    if host:
        lines = [b"host: " + host, *(line for line in lines if not line.startswith(b"host:"))]
    if not lines and method == target == UNKNOWN:
        return b""
    return b"\n".join([b"%s %s %s" % (method, target, _VERSION), *lines, *[HEAD_CUT] * fields.has_unknown])


def response_text(blocks: Iterable[Fields], rules: HeadRules) -> bytes:
    """Return what is kept of a response with its trailers; empty if nothing of it is known. Blocks of interim
    responses are left out."""
    status, lines, has_unknown = UNKNOWN, [], False
    for fields in blocks:
        first, more = _sorted_out(fields, rules)
        found = first.get(b":status", UNKNOWN)
        if found.startswith(b"1"):
            continue
        status = found if _STATUS.fullmatch(found) and status == UNKNOWN else status
        lines += more
        has_unknown |= fields.has_unknown
    if not lines and status == UNKNOWN:
        return b""
    return b"\n".join([b"%s %s" % (_VERSION, status), *lines, *[HEAD_CUT] * has_unknown])


def _sorted_out(fields: Fields, rules: HeadRules) -> tuple[dict[bytes, bytes], list[bytes]]:
    """Return the pseudo-header fields, and the header lines that are kept."""
    first: dict[bytes, bytes] = {}
    lines = []
    for field in fields.fields:
        if field.name.startswith(b":"):
            first.setdefault(field.name, field.text)
            continue
        value = field.text
        kept = kept_value(field.name, value)
        if field.name == GRPC_STATUS and field.name not in rules.headers:
            kept = value if _NUMBER.fullmatch(value) else b""
        if kept:
            lines.append(b"%s: %s" % (field.name, kept))
    return first, lines


class _Stream:
    """Hold what is known of the heads of a stream, and its call's sequence number if it is slow, else 0."""

    __slots__ = ("request", "response", "sequence")

    def __init__(self) -> None:
        self.request: Optional[Fields] = None
        self.response: tuple[Fields, ...] = ()
        self.sequence = 0


class Http2Heads:
    """Write the heads of streams into `heads`, reduced by `rules`."""

    def __init__(self, heads: KeptHeads, rules: HeadRules) -> None:
        self._heads, self._rules = heads, rules
        self._blocks = HeaderBlocks(wanted_names(rules))
        self._streams: OrderedDict[tuple[int, int], _Stream] = OrderedDict()  # the oldest first
        self.given_up = 0
        """How many streams were given up because there were more than `tuning.MAX_STREAM_HEADS`."""

    def read(self, rows: Iterable[bytes]) -> None:
        """Take rows of the kernel (struct block_row with the bytes behind it), and write the heads of slow streams."""
        heads: list[Head] = []
        for row in rows:
            heads += self._read(row)
        self._heads.add(heads)

    def write_of_call(self, call: Mapping[str, Any]) -> None:
        """Write the heads of a call that the recorder ends, if it is a stream. It has the fields of a call row."""
        stream = self._streams.get((call["connection"], call["stream"]))
        if stream:
            stream.sequence = call["sequence"]
            self._heads.add(self._both(call["connection"], stream))

    def forget(self, connection: int, number: int) -> None:
        """Forget a stream that has ended."""
        self._streams.pop((connection, number), None)

    def _read(self, row: bytes) -> Sequence[Head]:
        connection, number, sequence, *piece, is_request, is_lost, is_slow, has_ended = _CODEC.unpack(row)
        order, offset, left, size, frame, flags = piece
        if not frame:
            return self._go_on(connection, number, sequence if is_slow else 0, has_ended=has_ended)
        data = row[BLOCK_ROW.size : BLOCK_ROW.size + size]
        block = self._blocks.read(
            connection, is_request, Piece(number, order, offset, left, frame, flags, is_lost, data)
        )
        if block and block.stream % 2 and not block.is_promise:
            return self._add(connection, block, is_request=is_request)
        return ()

    def _stream(self, connection: int, number: int) -> _Stream:
        stream = self._streams.get((connection, number))
        if stream is None:
            stream = self._streams[connection, number] = _Stream()
            if len(self._streams) > tuning.MAX_STREAM_HEADS:
                self._streams.popitem(last=False)
                self.given_up += 1
        return stream

    def _add(self, connection: int, block: Block, *, is_request: bool) -> Sequence[Head]:
        stream = self._stream(connection, block.stream)
        if not is_request:
            if len(stream.response) < _MOST_BLOCKS:
                stream.response += (block.fields,)
        elif stream.request is None:  # else these are trailers
            stream.request = block.fields
        else:
            return ()
        return [self._head(connection, stream, is_response=not is_request)] if stream.sequence else ()

    def _go_on(self, connection: int, number: int, sequence: int, *, has_ended: bool) -> Sequence[Head]:
        heads: Sequence[Head] = ()
        if sequence:
            stream = self._stream(connection, number)
            stream.sequence = sequence
            heads = self._both(connection, stream)
        if has_ended:
            self.forget(connection, number)
        return heads

    def _both(self, connection: int, stream: _Stream) -> Sequence[Head]:
        return [self._head(connection, stream, is_response=is_response) for is_response in (False, True)]

    def _head(self, connection: int, stream: _Stream, *, is_response: bool) -> Head:
        if is_response:
            text = response_text(stream.response, self._rules)
        else:
            text = request_text(stream.request, self._rules) if stream.request else b""
        return Head(connection, stream.sequence, is_response, text)
