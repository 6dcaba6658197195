"""Check that values are counted as collections.Counter counts them, in any order and grouping."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from httpreport.common import tuning
from httpreport.common.value_counts import ValueCounts

VALUES = st.one_of(st.integers(0, 5), st.integers(0, 30), st.integers(0, (1 << 64) - 1))


@given(st.lists(st.lists(VALUES, max_size=8), max_size=8), st.integers(1, 20))
def test_each_value_is_counted(parts: list[list[int]], at_once: int) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(tuning, "VALUES_COUNTED_AT_ONCE", at_once)
        patched.setattr(tuning, "COUNT_ARRAY_SIZE", 20)
        counted = ValueCounts()
        for part in parts:
            counted.add(np.array(part, np.uint64))
        values, counts = counted.counts()

    wanted = Counter(value for part in parts for value in part)
    assert list(zip(values.tolist(), counts.tolist())) == sorted(wanted.items())
    assert len(counted) == len(wanted)
