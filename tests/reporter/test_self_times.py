"""Compare self times with those of a loop over the times at which anything begins or ends."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from httpcapture import Role
from httpreport.calls.cause_columns import NO_CAUSE
from httpreport.calls.causes import Causes, no_causes
from httpreport.calls.covered_time import CoveredTime
from httpreport.calls.schema import CALL
from httpreport.calls.self_times import self_times

INTERVALS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 30), st.integers(0, 9)), max_size=12)


class Made(NamedTuple):
    pid: int
    start: int
    length: int
    cause: int  # the place of a server call, modulo their number; NO_CAUSE
    candidates: int


SERVERS = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 30), st.integers(0, 20)), min_size=1, max_size=6)
CLIENTS = st.lists(
    st.builds(Made, st.integers(0, 2), st.integers(0, 40), st.integers(0, 20), st.integers(-1, 5), st.integers(0, 2)),
    max_size=12,
)


@given(INTERVALS, INTERVALS, st.sampled_from([1, 1 << 56]))
def test_the_covered_part_of_a_time_is_measured(
    intervals: list[tuple[int, int, int]], asked: list[tuple[int, int, int]], scale: int
) -> None:
    groups, starts, lengths = np.array(intervals, np.int64).reshape(-1, 3).T
    wanted, firsts, spans = np.array(asked, np.int64).reshape(-1, 3).T

    covered = CoveredTime(groups, starts * scale, (starts + lengths) * scale)

    measured = covered.within(wanted, firsts * scale, (firsts + spans) * scale)
    for (group, first, span), ns in zip(asked, measured.tolist()):
        of_group = [range(start, start + length) for other, start, length in intervals if other == group]
        assert ns == scale * sum(any(at in one for one in of_group) for at in range(first, first + span))


@given(SERVERS, CLIENTS)
def test_self_time_is_when_no_own_call_was_open_or_no_call_that_may_be_its_own(
    servers: list[tuple[int, int, int]], clients: list[Made]
) -> None:
    calls = np.zeros(len(servers) + len(clients), CALL)
    rows = [*((*row, Role.SERVER) for row in servers), *((*made[:3], Role.CLIENT) for made in clients)]
    for place, (pid, start, length, role) in enumerate(rows):
        calls[place]["role"], calls[place]["pid"], calls[place]["has_end"] = role, pid, True
        calls[place]["t0"], calls[place]["t3"] = start, start + length
    causes = [NO_CAUSE if made.cause < 0 else made.cause % len(servers) for made in clients]
    none = np.zeros(len(calls), np.uint8)
    indices, candidates = [NO_CAUSE] * len(servers) + causes, [0] * len(servers) + [made.candidates for made in clients]

    least, most = self_times(calls, Causes(np.array(indices), none, none, np.array(candidates)))

    for place, (pid, start, length) in enumerate(servers):
        own = [made for made, cause in zip(clients, causes) if cause == place]
        others = [made for made, cause in zip(clients, causes) if cause < 0 and made.pid == pid and made.candidates]
        for times, counting in ((most, own), (least, own + others)):
            free = (
                not any(made.start <= at < made.start + made.length for made in counting)
                for at in range(start, start + length)
            )
            assert times[place] == sum(free)
    assert not least[len(servers) :].any() and not most[len(servers) :].any()


def test_a_call_of_which_it_is_not_known_which_end_asked_may_be_its_own() -> None:
    calls = np.zeros(2, CALL)
    calls["has_end"] = True
    calls["role"], calls["t0"], calls["t3"] = (Role.SERVER, Role.UNKNOWN), (0, 20), (100, 50)
    times = self_times(calls, no_causes(2))
    assert (int(times.least[0]), int(times.most[0])) == (70, 100)
