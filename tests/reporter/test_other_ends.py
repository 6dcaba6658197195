"""Join the ends of made-up calls whose identity is known, which the join does not see."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from httpcapture import Outcome, Role
from httpreport.calls.other_ends import NOT_JOINED, OtherEnds, other_ends
from httpreport.calls.schema import RECORDED
from support.recordings import packed_address

Ends = list[dict[str, Any]]


class World:
    """Make calls between hosts, each of which has a clock of its own. A call becomes two rows with one `id`."""

    def __init__(self, seed: int, hosts: int) -> None:
        self.draw = random.Random(seed)
        self.hosts = hosts
        self.ahead = [self.draw.randrange(10**15) for _ in range(hosts)]
        self.rows: Ends = []
        self.calls = 0

    def connection(
        self, calls: int, *, nat: bool = False, numbered: bool = True, answers: bool = True, streams: bool = False
    ) -> None:
        draw = self.draw
        client, server = draw.randrange(self.hosts), draw.randrange(self.hosts)
        addresses = [packed_address(f"10.0.{host}.{draw.randrange(1, 3)}") for host in (client, server)]
        ports, at = [draw.randrange(40000, 40020), 80], draw.randrange(10**9)
        asked, told = draw.getrandbits(32), draw.getrandbits(32)
        for number in range(calls):
            inner = sorted(draw.randrange(1, 10**6) for _ in range(3))
            times = (at, at + inner[0], at + inner[1], at + inner[2])
            sizes = draw.randrange(1, 10**4), draw.randrange(1, 10**4)
            numbers = {"request_seq": asked if numbered else 0, "response_seq": told if numbered and answers else 0}
            outcome = Outcome.ANSWERED if answers else Outcome.CLOSED
            common = {"id": self.calls, "outcome": outcome, **numbers, "stream": (2 * number + 1) * streams}
            self.rows.append(
                {
                    **common,
                    **{"role": Role.CLIENT, "clock": client, "t0": times[0], "t2": times[3]},
                    **{"local_address": addresses[0], "local_port": ports[0]},
                    **{"peer_address": addresses[1], "peer_port": ports[1], "sent": sizes[0], "received": sizes[1]},
                }
            )
            seen = (packed_address("192.168.9.9"), 1) if nat else (addresses[0], ports[0])
            self.rows.append(
                {
                    **common,
                    **{"role": Role.SERVER, "clock": server, "t0": times[1], "t2": times[2]},
                    **{"local_address": addresses[1], "local_port": ports[1]},
                    **{"peer_address": seen[0], "peer_port": seen[1], "sent": sizes[1], "received": sizes[0]},
                }
            )
            self.calls += 1
            at = times[1] if streams else times[3] + draw.randrange(1, 10**6)
            asked, told = ((asked + sizes[0]) % 2**32 or 1), ((told + sizes[1]) % 2**32 or 1)

    def shuffled(self) -> Ends:
        for row in self.rows:
            for name in ("t0", "t2"):
                row[name] += self.ahead[row["clock"]]
        return self.draw.sample(self.rows, len(self.rows))


def joined(rows: Ends) -> OtherEnds:
    calls = np.zeros(len(rows), RECORDED)
    for place, row in enumerate(rows):
        for name in row.keys() - {"id", "clock"}:
            calls[name][place] = row[name]
    return other_ends(calls, np.array([row["clock"] for row in rows], np.intp))


def ids(rows: Ends, found: OtherEnds) -> set[tuple[int, int]]:
    """Return the ids of the two ends of each joined call."""
    indices = found.indices.tolist()
    assert all(other == NOT_JOINED or indices[other] == place for place, other in enumerate(indices))
    return {(rows[place]["id"], rows[other]["id"]) for place, other in enumerate(indices) if other != NOT_JOINED}


CONNECTIONS = st.lists(st.tuples(st.integers(1, 6), *[st.booleans()] * 4), max_size=12)


@settings(deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 3), CONNECTIONS, st.floats(0, 1))
def test_two_ends_that_are_joined_are_of_one_call(
    seed: int, hosts: int, connections: list[tuple[int, bool, bool, bool, bool]], missing: float
) -> None:
    world = World(seed, hosts)
    for calls, nat, numbered, answers, streams in connections:
        world.connection(calls, nat=nat, numbered=numbered and not streams, answers=answers, streams=streams)
    rows = [row for row in world.shuffled() if world.draw.random() >= missing]

    assert all(one == other for one, other in ids(rows, joined(rows)))


@settings(deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 3), st.lists(st.tuples(st.integers(1, 6), st.booleans()), max_size=12))
def test_every_answered_call_with_sequence_numbers_is_joined(
    seed: int, hosts: int, connections: list[tuple[int, bool]]
) -> None:
    world = World(seed, hosts)
    for calls, nat in connections:
        world.connection(calls, nat=nat)
    rows = world.shuffled()

    found = joined(rows)

    assert ids(rows, found) == {(number, number) for number in range(world.calls)}
    for (client, server), offset in found.offsets.items():
        true = world.ahead[server] - world.ahead[client]
        assert offset.least <= true <= offset.most


@settings(deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 6))
def test_streams_that_are_open_at_the_same_time_are_joined_on_one_host(seed: int, calls: int) -> None:
    world = World(seed, 1)
    world.connection(calls, numbered=False, streams=True)
    rows = world.shuffled()

    assert ids(rows, joined(rows)) == {(number, number) for number in range(calls)}


@settings(deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 6))
def test_without_sequence_numbers_one_host_is_enough_and_two_are_too_many(seed: int, calls: int) -> None:
    one, two = World(seed, 1), World(seed, 2)
    one.connection(calls, numbered=False)
    while {row["clock"] for row in two.rows} != {0, 1}:
        two.rows = []
        two.connection(calls, numbered=False)
    rows, far = one.shuffled(), two.shuffled()

    assert ids(rows, joined(rows)) == {(number, number) for number in range(calls)}
    assert ids(far, joined(far)) == set()


@pytest.mark.parametrize("role", [Role.CLIENT, Role.SERVER])
def test_an_end_that_was_recorded_twice_is_not_joined(role: Role) -> None:
    for nat in (False, True):
        world = World(3, 1)
        world.connection(1, nat=nat)
        rows = [*world.rows, *(row for row in world.rows if row["role"] == role)]

        assert ids(rows, joined(rows)) == set()


def test_a_call_that_contradicts_the_clocks_of_most_others_is_not_joined() -> None:
    world = World(1, 2)
    while len({(row["clock"]) for row in world.rows}) < 2:
        world.rows, world.calls = [], 0
        world.connection(5)
    odd = world.rows[1]
    odd["t0"] += 10**12
    odd["t2"] += 10**12
    rows = world.shuffled()

    assert ids(rows, joined(rows)) == {(number, number) for number in range(1, 5)}


def test_an_unanswered_call_is_joined_by_its_request_on_one_clock() -> None:
    world = World(1, 1)
    world.connection(2, answers=False)
    rows = world.shuffled()

    assert ids(rows, joined(rows)) == {(0, 0), (1, 1)}
