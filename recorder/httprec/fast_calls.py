"""What ended below the threshold: it is not recorded, but counted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from httpbpf.layout import FAST_CALLS

from .rows import RowCodec

_ROW = RowCodec(FAST_CALLS)
_BUCKETS = 64
_STEPS = (5, 2, 1)  # of the thresholds that are proposed, times a power of ten


@dataclass(frozen=True)
class FastCalls:
    """`durations[n]` calls took 2^n to 2^(n+1) - 1 ns; `slowest_ns` is 0 where there was none."""

    slowest_ns: int = 0
    durations: Sequence[int] = (0,) * _BUCKETS

    @property
    def calls(self) -> int:
        """How many there were."""
        return sum(self.durations)

    def since(self, before: FastCalls) -> FastCalls:
        """Return what came after `before`; the slowest stays that of the whole recording."""
        return FastCalls(self.slowest_ns, tuple(now - then for now, then in zip(self.durations, before.durations)))


def add_up(rows: Iterable[bytes]) -> FastCalls:
    """Return the sum of rows of the kernel (struct fast_calls, rows.h), one for each processor."""
    slowest_ns, durations = 0, [0] * _BUCKETS
    for row in map(_ROW.read, rows):
        slowest_ns = max(slowest_ns, row["slowest"])
        for bucket, count in enumerate(memoryview(row["durations"]).cast("Q")):
            durations[bucket] += count
    return FastCalls(slowest_ns, tuple(durations))


def _milliseconds(ns: int) -> str:
    """Return a time in milliseconds, cut off: what did not reach the threshold must not seem to have reached it."""
    return f"{ns // 1_000_000 if ns >= 10_000_000 else ns // 10_000 / 100:g}"


def lower_threshold_ms(slowest_ns: int) -> float:
    """Return the largest of 1, 2, 5, 10, ... and of their tenths that is at most half of the slowest call."""
    power, half = 0, slowest_ns / 2e6
    while 10.0 ** (power + 1) <= half:
        power += 1
    while 10.0**power > half:
        power -= 1
    step = next(step for step in _STEPS if step * 10.0**power <= half)
    return float(f"{step}e{power}")


def sentence(slow: int, fast: FastCalls, threshold_ns: int) -> str:
    """Return how many calls reached the threshold, and, where none did, which one some would have reached."""
    if not slow + fast.calls:
        return "No call ended meanwhile."
    said = f"{slow:,} of {slow + fast.calls:,} calls took {threshold_ns / 1e6:g} ms or more"
    if slow or not fast.slowest_ns:
        return f"{said}."
    proposed = lower_threshold_ms(fast.slowest_ns)
    return f"{said}; the slowest took {_milliseconds(fast.slowest_ns)} ms. Try -t {proposed:g}."
