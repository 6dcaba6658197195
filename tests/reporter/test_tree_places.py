"""Check that each call of a page is in the line of its tree that is about it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from httpcapture import Role
from httpreport.calls.call import iterate_calls
from httpreport.report import tree_places
from httpreport.report.report import Report
from httpreport.report.slowest_trees import slowest_trees
from httpreport.report.tree_places import NO_LINE
from support.made_trees import Made, World
from support.recordings import MS, Row, capture
from support.reports import reported


def world(seed: int, requests: int = 4) -> Report:
    made, at = World(seed), 0
    for _ in range(requests):
        request = made.request(0, at, 4)
        made.record(request)
        at += request.duration_ns + MS
    return reported(capture(made.draw.sample(made.rows, len(made.rows))))


@settings(deadline=None)
@given(st.integers(0, 2**32))
def test_a_call_is_in_the_line_that_is_about_it(seed: int) -> None:
    report = world(seed)
    order = report.longest_first

    places = tree_places.tree_places(report, order)

    trees = slowest_trees(report, 1000)
    for place, call in zip(places, iterate_calls(report.recording.calls, order)):
        assert place is not None
        assert place.tree in trees
        if place.line != NO_LINE:
            line = place.tree.lines[place.line]
            assert line.process == call.process.decode()
            assert line.is_server == (call.role == Role.SERVER)
            assert line.duration_ns >= call.whole_ns
            if line.calls == 1:
                assert (line.duration_ns, line.spans) == (
                    call.whole_ns,
                    ((line.start_ns, line.start_ns + call.whole_ns),),
                )
    for tree in trees:
        of_tree = [place.line for place in places if place and place.tree == tree and place.line != NO_LINE]
        assert [of_tree.count(line) for line in range(len(tree.lines))] == [line.calls for line in tree.lines]


def test_calls_that_are_linked_to_none_are_in_no_tree() -> None:
    linked, alone = World(1), Row(connection=900, start_ns=5000 * MS)
    linked.record(Made(0, 0, 500 * MS, []))
    report = reported(capture([*linked.rows, alone]))
    order = report.longest_first

    places = tree_places.tree_places(report, order)

    connections = report.recording.calls["connection"][order].tolist()
    assert [place is None for place in places] == [connection == 900 for connection in connections]
    assert tree_places.tree_places(reported(capture([alone])), np.zeros(1, np.intp)) == [None]


def test_the_trees_of_the_first_calls_are_looked_at_until_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    report = world(1)
    order = report.longest_first
    whole = tree_places.tree_places(report, order)
    sizes: dict[int, int] = {}
    for place in whole:
        assert place and place.tree
        sizes[id(place.tree)] = sizes.get(id(place.tree), 0) + 1

    first, second, *_ = sizes.values()
    monkeypatch.setattr(tree_places, "MOST_CALLS_OF_TREES", first + second)
    places = tree_places.tree_places(report, order)

    kept = list(dict.fromkeys(place.tree for place in whole if place))[:2]
    assert [place and place.tree for place in places] == [
        place.tree if place and place.tree in kept else None for place in whole
    ]
