"""End the streams of HTTP/2 connections.

A probe that sees a connection end cannot search for its streams, so it sends a row, and the recorder does the rest.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Callable

from httpbpf.layout import CONNECTION, ENUMS, STREAMS_END_ROW

from .rows import RowCodec
from .tracer import Tracer

_CONNECTION_CODEC, _END_CODEC = RowCodec(CONNECTION), RowCodec(STREAMS_END_ROW)
_IN_REQUEST = ENUMS["phase"].index("REQUEST")


class Http2Streams:
    """Read the open streams from the kernel. `forget` is called with the connection and the number of each that has
    ended, after it was yielded."""

    def __init__(self, tracer: Tracer, forget: Callable[[int, int], None]) -> None:
        self._tracer, self._forget = tracer, forget

    def open(self) -> Iterator[dict[str, Any]]:
        """Yield what is known of each open stream, with the fields of struct connection (rows.h)."""
        return (_CONNECTION_CODEC.read(row) for _, row in self._tracer.open_streams())

    def ends(self) -> Sequence[bytes]:
        """Return the rows (streams_end_row, rows.h) that have arrived. What the kernel has sent of their streams before
        is in the other rings by then."""
        return list(self._tracer.streams_ends())

    def end(self, rows: Iterable[bytes]) -> Iterator[dict[str, Any]]:
        """Yield the streams that the end of their connection or a GOAWAY has ended, as rows say, and then forget them.

        If they have no response, `t2`, `t3` and `outcome` are set to those of the end. Streams of a connection whose
        frames the kernel could not follow are forgotten, too, but not yielded.
        """
        ends: dict[int, list[Mapping[str, Any]]] = {}
        for end in map(_END_CODEC.read, rows):
            ends.setdefault(end["connection"], []).append(end)
        if not ends:
            return
        for key, row in self._tracer.open_streams(ends):
            stream = _CONNECTION_CODEC.read(row)
            end_of_it = _first_end(stream, ends.get(stream["connection"], ()))
            if end_of_it is None:
                continue
            if not end_of_it["is_lost"]:
                yield _ended(stream, end_of_it)
            self._tracer.forget_stream(key, (stream["slot"], stream["receive_slot"]))
            self._forget(stream["connection"], stream["stream"])


def _first_end(stream: Mapping[str, Any], ends: Iterable[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    return next((end for end in ends if stream["stream"] > end["above"] and stream["t0"] < end["at"]), None)


def _ended(stream: dict[str, Any], end: Mapping[str, Any]) -> dict[str, Any]:
    if stream["phase"] != _IN_REQUEST:
        return stream
    return {**stream, "t2": end["at"], "t3": end["at"], "outcome": end["outcome"]}
