"""What the kernel emitted is what was recorded and what was lost: added up for the recording, and for each part of it.

The counters only rise. A part that another one follows accounts for what it recorded and lost; the last one for all
that remains, so that the sum over all parts is what the kernel counted.
"""

from __future__ import annotations

from collections.abc import Mapping

from httpcapture import End, Lost

from .fast_calls import FastCalls


class Ledger:
    """`recorded` and `in_flight` count calls of this part; whoever records them adds them up."""

    def __init__(self) -> None:
        self.recorded = 0
        self.in_flight = 0
        self._recorded_before = 0  # this and the next two: at the end of the part before
        self._emitted_before = 0
        self._lost_before: Mapping[str, int] = {}
        self._lost: Mapping[str, int] = {}
        self._emitted = 0
        self._fast_before = FastCalls()
        self.fast = FastCalls()  # of all parts

    @property
    def all_recorded(self) -> int:
        return self._recorded_before + self.recorded

    @property
    def all_lost(self) -> dict[str, int]:
        """By cause, those that have a count."""
        return {cause: count for cause, count in self._lost.items() if count}

    @property
    def all_slow(self) -> int:
        """Calls that reached the threshold: recorded, or lost."""
        return self.all_recorded + self._lost.get("call_ring_full", 0)

    def take(self, emitted: int, lost: Mapping[str, int], fast: FastCalls, now_ns: int) -> Lost | None:
        """The counters since the start of the recording; gives the record for this part if one has changed."""
        changed = dict(lost) != self._lost or fast != self.fast
        self._emitted, self._lost, self.fast = emitted, dict(lost), fast
        return self._record(now_ns) if changed else None

    def _record(self, now_ns: int) -> Lost:
        durations = list(self.fast.since(self._fast_before).durations)
        while durations and not durations[-1]:
            durations.pop()
        return Lost(now_ns, self._part(), self.fast.slowest_ns, tuple(durations))

    def _part(self) -> dict[str, int]:
        return {cause: count - self._lost_before.get(cause, 0) for cause, count in self._lost.items()}

    def end(self, reason: str, now_ns: int) -> End:
        """The end of the recording."""
        emitted = self._emitted + self.in_flight - self._emitted_before
        return self._end(reason, emitted, now_ns)

    def end_part(self, now_ns: int) -> End:
        """The end of a part; counts for the next one from now on."""
        emitted = self.recorded + self._part().get("call_ring_full", 0)
        end = self._end("rotated", emitted, now_ns)
        self._recorded_before += self.recorded
        self._emitted_before += emitted
        self._lost_before = self._lost
        self._fast_before = self.fast
        self.recorded = 0
        return end

    def _end(self, reason: str, emitted: int, now_ns: int) -> End:
        lost = {cause: count for cause, count in self._part().items() if count}
        return End(now_ns, reason, True, emitted, self.recorded, self.in_flight, lost)
