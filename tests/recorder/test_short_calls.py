"""Check that calls below the threshold are written with what they have in common, in each part, and counted exactly
where they are lost."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from httpcapture import Connections, Lost, ShortCalls
from httprec import tuning
from support.scripted import Part, Step, parts_of, record, rotate
from support.synthetic import PID, SyntheticTracer


def short(number: int, sequence: int = 1, *, told: bool = True) -> Step:
    def step(tracer: SyntheticTracer) -> None:
        tracer.send_short_call(number, sequence, told=told, t3=1000 * sequence)

    return step


def numbers(part: Part, kind: type = ShortCalls) -> list[int]:
    return part.column("connection", kind)


def lost(part: Part, cause: str) -> int:
    return max([record.counts.get(cause, 0) for record in part.of(Lost) if isinstance(record, Lost)], default=0)


def test_they_are_written_with_what_their_connections_have_in_common_once(tmp_path: Path) -> None:
    totals, _, _ = record(tmp_path, [[short(1, told=False), short(1, 2)], [short(1, 3), short(2, told=False)]])
    (part,) = parts_of(tmp_path)
    assert numbers(part) == [1, 1, 1, 2]
    assert part.column("t3", ShortCalls) == [1000, 2000, 3000, 1000]
    assert sorted(numbers(part, Connections)) == [1, 2]
    assert set(part.column("pid", Connections)) == {PID}
    assert totals.calls == 0 and totals.fast.calls == 4


def test_a_connection_comes_before_its_calls_also_if_it_is_sent_while_they_are_read(tmp_path: Path) -> None:
    record(tmp_path, [[short(1, told=False)], [short(1, 2)]])
    (part,) = parts_of(tmp_path)
    kinds = [type(one) for one in part.records if isinstance(one, (Connections, ShortCalls))]
    assert kinds == sorted(kinds, key=[Connections, ShortCalls].index)


ROUNDS = st.lists(st.lists(st.one_of(st.just(0), st.integers(1, 5)), max_size=6), min_size=1, max_size=8)


@settings(max_examples=50, deadline=None)
@given(ROUNDS, st.sampled_from([1, 2, 65536]))
def test_each_part_has_its_calls_and_what_they_have_in_common_or_counts_it(
    script: list[list[int]], remembered: int
) -> None:
    """A 0 begins another part; any other number is a call on this connection."""
    seen, rounds, sent = Counter[int](), list[list[Step]](), list[tuple[int, int]]()
    for numbers_of_round in script:
        steps: list[Step] = []
        for number in numbers_of_round:
            seen[number] += 1
            steps.append(rotate if not number else short(number, seen[number], told=seen[number] > 1))
            sent += [(number, 1000 * seen[number])] if number else []
        rounds.append(steps)
    with TemporaryDirectory() as folder, mock.patch.object(tuning, "MAX_REPEATED_CONNECTIONS", remembered):
        totals, _, _ = record(Path(folder), rounds)
        parts = parts_of(Path(folder))
    found = [pair for part in parts for pair in zip(numbers(part), part.column("t3", ShortCalls))]
    assert sorted(found) == sorted(sent)
    lacking = 0
    for part in parts:
        missing = set(numbers(part)) - set(numbers(part, Connections))
        assert len(missing) <= lost(part, "connection_not_repeated")
        lacking += len(missing)
    assert lacking == 0 or remembered < 65536
    assert totals.lost.get("connection_not_repeated", 0) == 0 or remembered < 65536


def test_those_that_found_the_ring_full_are_counted_and_slow_calls_are_all_there(tmp_path: Path) -> None:
    def burst(tracer: SyntheticTracer) -> None:
        for sequence in range(1, 101):
            tracer.send_short_call(1, sequence, told=sequence > 1, t3=sequence)
        for number in range(1, 11):
            tracer.send_call(number, t2=number)

    totals, _, _ = record(tmp_path, [[burst, rotate], [burst]], ring=4096)
    parts = parts_of(tmp_path)
    written = sum(len(numbers(part)) for part in parts)
    assert 0 < written < 200
    assert written + sum(lost(part, "short_ring_full") for part in parts) == totals.fast.calls == 200
    assert totals.calls == 20 and "call_ring_full" not in totals.lost


@pytest.mark.parametrize("told", [True, False])
def test_an_answered_call_that_the_end_finds_open_is_written(told: bool, tmp_path: Path) -> None:
    """Its connection has been told of or not."""

    def answer(tracer: SyntheticTracer) -> None:
        if told:
            tracer.send_short_call(7, 1, told=False, t3=5)
        tracer.hold_response(7, 100, 150, told_t3=0, recorded=0, sequence=2, told_pid=PID * told)

    totals, _, _ = record(tmp_path, [[answer]], threshold_ns=10**9)
    (part,) = parts_of(tmp_path)
    assert part.column("t3", ShortCalls)[-1] == 150
    assert numbers(part, Connections) == [7]
    assert totals.fast.calls == 1 + told and len(numbers(part)) == 1 + told
