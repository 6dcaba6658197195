"""Check the look-up of ends of responses against a dictionary."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from httpreport.calls.call_ends import CallEnds
from httpreport.calls.schema import COMPLETION, LATEST_NS
from httpreport.common import tuning

Key = tuple[int, int]
CONNECTIONS = st.sampled_from([0, 1, 2, (1 << 64) - 1])
SEQUENCES = st.sampled_from([0, 1, 2, (1 << 32) - 1])
KEYS = st.tuples(CONNECTIONS, SEQUENCES)
TIMES = st.one_of(st.integers(0, 5), st.integers(0, (1 << 64) - 1))
PARTS = st.lists(st.lists(st.tuples(KEYS, TIMES, st.integers(0, (1 << 64) - 1)), max_size=6), max_size=4)


def ends_of(parts: list[list[tuple[Key, int, int]]]) -> CallEnds:
    ends = CallEnds()
    for part in parts:
        rows = [(connection, t3, sent, t3 ^ sent, sequence) for (connection, sequence), t3, sent in part]
        ends.add(np.array(rows, COMPLETION))
    ends.finish()
    return ends


def calls_of(keys: list[Key]) -> np.ndarray[tuple[int], np.dtype[np.void]]:
    return np.array(keys, [("connection", "<u8"), ("sequence", "<u4")])


@given(PARTS, st.lists(KEYS, max_size=8))
def test_the_ends_of_calls_are_those_of_a_dictionary(
    parts: list[list[tuple[Key, int, int]]], wanted: list[Key]
) -> None:
    latest: dict[Key, set[tuple[int, int]]] = {}
    for key, t3, sent in (one for part in parts for one in part):
        before = max((known for known, _ in latest.get(key, ())), default=-1)
        if t3 <= LATEST_NS and t3 >= before:
            latest[key] = (latest[key] if t3 == before else set()) | {(t3, sent)}

    ends = ends_of(parts)
    indices, places = ends.find(calls_of(wanted))

    assert len(ends) == len(latest)
    assert sorted(indices.tolist()) == [index for index, key in enumerate(wanted) if key in latest]
    columns = (ends.values(name, places).tolist() for name in ("t3", "sent", "received"))
    for index, t3, sent, received in zip(indices.tolist(), *columns):
        assert (t3, sent) in latest[wanted[index]]
        assert received == t3 ^ sent


@given(PARTS, st.lists(st.lists(KEYS, max_size=6), max_size=4))
def test_calls_that_share_a_completion_are_counted(
    parts: list[list[tuple[Key, int, int]]], asked: list[list[Key]]
) -> None:
    ends = ends_of(parts)
    for keys in asked:
        ends.count(ends.find(calls_of(keys))[1])

    known = {key for part in parts for key, t3, _ in part if t3 <= LATEST_NS}
    uses = Counter(key for keys in asked for key in keys if key in known)
    assert ends.repeated == sum(count for count in uses.values() if count > 1)


def test_ends_beyond_the_limit_are_counted_and_those_before_it_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "MAX_COMPLETIONS", 3)

    ends = ends_of([[((1, n), n, 0) for n in range(2)], [((2, n), n, 0) for n in range(4)], [((3, 0), 0, 0)]])

    assert (len(ends), ends.left_out) == (3, 4)
    assert ends.find(calls_of([(1, 1), (2, 0), (2, 1), (3, 0)]))[0].tolist() == [0, 1]
