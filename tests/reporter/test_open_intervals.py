"""Compare the look-up of open intervals with a loop over all of them."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from httpreport.calls.open_intervals import NONE, OpenIntervals

INTERVALS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 12), st.integers(0, 6)), max_size=12)


@given(INTERVALS, INTERVALS, st.sampled_from([1, 1 << 58]))
def test_the_open_intervals_are_counted_and_the_only_one_is_found(
    intervals: list[tuple[int, int, int]], asked: list[tuple[int, int, int]], scale: int
) -> None:
    groups, starts, lengths = np.array(intervals, np.int64).reshape(-1, 3).T
    wanted, firsts, spans = np.array(asked, np.int64).reshape(-1, 3).T

    found = OpenIntervals(groups, starts * scale, (starts + lengths) * scale)
    counts, only = found.during(wanted, firsts * scale, (firsts + spans) * scale)

    for (group, first, span), count, index in zip(asked, counts.tolist(), only.tolist()):
        are_open = [
            place
            for place, (other, start, length) in enumerate(intervals)
            if other == group and start < first + span and start + length >= first
        ]
        assert count == len(are_open)
        assert index == (are_open[0] if len(are_open) == 1 else NONE)
