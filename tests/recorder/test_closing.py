"""Check what is printed at the end of a recording."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from httprec.closing import closing_lines, size_text
from httprec.fast_calls import FastCalls
from httprec.frequent_calls import FrequentCalls
from httprec.recording_loop import Totals

MS = 1_000_000


def test_the_figures_come_first_and_the_slow_calls_after_them() -> None:
    totals = Totals(1563, 1563, FastCalls(), {"call_ring_full": 24_236}, 4)
    assert list(closing_lines(totals, FrequentCalls(), 5 * MS, size=1_309_848, length_ns=26_000 * MS)) == [
        "1,563 calls, lost: call_ring_full 24,236, 4 processes, 1.31 MB, 26 s",
        "1,563 of 1,563 calls took 5 ms or more.",
    ]


def test_without_a_threshold_all_calls_are_recorded() -> None:
    (line,) = closing_lines(Totals(2, 2, FastCalls(), {}, 1), FrequentCalls(), 0, size=999, length_ns=1)
    assert line == "2 calls, 0 lost, 1 processes, 999 bytes, 1 ns"


@pytest.mark.parametrize(
    ("size", "text"),
    [
        *((0, "0 bytes"), (999, "999 bytes"), (1000, "1.00 kB"), (834_069, "834 kB"), (99_950, "100 kB")),
        *((999_499, "999 kB"), (999_500, "1.00 MB"), (2_345_678_901, "2.35 GB")),
    ],
)
def test_a_size_has_three_digits(size: int, text: str) -> None:
    assert size_text(size) == text


@given(st.integers(1, 10**15))
def test_a_size_is_at_most_half_a_percent_off(size: int) -> None:
    number, unit = size_text(size).split()
    value = float(number) * 1000 ** ("bytes", "kB", "MB", "GB", "TB").index(unit)
    assert abs(value - size) <= size / 200 + 0.5
