"""Check that joined stacks divide the time of requests, against made-up requests whose calls are known."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from httpreport.calls.causes import no_causes
from httpreport.calls.joined_times import joined_times
from httpreport.calls.schema import CALL
from httpreport.calls.trees import trees_of
from support.made_trees import LATENCY_NS, Made, World
from support.recordings import MS, capture
from support.reports import named, reported, written

SEEDS = st.integers(0, 2**32)


def joined(*requests: Made) -> dict[str, int]:
    made = World(1)
    for request in requests:
        made.record(request)
    text = written(named("joined"), reported(capture(made.rows))).decode()
    return {stack: int(weight) for stack, _, weight in (line.rpartition(" ") for line in text.splitlines())}


def request(at: int, duration: int, *calls: Made, tier: int = 0) -> Made:
    return Made(tier, at * MS, duration * MS, list(calls))


def test_a_request_goes_on_in_the_processes_that_it_asks() -> None:
    calls = [request(at + 10, 60, tier=1) for at in (0, 1000, 2000)]
    flames = joined(*(request(at, 100, call) for at, call in zip((0, 1000, 2000), calls)))

    parts = {tuple(frame for frame in stack.split(";") if "no stack" not in frame): ns for stack, ns in flames.items()}

    assert parts == {
        ("load", "(outside)"): 3 * 2 * LATENCY_NS,
        ("load", "tier0", "(self)"): 3 * (40 * MS - 2 * LATENCY_NS),
        ("load", "tier0", "(outside)"): 3 * 2 * LATENCY_NS,
        ("load", "tier0", "tier1", "(self)"): 3 * (60 * MS - 2 * LATENCY_NS),
    }


@settings(deadline=None)
@given(SEEDS, st.booleans())
def test_the_widths_add_up_to_the_requests(seed: int, at_once: bool) -> None:
    made, requests = World(seed), list[Made]()
    for _ in range(4):
        begin = requests[-1].start_ns + requests[-1].duration_ns + MS if requests else 0
        requests.append(made.request(0, begin, 4, at_once=at_once))

    assert sum(joined(*requests).values()) == sum(request.duration_ns for request in requests)


@given(
    st.lists(
        st.tuples(st.integers(0, 30), st.integers(0, 20), st.integers(0, 5)),
        min_size=1,
        max_size=12,
    )
)
def test_whatever_is_below_a_request_takes_no_more_than_it_lasts(rows: list[tuple[int, int, int]]) -> None:
    """Also calls that end after what is above them, and calls that begin together."""
    calls = np.zeros(len(rows), CALL)
    above = np.array([-1 if place == 0 else which % place for place, (_, _, which) in enumerate(rows)])
    calls["t0"] = [start for start, _, _ in rows]
    calls["t3"], calls["has_end"] = [start + length for start, length, _ in rows], True
    trees = trees_of(calls, np.full(len(rows), -1), no_causes(len(rows)))
    trees = trees._replace(above=above, are_roots=above == -1)

    found = joined_times(calls, trees, np.arange(len(rows)))

    assert all(ns >= 0 for ns in found.times)
    assert sum(found.times) == rows[0][1]
