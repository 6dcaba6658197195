"""Write the calls that end below the threshold, and once in each part what those of a connection have in common.

The kernel sends the latter once, before the first of these calls, so a recording in parts keeps it here.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from httpbpf.layout import CONNECTION_ROW, SHORT_ROW, Row
from httpcapture import RING_HEADER, Writer

from . import tuning
from .ring import Ring
from .rows import RowCodec

_CONNECTION_CODEC, _SHORT_CODEC = RowCodec(CONNECTION_ROW), RowCodec(SHORT_ROW)


class ShortRings(NamedTuple):
    """Hold the kernel's rings of calls below the threshold, and of what those of a connection have in common."""

    calls: Ring
    connections: Ring


class ShortCalls:
    """Move rows from the kernel's rings to the capture. Without rings, nothing is written. With `rotate`, the recording
    is in parts."""

    def __init__(self, writer: Writer, rings: ShortRings | None, *, rotate: bool) -> None:
        self._writer, self._rings = writer, rings
        self._repeated = RepeatedConnections() if rotate else None

    @property
    def not_repeated(self) -> int:
        """Return of how many connections parts lack what their calls have in common."""
        return self._repeated.not_repeated if self._repeated else 0

    def begin_part(self, writer: Writer) -> None:
        """Write the next part from now on."""
        self._writer = writer
        if self._repeated:
            self._repeated.begin_part()

    def drain(self) -> None:
        """Write what the rings hold."""
        if self._rings:
            self._drain(*self._rings)
            if self._rings.calls.is_cut or self._rings.connections.is_cut:
                self._drain(*self._rings)  # the rows that wrapped around the end of a ring

    def add(self, call: Mapping[str, Any]) -> None:
        """Write a call that the kernel has not ended, with the fields of its struct connection (rows.h)."""
        if self._rings:
            if call["told_pid"] != call["pid"]:
                self._add(_CONNECTION_CODEC.make(call), 0)
            self._write(_SHORT_CODEC.make(call), 0)

    def _drain(self, of_calls: Ring, of_connections: Ring) -> None:
        calls = of_calls.rows(SHORT_ROW.size)  # first: what they have in common is in the other ring by then
        connections = of_connections.rows(CONNECTION_ROW.size)
        if connections:
            self._add(connections, RING_HEADER)
            of_connections.consume(len(connections))
        if calls:
            self._write(calls, RING_HEADER)
            of_calls.consume(len(calls))

    def _add(self, connections: memoryview | bytes, header: int) -> None:
        self._writer.connections(connections, header=header)
        if self._repeated:
            self._repeated.add(memoryview(connections), header)

    def _write(self, calls: memoryview | bytes, header: int) -> None:
        if self._repeated:
            for row in self._repeated.missing(set(_connections(memoryview(calls), header, SHORT_ROW))):
                self._writer.connections(row)
        self._writer.short_calls(calls, header=header)


class RepeatedConnections:
    """Keep the newest connection row of each connection for the parts that need it again, of the most recently used
    connections.

    `not_repeated` counts the connections of which a part lacks it, for this or another reason."""

    def __init__(self) -> None:
        self.not_repeated = 0
        self._rows: OrderedDict[int, bytes] = OrderedDict()  # by connection, the most recently used last
        self._settled: OrderedDict[int, None] = OrderedDict()  # connections whose row this part has, or lacks for good

    def add(self, rows: memoryview, header: int) -> None:
        """Note that the current part has these rows, each behind `header` bytes."""
        stride = header + CONNECTION_ROW.size
        for start, connection in zip(range(header, len(rows), stride), _connections(rows, header, CONNECTION_ROW)):
            self._rows[connection] = rows[start : start + CONNECTION_ROW.size].tobytes()
            _use(self._rows, connection)
            self._settle(connection)

    def begin_part(self) -> None:
        """Begin another part, which has no rows yet."""
        self._settled.clear()

    def missing(self, connections: Iterable[int]) -> Iterator[bytes]:
        """Yield the rows of these connections that the current part does not have yet; count those that are not
        kept."""
        for connection in connections:
            if connection in self._rows:
                _use(self._rows, connection)
            if connection in self._settled:
                continue
            self._settle(connection)
            if connection in self._rows:
                yield self._rows[connection]
            else:
                self.not_repeated += 1

    def _settle(self, connection: int) -> None:
        self._settled[connection] = None
        _use(self._settled, connection)


def _use(kept: OrderedDict[int, Any], connection: int) -> None:
    """Note that a connection was used, and forget the one that was used least recently if there are too many."""
    kept.move_to_end(connection)
    if len(kept) > tuning.MAX_REPEATED_CONNECTIONS:
        kept.popitem(last=False)


def _connections(rows: memoryview, header: int, row: Row) -> Sequence[int]:
    """Return the connection of each row, which is behind `header` bytes."""
    offset = next(field.offset for field in row.fields if field.name == "connection")
    return rows.cast("Q")[(header + offset) // 8 :: (header + row.size) // 8].tolist()
