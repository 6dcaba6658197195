"""Tell what is known of the network under a call: how long it took to make its connection, the round trip, and the
segments that were sent again or came out of order.

TCP's counts end where the recorder wrote the call: at its first byte, when it became slow while its response went on,
or at its end if it has no response (format/FORMAT.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Optional

from httpcapture import COUNT_NOT_KNOWN

from .schema import LATEST_NS


class Network(NamedTuple):
    """Hold what the recorder read of a call's connection. A value that is not known is None."""

    connect_ns: Optional[int]  # of a client, with the first call of a connection
    handshake_ns: Optional[int]  # of TLS, with the first call of a connection
    round_trip_ns: Optional[int]  # smoothed by TCP (RFC 6298)
    segments: Optional[int]  # that were sent in the call, with those that only acknowledge
    retransmitted: Optional[int]  # of them, those that were sent again
    out_of_order: Optional[int]  # that were received in the call

    @classmethod
    def of_columns(cls, times: Sequence[int], counts: Sequence[int]) -> Network:
        """Return what one row tells. `times` are its `connect_time`, `handshake_time` and `round_trip`, `counts` its
        `segments`, `retransmitted` and `out_of_order`."""
        connect_time, handshake_time, round_trip = times
        in_ns = connect_time, handshake_time, round_trip * 1000
        return cls(*map(_known_ns, in_ns), *(None if count == COUNT_NOT_KNOWN else count for count in counts))

    def text(self, until: str) -> str:
        """Return what is known as text, empty if nothing is. `until` is where the counts end, such as "its end"."""
        counts = ", ".join(self._counts())
        return "; ".join(filter(None, (", ".join(self._times()), counts and f"segments until {until}: {counts}")))

    def _times(self) -> Iterator[str]:
        for words, value in zip(("connected in", "TLS handshake in", "round trip"), self[:3]):
            if value is not None:
                yield f"{words} {value / 1e6:.2f} ms"

    def _counts(self) -> Iterator[str]:
        for words, value in zip(("sent", "sent again", "received out of order"), self[3:]):
            if value is not None:
                yield f"{value} {words}"


def _known_ns(value: int) -> Optional[int]:
    return value if 0 < value <= LATEST_NS else None
