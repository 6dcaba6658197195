"""Count the calls that ended below the threshold, which are not recorded."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from httpbpf.layout import FAST_CALLS

from .rows import RowCodec

_ROW = RowCodec(FAST_CALLS)
_BUCKETS = 64
_PROPOSED_STEPS = (5, 2, 1)  # a proposed threshold is one of these times a power of ten


@dataclass(frozen=True)
class FastCalls:
    """Hold a histogram: `durations[n]` calls took 2^n to 2^(n+1) - 1 ns. `slowest_ns` is 0 if there was no call."""

    slowest_ns: int = 0
    durations: Sequence[int] = (0,) * _BUCKETS

    @property
    def calls(self) -> int:
        """Return how many calls ended below the threshold."""
        return sum(self.durations)

    def since(self, before: FastCalls) -> FastCalls:
        """Return the calls since `before`; `slowest_ns` remains that of the whole recording."""
        return FastCalls(self.slowest_ns, tuple(now - then for now, then in zip(self.durations, before.durations)))

    def plus(self, other: FastCalls) -> FastCalls:
        """Return the calls of both."""
        counts = tuple(ours + theirs for ours, theirs in zip(self.durations, other.durations))
        return FastCalls(max(self.slowest_ns, other.slowest_ns), counts)


def count_durations(durations_ns: Iterable[int]) -> FastCalls:
    """Return the calls of these durations, counted as the kernel does (log2_of, output.h)."""
    slowest_ns, counts = 0, [0] * _BUCKETS
    for duration_ns in durations_ns:
        slowest_ns = max(slowest_ns, duration_ns)
        counts[max(duration_ns, 1).bit_length() - 1] += 1
    return FastCalls(slowest_ns, tuple(counts))


def sum_rows(rows: Iterable[bytes]) -> FastCalls:
    """Return the sum of the kernel's rows (struct fast_calls, rows.h), one per CPU."""
    slowest_ns, durations = 0, [0] * _BUCKETS
    for row in map(_ROW.read, rows):
        slowest_ns = max(slowest_ns, row["slowest"])
        for bucket, count in enumerate(memoryview(row["durations"]).cast("Q")):
            durations[bucket] += count
    return FastCalls(slowest_ns, tuple(durations))


def _milliseconds(ns: int) -> str:
    """Return a time in milliseconds, rounded down, so that a fast call never seems to have reached the threshold."""
    return f"{ns // 1_000_000 if ns >= 10_000_000 else ns // 10_000 / 100:g}"


def lower_threshold_ms(slowest_ns: int) -> float:
    """Return the largest of 1, 2, 5, 10, ... and of their tenths that is at most half of the slowest call."""
    power, half = 0, slowest_ns / 2e6
    while 10.0 ** (power + 1) <= half:
        power += 1
    while 10.0**power > half:
        power -= 1
    step = next(step for step in _PROPOSED_STEPS if step * 10.0**power <= half)
    return float(f"{step}e{power}")


def threshold_summary(slow: int, fast: FastCalls, threshold_ns: int, names: Sequence[str] = ()) -> str:
    """Return a sentence that says how many calls reached the threshold, and, if none did, proposes a lower one. Only
    calls of processes with these names were recorded, if there are any."""
    if not slow + fast.calls:
        of_names = f" of {' or '.join(names)}" if names else ""
        return f"No call{of_names} ended during the recording."
    summary = f"{slow:,} of {slow + fast.calls:,} calls took {threshold_ns / 1e6:g} ms or more"
    if slow or not fast.slowest_ns:
        return f"{summary}."
    proposed = lower_threshold_ms(fast.slowest_ns)
    return f"{summary}; the slowest took {_milliseconds(fast.slowest_ns)} ms. Try -t {proposed:g}."
