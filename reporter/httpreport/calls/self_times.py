"""Tell the self time of server calls: their duration less the time in which any of their client calls was open.

It is a range where client calls whose cause is not known were open in the process, since these may be its own, too; so
may be calls of which it is not known which end asked.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from httpcapture import Role

from ..common.interning import Interner, words_of
from .cause_columns import NO_CAUSE
from .causes import Causes
from .covered_time import CoveredTime
from .open_intervals import Times
from .schema import ColumnsByName, ends_of


class SelfTimes(NamedTuple):
    """Hold for each call its least and most self time in ns; 0 if it is not a server call."""

    least: Times
    most: Times


def self_times(calls: ColumnsByName, causes: Causes) -> SelfTimes:
    """Return the self times of calls, which have the columns of CALL."""
    starts, ends, role = np.asarray(calls["t0"]).astype(np.int64), ends_of(calls), np.asarray(calls["role"])
    process = Interner(2).intern(
        *(word for name in ("pid", "process_start") for word in words_of(np.asarray(calls[name])))
    )
    servers = np.flatnonzero(role == Role.SERVER)
    caused = np.flatnonzero(causes.indices != NO_CAUSE)
    cause = causes.indices[caused]
    own = CoveredTime(cause, *(np.clip(times[caused], starts[cause], ends[cause]) for times in (starts, ends)))
    open_ns, most = np.zeros(len(starts), np.int64), np.zeros(len(starts), np.int64)
    most[servers] = ends[servers] - starts[servers] - own.within(servers, starts[servers], ends[servers])

    has_no_cause = (role == Role.CLIENT) & (causes.indices == NO_CAUSE) & (causes.candidates > 0)
    unknown = np.flatnonzero(has_no_cause | ((role != Role.CLIENT) & (role != Role.SERVER)))
    others = CoveredTime(process[unknown], starts[unknown], ends[unknown])
    open_ns[servers] = others.within(process[servers], starts[servers], ends[servers])
    np.subtract.at(open_ns, own.groups, others.within(process[own.groups], own.starts, own.ends))
    return SelfTimes(most - open_ns, most)
