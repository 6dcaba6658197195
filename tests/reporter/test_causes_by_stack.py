"""Learn from made-up stack copies where the address of a request lies, among words that mislead."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from httpcapture import Role
from httpreport.calls.cause_columns import NO_CAUSE
from httpreport.calls.causes import Causes, Rule, causes
from httpreport.calls.certainty import Certainty
from httpreport.calls.stack_slots import FIRST_ADDRESS, SLOTS, addresses
from support.made_programs import Program, said, table

Indices = npt.NDArray[np.intp]
Words = npt.NDArray[np.uint64]
CODE = 0x55550000
PLACE = {Role.CLIENT: (700, 90), Role.SERVER: (310, 15)}  # where the address lies, on the stacks of each side
STALE, CONSTANT, CONNECTION = 420, 250, 33


@dataclass(frozen=True)
class MadeWords:
    """Hold the words of the stack copies of all calls (a `StackWords`)."""

    words: Words
    of_tasks: Indices | None = None

    def tasks(self, calls: Indices) -> Indices:
        return np.zeros(len(calls), np.intp) if self.of_tasks is None else self.of_tasks[calls]

    def whole(self, calls: Indices) -> Words:
        return self.words[calls]

    def some(self, calls: Indices, slots: Indices) -> Words:
        return self.words[np.ix_(calls, slots)]


def stacks(program: Program) -> Words:
    """Return stacks without the address of any request, but with words that mislead: those of code, which all have;
    one that is the same in all client calls and in one answer; one of the request before; one of a connection."""
    draw, rows = np.random.default_rng(program.draw.getrandbits(32)), program.rows
    words = np.zeros((len(rows), SLOTS), np.uint64)
    words[:, 40:60] = CODE + np.arange(20)
    words[:, 800:900] = draw.integers(1 << 40, 1 << 41, (len(rows), 100))  # what is of the call only
    servers = [place for place, row in enumerate(rows) if row["role"] == Role.SERVER]
    clients = [place for place, row in enumerate(rows) if row["role"] == Role.CLIENT]
    words[clients, CONSTANT] = words[servers[0], CONSTANT] = 1 << 42
    words[clients, CONNECTION] = (1 << 43) + draw.integers(0, 6, len(clients))
    words[servers, CONNECTION] = (1 << 43) + draw.integers(0, 6, len(servers))
    for one, other in zip(servers, servers[1:]):
        words[other, STALE] = address(one)
    return words


def address(request: int) -> int:
    return (1 << 44) + 4096 * request


def put(words: Words, program: Program, *, but_every: int = 0) -> None:
    """Put the address of each request on its stacks; on those of some client calls only if not `but_every`."""
    for place, row in enumerate(program.rows):
        request = place if row["role"] == Role.SERVER else row["cause"]
        if request != NO_CAUSE and not (but_every and row["role"] == Role.CLIENT and place % but_every == 0):
            words[place, list(PLACE[row["role"]])] = address(request)


def put_last_request(words: Words, program: Program) -> None:
    """Put on the stacks of client calls the address of the request that was received last, as a leftover of it."""
    put(words, program)
    received = sorted((row["t0"], place) for place, row in enumerate(program.rows) if row["role"] == Role.SERVER)
    for place, row in enumerate(program.rows):
        if row["role"] == Role.CLIENT:
            last = max(request for request in received if request[0] < row["t0"])[1]
            words[place, list(PLACE[Role.CLIENT])] = address(last)


def found(program: Program, words: Words, tasks: Indices | None = None) -> Causes:
    shapes = np.array([row["shape"] for row in program.rows], np.intp)
    return causes(table(program.rows), shapes, words=MadeWords(words, tasks))


def loop(seed: int, at_once: int, requests: int) -> Program:
    program = Program(seed)
    program.event_loop(at_once, requests)
    return program


SEEDS = st.integers(0, 2**32)
FEW_EXAMPLES = settings(deadline=None, max_examples=20)


@FEW_EXAMPLES
@given(SEEDS, st.integers(3, 12), st.integers(3, 8))
def test_the_address_of_a_request_on_both_stacks_tells_the_cause(seed: int, at_once: int, requests: int) -> None:
    program = loop(seed, at_once, requests)
    words = stacks(program)
    put(words, program)

    result = found(program, words)

    assert said(program.rows, result).keys() == {(Certainty.SURE, True)}
    assert Rule.STACK in result.rules.tolist()


@FEW_EXAMPLES
@given(SEEDS, st.integers(3, 12), st.integers(3, 8))
def test_words_that_mislead_tell_no_cause_that_is_sure(seed: int, at_once: int, requests: int) -> None:
    program = loop(seed, at_once, requests)

    assert said(program.rows, found(program, stacks(program)))[Certainty.SURE, False] == 0


@FEW_EXAMPLES
@given(SEEDS, st.sampled_from([0.05, 0.2, 0.5]))
def test_what_the_last_request_has_left_tells_no_cause_that_is_sure(seed: int, share_of_two: float) -> None:
    program = Program(seed)
    program.turns(100, share_of_two)
    words = stacks(program)
    put_last_request(words, program)
    assert said(program.rows, found(program, words))[Certainty.SURE, False] == 0

    put(words, program)  # instead of the leftovers

    assert said(program.rows, found(program, words)).keys() == {(Certainty.SURE, True)}


@pytest.mark.parametrize("of_client", [1, -1])  # another task than the answer's, and one that is not known
def test_words_on_the_stack_of_another_task_tell_no_cause_that_is_sure(of_client: int) -> None:
    program = loop(1, 8, 8)
    words = stacks(program)
    put(words, program)
    tasks = np.array([of_client if row["role"] == Role.CLIENT else min(of_client, 0) for row in program.rows])

    result = found(program, words, tasks)

    assert said(program.rows, result).keys() == {(Certainty.PROBABLE, True)}


@FEW_EXAMPLES
@given(SEEDS)
def test_where_the_address_is_often_missing_nothing_is_sure(seed: int) -> None:
    program = loop(seed, 8, 8)
    words = stacks(program)
    put(words, program, but_every=4)

    assert Certainty.SURE not in found(program, words).certainty.tolist()


def test_each_stack_trace_is_judged_on_its_own() -> None:
    """As a handler that awaits its calls beside one that makes them in tasks of their own."""
    program = loop(1, 8, 8)
    words = stacks(program)
    put(words, program)
    for row in program.rows:
        if row["role"] == Role.CLIENT and row["cause"] % 3 == 0:
            row["shape"] = 1
            words[program.rows.index(row), list(PLACE[Role.CLIENT])] = 1 << 45

    result = found(program, words)

    of_shape = Counter(
        (row["shape"], Certainty(certainty))
        for row, certainty in zip(program.rows, result.certainty.tolist())
        if row["role"] == Role.CLIENT
    )
    assert of_shape.keys() == {(0, Certainty.SURE), (1, Certainty.NOT_KNOWN)}
    assert said(program.rows, result)[Certainty.SURE, False] == 0


def test_processes_of_a_program_learn_together_but_have_their_own_requests() -> None:
    program = loop(1, 6, 4)
    first = len(program.rows)
    words = stacks(program)
    put(words, program)
    twin = [{**row, "pid": 2, "cause": row["cause"] + first if row["cause"] >= 0 else -1} for row in program.rows]
    program.rows += twin

    result = found(program, np.concatenate([words, words]))  # with equal addresses

    assert said(program.rows, result).keys() == {(Certainty.SURE, True)}


@pytest.mark.parametrize(
    ("word", "is_address"),
    [(0, False), (1, False), (FIRST_ADDRESS, True), (0x7FFF_0000_0000, True), (1 << 48, False), ((1 << 64) - 1, False)],
)
def test_what_cannot_be_an_address_is_left_out(word: int, is_address: bool) -> None:
    assert addresses(np.array([word], np.uint64)).tolist() == [word if is_address else 0]
