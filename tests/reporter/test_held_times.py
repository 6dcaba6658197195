"""Check who held the time of requests against a count of every single step of made-up trees."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from httpcapture import Role
from httpreport.calls.held_times import held_times
from httpreport.calls.open_intervals import NONE
from httpreport.calls.trees import Trees

LONGEST = 40  # steps


@dataclass(frozen=True)
class Made:
    """Hold a call: above it is one that comes before it, or none."""

    above: int
    start: int
    end: int
    first_byte: int
    is_server: bool
    holder: int
    unknown: int
    shorter: int


@st.composite
def trees(draw: st.DrawFn) -> list[Made]:
    made: list[Made] = []
    for number in range(draw(st.integers(1, 9))):
        above = draw(st.integers(-1, number - 1))
        parent = made[above] if above >= 0 else None
        start = draw(st.integers(parent.start, parent.end)) if parent else draw(st.integers(0, 9))
        end = draw(st.integers(start, start + LONGEST))
        is_server = draw(st.booleans())
        few = st.sampled_from([0, 0, 0, 3])
        first_byte, holder = draw(st.integers(start, end)), draw(st.integers(0, 3))
        made.append(Made(above, start, end, first_byte, is_server, holder, draw(few), draw(few)))
    return made


def top(made: list[Made], index: int) -> int:
    while made[index].above >= 0:
        index = made[index].above
    return index


def is_own(made: list[Made], index: int, step: int) -> bool:
    """Return whether a step belongs to the own time of a call: it is open, and nothing right below it has it."""
    call = made[index]
    below = (one for one in made if one.above == index and (one.is_server or one.end <= call.end))
    return call.start <= step < call.end and not any(one.start <= step < one.end for one in below)


def counted(made: list[Made]) -> dict[tuple[int, int], tuple[int, int, int]]:
    """Return the least and the most of each request and holder, counted step by step, and the least together with
    shorter calls."""
    alone, every, uncertain, shorter = (Counter[tuple[int, int]]() for _ in range(4))
    for root in (index for index, call in enumerate(made) if call.above < 0):
        calls = [index for index in range(len(made)) if top(made, index) == root]
        for step in range(made[root].start, made[root].end):
            holding = {made[index].holder for index in calls if is_own(made, index, step)}
            for holder in holding:
                every[root, holder] += 1
                alone[root, holder] += len(holding) == 1
        for index in calls:
            transfers = made[index].end - made[index].first_byte
            uncertain[root, made[index].holder] += transfers + made[index].unknown
            shorter[root, made[index].holder] += made[index].shorter
    known = {pair: alone[pair] - uncertain[pair] for pair in uncertain}
    return {pair: (max(ns - shorter[pair], 0), every[pair], max(ns, 0)) for pair, ns in known.items()}


@settings(deadline=None)
@given(trees())
def test_each_step_of_a_request_is_held_by_those_whose_own_time_it_is(made: list[Made]) -> None:
    columns = {name: np.array([getattr(call, of) for call in made]) for name, of in COLUMNS.items()}
    calls = {**columns, "role": np.array([Role.SERVER if call.is_server else Role.CLIENT for call in made])}
    calls["has_end"] = np.ones(len(made), np.bool_)
    above = np.array([call.above if call.above >= 0 else NONE for call in made])
    linked = Trees(above, np.array([top(made, index) for index in range(len(made))]), above == NONE)
    unknown, shorter, holders = (
        np.array([getattr(call, of) for call in made]) for of in ("unknown", "shorter", "holder")
    )

    held = held_times(calls, linked, unknown, shorter, holders)

    times = zip(held.least.tolist(), held.most.tolist(), (held.least + held.shorter).tolist())
    assert dict(zip(zip(held.requests.tolist(), held.holders.tolist()), times)) == counted(made)
    assert held.requests[held.pair_of].tolist() == [top(made, index) for index in range(len(made))]
    assert held.holders[held.pair_of].tolist() == [call.holder for call in made]


COLUMNS = {"t0": "start", "t1": "start", "t2": "first_byte", "t3": "end"}
