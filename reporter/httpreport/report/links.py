"""Tell how a call is linked to other calls: its other end, its cause, and its self time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from httpcapture import Role

from ..calls.call import Call, iterate_calls
from ..calls.cause_columns import NO_CAUSE
from ..calls.causes import Causes, Rule
from ..calls.certainty import Certainty
from ..calls.other_ends import NOT_JOINED
from ..calls.schema import Array
from ..calls.self_times import SelfTimes

Indices = npt.NDArray[np.intp]


class Cause(NamedTuple):
    """Hold the server call that caused a client call, or None if it is not known, how certain that is and by what it
    was found, and how many server calls of the process were open when the call was made."""

    call: Call | None
    certainty: Certainty
    rule: Rule
    candidates: int


class SelfTime(NamedTuple):
    """Hold the least and the most self time of a server call, in ns."""

    least_ns: int
    most_ns: int


class Links(NamedTuple):
    """Hold what is known of one call. `cause` is None if it has no candidate, `self_time` if it is no server call."""

    other: Call | None
    cause: Cause | None
    self_time: SelfTime | None


def links_of(
    calls: Array, order: Indices, other_ends: Indices, causes: Causes, self_times: SelfTimes
) -> Iterator[Links]:
    """Yield the links of the calls at these indices, in their order."""
    others, caused_by = _found(calls, other_ends[order], NOT_JOINED), _found(calls, causes.indices[order], NO_CAUSE)
    found = (causes.certainty[order], causes.rules[order], causes.candidates[order])
    times = (calls["role"][order] == Role.SERVER, self_times.least[order], self_times.most[order])
    rows = zip(others, caused_by, *(column.tolist() for column in (*found, *times)))
    for other, call, certainty, rule, candidates, is_server, least, most in rows:
        cause = Cause(call, Certainty(certainty), Rule(rule), candidates) if candidates else None
        yield Links(other, cause, SelfTime(least, most) if is_server else None)


def _found(calls: Array, indices: Indices, missing: int) -> Iterator[Call | None]:
    """Yield the calls at the indices, and None where one is missing."""
    found = iterate_calls(calls, indices[indices != missing])
    return (None if index == missing else next(found) for index in indices.tolist())
