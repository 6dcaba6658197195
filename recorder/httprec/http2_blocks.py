"""Put header blocks of HTTP/2 together from the pieces that the kernel sends, and decode them in order (hpack.py).

Each direction of a connection has a decoder of its own. Pieces have numbers that rise by 1; where one is missing, a
block may be missing, and the decoder goes on behind that.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Set
from typing import NamedTuple, Optional

from . import tuning
from .hpack import Decoder, Fields

MAX_BLOCK = 1 << 16  # bytes
_HEADERS, _PUSH_PROMISE, _CONTINUATION = 1, 5, 9  # types of frames, RFC 9113, 6
_END_HEADERS, _PADDED, _PRIORITY = 4, 8, 0x20  # flags
_PRIORITY_SIZE, _PROMISED_SIZE = 5, 4  # bytes
_ORDERS = 1 << 32


class Piece(NamedTuple):
    """Hold the fields of struct block_row (rows.h) that tell of a piece, and its bytes."""

    stream: int
    order: int
    offset: int
    left: int
    frame: int
    flags: int
    is_lost: int
    data: bytes


class Block(NamedTuple):
    """Hold what is known of a block. `is_promise` says that it is of a request that a server answers unasked."""

    stream: int
    is_promise: bool
    fields: Fields


class Direction:
    """Read the pieces of one direction of a connection, in order."""

    def __init__(self, wanted: Set[bytes], first_order: int) -> None:
        self.decoder = Decoder(wanted, is_whole=first_order == 0)
        self._next_order = first_order
        self._frame = bytearray()
        self._block: Optional[bytearray] = None  # of what precedes the frame; None: no block has begun
        self._stream = 0
        self._is_promise = False

    def _lose(self) -> None:
        self.decoder.lose()
        self._block = None

    def read(self, piece: Piece) -> Optional[Block]:
        """Take the next piece. Return the block that it ends, if it ends one of which no piece is missing."""
        if piece.order != self._next_order:
            self._lose()
        self._next_order = (piece.order + 1) % _ORDERS
        if self._is_whole_block(piece):
            return Block(piece.stream, False, self.decoder.decode(piece.data))
        if not piece.offset:
            self._begin_frame(piece)
        elif piece.offset != len(self._frame):
            self._lose()
        if piece.is_lost or len(self._frame) + len(self._block or b"") > MAX_BLOCK:
            self._lose()
        self._frame += piece.data
        if piece.left:
            return None
        self._end_frame(piece)
        return self._end_block() if piece.flags & _END_HEADERS else None

    def _is_whole_block(self, piece: Piece) -> bool:
        """Return whether a piece is a block and nothing else, as most are."""
        begins = not piece.offset and piece.frame == _HEADERS and self._block is None
        flags = piece.flags & (_END_HEADERS | _PADDED | _PRIORITY)
        return begins and flags == _END_HEADERS and not piece.left and not piece.is_lost

    def _begin_frame(self, piece: Piece) -> None:
        self._frame.clear()
        goes_on = self._block is not None
        if piece.frame == _CONTINUATION:
            if not goes_on or piece.stream != self._stream:
                self._lose()
            return
        if goes_on:
            self._lose()
        self._block, self._stream = bytearray(), piece.stream
        self._is_promise = piece.frame == _PUSH_PROMISE

    def _end_frame(self, piece: Piece) -> None:
        """Add what the frame has of the block, without what else is in its payload (RFC 9113, 6.2 and 6.6)."""
        if self._block is None:
            return
        begin, end = 0, len(self._frame)
        if piece.frame != _CONTINUATION:
            if piece.flags & _PADDED:
                begin, end = 1, end - (self._frame[0] if self._frame else end)
            if piece.frame == _PUSH_PROMISE:
                begin += _PROMISED_SIZE
            elif piece.flags & _PRIORITY:
                begin += _PRIORITY_SIZE
        if begin > end:
            self._lose()
        else:
            self._block += self._frame[begin:end]

    def _end_block(self) -> Optional[Block]:
        block, self._block = self._block, None
        return None if block is None else Block(self._stream, self._is_promise, self.decoder.decode(bytes(block)))


class HeaderBlocks:
    """Read the pieces of all connections. Directions that were silent longest are forgotten first; should they go on,
    what their tables hold is not known."""

    def __init__(self, wanted: Set[bytes]) -> None:
        self._wanted = wanted
        self._directions: OrderedDict[tuple[int, int], Direction] = OrderedDict()  # the last used last
        self._size = 0  # of the tables

    def read(self, connection: int, is_request: int, piece: Piece) -> Optional[Block]:
        """Return the block that a piece ends, if it ends one."""
        key = connection, is_request
        direction = self._directions.get(key)
        if direction is None:
            direction = self._directions[key] = Direction(self._wanted, piece.order)
        else:
            self._directions.move_to_end(key)
        before = direction.decoder.size
        block = direction.read(piece)
        self._size += direction.decoder.size - before
        while len(self._directions) > tuning.MAX_HTTP2_DIRECTIONS or self._size > tuning.MAX_HPACK_TABLES:
            self._size -= self._directions.popitem(last=False)[1].decoder.size
        return block
