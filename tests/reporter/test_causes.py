"""Find the causes of made-up calls whose true cause is known, which no rule sees."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from httpcapture import Heads, HeadText, Role
from httpreport.calls.call_heads import CallHeads
from httpreport.calls.call_ids import ids_in
from httpreport.calls.cause_columns import NO_CAUSE
from httpreport.calls.causes import Causes, Rule, causes
from httpreport.calls.causes_by_id import NO_IDS, Ids
from httpreport.calls.certainty import Certainty
from httpreport.calls.schema import CALL
from support.made_programs import Program, Rows, said, table

TRACE = "0af7651916cd43dd8448eb211c80319c"


def found(rows: Rows, ids: Ids = NO_IDS) -> Causes:
    return causes(table(rows), np.array([row["shape"] for row in rows], np.intp), ids)


def only_alone(rows: Rows, of: Causes) -> bool:
    """Return whether no cause is known but where one request was open, where it is probably that one."""
    is_alone = set(of.candidates[of.certainty == Certainty.PROBABLE].tolist()) <= {1}
    return is_alone and said(rows, of).keys() <= {(Certainty.NOT_KNOWN, False), (Certainty.PROBABLE, True)}


SEEDS = st.integers(0, 2**32)


@settings(deadline=None)
@given(SEEDS, st.integers(1, 5), st.integers(3, 10))
def test_a_thread_with_one_request_at_a_time_tells_the_cause(seed: int, threads: int, requests: int) -> None:
    program = Program(seed)
    program.threads(threads, requests)

    result = found(program.rows)

    assert said(program.rows, result).keys() == {(Certainty.SURE, True)}
    assert set(result.rules[[row["role"] == Role.CLIENT for row in program.rows]].tolist()) == {Rule.THREAD}


@settings(deadline=None)
@given(SEEDS, st.integers(2, 10), st.integers(3, 10))
def test_what_an_event_loop_is_sure_of_is_right(seed: int, at_once: int, requests: int) -> None:
    program = Program(seed)
    program.event_loop(at_once, requests)

    assert said(program.rows, found(program.rows))[Certainty.SURE, False] == 0


@settings(deadline=None)
@given(SEEDS, st.integers(5, 20))
def test_a_busy_event_loop_tells_no_cause_but_how_many_there_may_be(seed: int, requests: int) -> None:
    program = Program(seed)
    program.event_loop(20, requests)
    calls = table(program.rows)
    servers = calls[calls["role"] == Role.SERVER]

    result = found(program.rows)

    assert only_alone(program.rows, result)
    for call, count in zip(calls, result.candidates.tolist()):
        are_open = (servers["t0"] < call["t0"]) & (servers["t3"] >= call["t0"])
        assert count == (np.count_nonzero(are_open) if call["role"] == Role.CLIENT else 0)


@settings(deadline=None)
@given(SEEDS)
def test_requests_that_other_threads_work_on_have_no_known_cause(seed: int) -> None:
    program = Program(seed)
    for client_tid in range(2, 8):
        at = program.draw.randrange(300)
        for _ in range(5):
            at = program.request(at, 2, 1, client_tid) + 1

    assert only_alone(program.rows, found(program.rows))


@settings(deadline=None)
@given(SEEDS)
def test_threads_that_hand_requests_over_are_not_sure(seed: int) -> None:
    """As Go does: whichever thread is free goes on with a request."""
    program = Program(seed)
    program.event_loop(4, 10)
    for row in program.rows:
        row["tid"], row["receive_tid"] = program.draw.randrange(1, 4), program.draw.randrange(1, 4)

    assert said(program.rows, found(program.rows))[Certainty.SURE, False] == 0


@settings(deadline=None)
@given(SEEDS, st.integers(1, 5))
def test_calls_of_the_background_have_no_cause_and_spoil_no_other(seed: int, threads: int) -> None:
    program = Program(seed)
    program.threads(threads, 10)
    requests = len(program.rows)
    program.background(99, 1, 20_000)

    counts = said(program.rows, found(program.rows))

    clients = sum(row["role"] == Role.CLIENT for row in program.rows[:requests])
    assert counts == {(Certainty.SURE, True): clients, (Certainty.NOT_KNOWN, True): len(program.rows) - requests}


def test_calls_of_the_background_in_a_thread_that_serves_are_not_taken_for_those_of_requests() -> None:
    program = Program(1)
    program.event_loop(1, 30)
    program.background(1, 1, max(row["t3"] for row in program.rows))
    is_background = np.array([row["shape"] == 1 for row in program.rows])

    result = found(program.rows)

    assert Certainty.SURE not in result.certainty[is_background].tolist()
    assert said(program.rows, result)[Certainty.SURE, True] == np.count_nonzero(
        [row["cause"] != NO_CAUSE for row in program.rows]
    )


def test_two_requests_are_too_few_to_be_sure() -> None:
    program = Program(1)
    program.threads(1, 2)

    assert said(program.rows, found(program.rows)).keys() == {(Certainty.PROBABLE, True)}


def test_equal_threads_of_other_processes_are_others() -> None:
    rows: Rows = []
    for pid in (1, 2):
        program = Program(pid, pid=pid)
        program.threads(2, 5)
        rows += [
            {**row, "cause": NO_CAUSE if row["cause"] == NO_CAUSE else row["cause"] + len(rows)} for row in program.rows
        ]

    assert said(rows, found(rows)).keys() == {(Certainty.SURE, True)}


def test_without_the_thread_that_receives_nothing_is_known() -> None:
    program = Program(1)
    program.threads(2, 5)
    for row in program.rows:
        row["receive_tid"] = 0  # as in captures of older recorders

    assert only_alone(program.rows, found(program.rows))


@settings(deadline=None)
@given(SEEDS, st.integers(2, 10))
def test_an_id_in_the_heads_of_both_tells_the_cause_in_any_program(seed: int, at_once: int) -> None:
    program = Program(seed)
    program.event_loop(at_once, 5)
    pairs = [(place, row["cause"] if row["cause"] >= 0 else place) for place, row in enumerate(program.rows)]

    result = found(program.rows, Ids(*np.array(pairs, np.intp).T))

    assert said(program.rows, result).keys() == {(Certainty.SURE, True)}
    assert set(result.rules.tolist()) == {Rule.ID, Rule.NONE}


def test_an_id_that_several_open_requests_have_tells_nothing() -> None:
    program = Program(1)
    program.event_loop(20, 5)
    calls = np.arange(len(program.rows))

    assert said(program.rows, found(program.rows, Ids(calls, np.zeros(len(calls), np.intp)))).keys() == {
        (Certainty.NOT_KNOWN, False)
    }


def test_ids_that_name_different_requests_tell_nothing() -> None:
    program = Program(1)
    for _ in range(2):
        program.request(0, 0, 1, 1)
        program.rows[-1].update(t3=100)
    call = program.add(Role.CLIENT, 10, 20, 1)

    result = found(program.rows, Ids(np.array([0, 1, call, call]), np.array([5, 6, 5, 6])))

    assert result.indices[call] == NO_CAUSE
    assert result.candidates[call] == 2


@pytest.mark.parametrize(
    ("of_request", "of_call", "equal"),
    [
        (f"traceparent: 00-{TRACE}-b7ad6b7169203331-01", f"traceparent: 00-{TRACE}-00f067aa0ba902b7-01", True),
        (f"traceparent: 00-{TRACE}-b7ad6b7169203331-01", f"b3: {TRACE}-00f067aa0ba902b7-1", True),
        ("x-request-id: req-1", "x-request-id: req-1", True),
        ("x-request-id: req-1", "x-request-id: req-2", False),
        ("accept: req-1", "accept: req-1", False),
    ],
)
def test_heads_have_ids(of_request: str, of_call: str, equal: bool) -> None:
    heads = CallHeads()
    for number, line in enumerate((of_request, of_call), 1):
        heads.add_text(HeadText(number, f"GET / HTTP/1.1\n{line}".encode()))
    ones = np.array([1, 2], "<u8"), np.zeros(2, "<u4"), np.array([1, 2], "<u4"), np.zeros(2, "<u4")
    heads.add(Heads(*(column.tobytes() for column in ones)))
    heads.finish()
    calls = np.zeros(2, CALL)
    calls["role"], calls["request"] = [Role.SERVER, Role.CLIENT], [1, 2]

    ids = ids_in(heads, calls)

    of = [set(ids.numbers[ids.calls == call].tolist()) for call in (0, 1)]
    assert bool(of[0] & of[1]) == equal


def test_the_response_of_a_service_names_a_request_too() -> None:
    heads = CallHeads()
    heads.add_text(HeadText(1, b"HTTP/1.1 200\nx-openstack-request-id: req-7"))
    heads.add_text(HeadText(2, b"GET / HTTP/1.1\nx-openstack-request-id: req-7"))
    columns = np.array([1, 2], "<u8"), np.zeros(2, "<u4"), np.array([0, 2], "<u4"), np.array([1, 1], "<u4")
    heads.add(Heads(*(column.tobytes() for column in columns)))
    heads.finish()
    calls = np.zeros(2, CALL)
    calls["role"], calls["request"], calls["response"] = [Role.SERVER, Role.CLIENT], [0, 2], [1, 1]

    ids = ids_in(heads, calls)

    assert (ids.calls.tolist(), ids.numbers.tolist()) == ([0, 1], [0, 0])


@settings(deadline=None)
@given(SEEDS, st.integers(3, 10))
def test_where_one_request_is_open_it_is_probably_the_cause_whoever_makes_the_call(seed: int, requests: int) -> None:
    program = Program(seed)
    at = 0
    for number in range(requests):
        at = program.request(at, 2, 1, 100 + number) + 10

    result = found(program.rows)

    assert said(program.rows, result).keys() == {(Certainty.PROBABLE, True)}
    assert set(result.rules.tolist()) == {Rule.NONE, Rule.EXCLUSION}


def test_calls_that_are_also_made_without_a_request_are_not_ascribed_to_the_one_that_is_open() -> None:
    program = Program(1)
    at = 0
    for _ in range(30):
        at = program.request(at, 0, 1, 1) + 10
    program.background(99, 1, at)

    assert said(program.rows, found(program.rows)).keys() == {(Certainty.NOT_KNOWN, True)}


def test_calls_during_one_long_request_are_not_ascribed_to_it_because_there_is_no_other() -> None:
    """As of a program with a long poll that also makes calls by itself."""
    program = Program(1)
    program.add(Role.SERVER, 0, 100_000, 1)
    program.background(99, 1, 90_000)

    assert said(program.rows, found(program.rows)).keys() == {(Certainty.NOT_KNOWN, True)}
