"""Check that calls below the threshold are counted, in every ledger and in the recorder's last lines."""

from __future__ import annotations

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from httprec.fast_calls import FastCalls, lower_threshold_ms, sum_rows, threshold_summary
from httprec.ledger import Ledger

MS = 1_000_000


def row(*durations_ns: int) -> bytes:
    """Return the kernel's row for one processor that saw these calls."""
    buckets = [0] * 64
    for duration in durations_ns:
        buckets[int(math.log2(duration))] += 1
    return struct.pack("<65Q", max(durations_ns, default=0), *buckets)


def of(*durations_ns: int) -> FastCalls:
    return sum_rows([row(*durations_ns)])


def test_processors_are_added_up() -> None:
    fast = sum_rows([row(1000, 1100, 46 * MS), row(), row(40 * MS)])
    assert (fast.calls, fast.slowest_ns) == (4, 46 * MS)
    assert {bucket: count for bucket, count in enumerate(fast.durations) if count} == {9: 1, 10: 1, 25: 2}


@pytest.mark.parametrize(
    ("slow", "fast", "said"),
    [
        (0, of(*[46 * MS] * 2, *[1000] * 3), "0 of 5 calls took 100 ms or more; the slowest took 46 ms. Try -t 20."),
        (0, of(309_999), "0 of 1 calls took 100 ms or more; the slowest took 0.3 ms. Try -t 0.1."),
        (0, of(99_900_000), "0 of 1 calls took 100 ms or more; the slowest took 99 ms. Try -t 20."),
        (2, of(*[MS] * 1998), "2 of 2,000 calls took 100 ms or more."),
        (3, FastCalls(), "3 of 3 calls took 100 ms or more."),
        (0, FastCalls(), "No call ended during the recording."),
    ],
)
def test_the_last_lines_say_what_another_threshold_would_have_shown(slow: int, fast: FastCalls, said: str) -> None:
    assert threshold_summary(slow, fast, 100 * MS) == said


def test_without_calls_the_last_lines_name_the_processes_that_were_recorded() -> None:
    said = threshold_summary(0, FastCalls(), 100 * MS, ["nova-api", "web*"])
    assert said == "No call of nova-api or web* ended during the recording."


@given(st.integers(min_value=1, max_value=10**15))
def test_the_proposed_threshold_is_one_that_the_slowest_call_reaches(slowest_ns: int) -> None:
    proposed_ns = lower_threshold_ms(slowest_ns) * MS
    assert slowest_ns / 5.01 <= proposed_ns <= slowest_ns / 2 * 1.000001
    assert f"{proposed_ns:e}"[0] in "125" or f"{proposed_ns:e}".startswith(("9.99", "4.99", "1.99"))


def test_each_part_counts_its_own_calls_and_knows_the_slowest_of_all() -> None:
    ledger = Ledger()
    first = ledger.update(0, {}, of(1500, 46 * MS), 1)
    assert first is not None and (sum(first.durations), first.slowest_ns) == (2, 46 * MS)
    assert ledger.update(0, {}, of(1500, 46 * MS), 2) is None
    ledger.end_part(3)
    second = ledger.update(0, {}, of(1500, 1600, 46 * MS), 4)
    assert second is not None and second.slowest_ns == 46 * MS
    assert second.durations == (0,) * 10 + (1,)
    assert ledger.fast.calls == 3
