"""Check since when requests are said to take another time, on durations whose course is known."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from httpreport.answer.answer import Change
from httpreport.answer.change import FEWEST, change
from httpreport.calls.request_keys import NOT_KNOWN
from httpreport.report.evidence import Asked, Sampled
from support.recordings import MS

SEEDS = st.integers(0, 2**32)
SIDES = st.integers(FEWEST, 300)


def change_of(durations: Sequence[float], floor_ms: int = 0) -> Change | None:
    """Return the change of requests that take so many ms each, and begin one second after the other."""
    asked = Asked("load", 1, NOT_KNOWN)
    requests = [Sampled(0, at * 10**9, int(ms * MS), True, asked, ()) for at, ms in enumerate(durations)]
    return change(requests, floor_ms * MS)


@given(SEEDS, SIDES, SIDES, st.sampled_from([0.2, 0.5, 2, 8]))
def test_a_clear_step_is_found_where_it_is(seed: int, before: int, since: int, times: float) -> None:
    draw = random.Random(seed)
    durations = [draw.uniform(90, 110) for _ in range(before)] + [times * draw.uniform(90, 110) for _ in range(since)]

    found = change_of(durations)

    assert found is not None
    assert (found.at_ns, found.before.requests, found.since.requests) == (before * 10**9, before, since)
    assert found.is_longer == (times > 1)


@pytest.mark.parametrize(("floor_ms", "is_told"), [(60, True), (80, False)])
def test_no_change_is_found_where_the_threshold_may_cut_off_many(floor_ms: int, is_told: bool) -> None:
    before = random.Random(1).sample(range(81, 121), 40)
    durations = [*before, *(2 * ms for ms in before)]
    assert (change_of(durations, floor_ms) is not None) == is_told


@given(SEEDS, st.lists(st.floats(0, 1e4), min_size=1, max_size=400))
def test_durations_in_no_order_do_not_change(seed: int, durations: list[float]) -> None:
    random.Random(seed).shuffle(durations)
    assert change_of(durations) is None


@settings(max_examples=30)
@given(SEEDS, st.integers(60, 400), st.floats(1.2, 20))
def test_what_changes_little_by_little_has_no_moment(seed: int, count: int, times: float) -> None:
    draw = random.Random(seed)
    rising = [100 * (1 + (times - 1) * at / count) * draw.lognormvariate(0, 0.2) for at in range(count)]
    assert change_of(rising) is None
    assert change_of(rising[::-1]) is None


def test_few_requests_and_small_changes_are_noise() -> None:
    assert change_of([10] * 29 + [100] * 200) is None
    assert change_of([10] * 200 + [100] * 29) is None
    assert change_of([100] * 200 + [119] * 200) is None
    assert change_of([1] * 200 + [5] * 200) is None
    assert change_of([100] * 30 + [121] * 30) is not None


def test_an_incident_that_is_over_is_no_change_since_then() -> None:
    assert change_of([10] * 100 + [100] * 100 + [10] * 100) is None
