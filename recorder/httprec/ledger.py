"""Account for every call: the calls that the kernel emitted equal the recorded plus the lost ones, in total and in each
part.

The counters only rise. Every part but the last accounts for the calls that it recorded and lost, and the last part for
all that remain. So the sum over all parts equals the kernel's count.
"""

from __future__ import annotations

from collections.abc import Mapping

from httpcapture import End, Lost

from .fast_calls import FastCalls


class Ledger:
    """Add up counters for the recording and for the current part. The code that records calls increments `recorded` and
    `in_flight`, which count the calls of the current part, and `made`, which counts those of all parts whose rows the
    recorder made, so that the kernel has not counted them."""

    def __init__(self) -> None:
        self.recorded = 0
        self.in_flight = 0
        self.made = 0
        self._recorded_before = 0  # this and the next two are totals up to the end of the part before
        self._emitted_before = 0
        self._lost_before: Mapping[str, int] = {}
        self._lost: Mapping[str, int] = {}
        self._emitted = 0
        self._fast_before = FastCalls()
        self.fast = FastCalls()  # in all parts

    @property
    def all_recorded(self) -> int:
        """Return how many calls all parts recorded."""
        return self._recorded_before + self.recorded

    @property
    def all_lost(self) -> dict[str, int]:
        """Return how much all parts lost, by cause, without the causes that are 0."""
        return {cause: count for cause, count in self._lost.items() if count}

    @property
    def all_slow(self) -> int:
        """Return how many calls reached the threshold in all parts, recorded or lost."""
        return self.all_recorded + self._lost.get("call_ring_full", 0)

    def update(self, emitted: int, lost: Mapping[str, int], fast: FastCalls, now_ns: int) -> Lost | None:
        """Take the counters since the start of the recording, and return a record for this part if one has changed."""
        changed = dict(lost) != self._lost or fast != self.fast
        self._emitted, self._lost, self.fast = emitted, dict(lost), fast
        return self._record(now_ns) if changed else None

    def _record(self, now_ns: int) -> Lost:
        durations = list(self.fast.since(self._fast_before).durations)
        while durations and not durations[-1]:
            durations.pop()
        return Lost(now_ns, self._lost_in_part(), self.fast.slowest_ns, tuple(durations))

    def _lost_in_part(self) -> dict[str, int]:
        return {cause: count - self._lost_before.get(cause, 0) for cause, count in self._lost.items()}

    def end(self, reason: str, now_ns: int) -> End:
        """Return the last record of the recording."""
        emitted = self._emitted + self.made - self._emitted_before
        return self._end(reason, emitted, now_ns)

    def end_part(self, now_ns: int) -> End:
        """Return the last record of this part, and begin to count for the next one."""
        emitted = self.recorded + self._lost_in_part().get("call_ring_full", 0)
        end = self._end("rotated", emitted, now_ns)
        self._recorded_before += self.recorded
        self._emitted_before += emitted
        self._lost_before = self._lost
        self._fast_before = self.fast
        self.recorded = 0
        return end

    def _end(self, reason: str, emitted: int, now_ns: int) -> End:
        lost = {cause: count for cause, count in self._lost_in_part().items() if count}
        return End(now_ns, reason, True, emitted, self.recorded, self.in_flight, lost)
