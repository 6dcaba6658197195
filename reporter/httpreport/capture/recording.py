"""Define a `Recording`: what was read from a capture, as far as a filter keeps it: calls, totals, and everything else
by its key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from httpcapture import Code, End, Meta, Module, Process, StackStatus

from ..calls.available_values import AvailableValues
from ..calls.call_heads import CallHeads
from ..calls.lazy_table import ImpossibleTimes, Indices
from ..calls.listed_calls import ListedCalls
from ..calls.process_keys import ProcessKey
from ..calls.recorded_causes import RecordedCauses
from ..calls.request_keys import RequestKeys
from ..calls.route_totals import RoleRequest, RouteTotals
from ..calls.schema import Array
from ..calls.totals import Latencies, PeerKey, StackKey, Totals
from ..calls.unlisted_calls import UnlistedCalls
from ..calls.workloads import Workload, Workloads
from .faults import Faults
from .module_sections import JoinedParts, JoinedSections
from .packed_stacks import RecordedStacks


@dataclass(frozen=True)
class Recording:
    """Hold what was read from one capture."""

    meta: Meta
    listed: ListedCalls
    unlisted: UnlistedCalls  # too short to be listed
    by_stack: Mapping[StackKey, Totals]  # totals of all kept calls
    by_peer: Mapping[PeerKey, Latencies]  # durations of all kept calls
    by_request: Mapping[RoleRequest, RouteTotals]  # the same by what was asked for; empty if there are no heads
    request_keys: RequestKeys | None  # what all calls of the capture ask for, kept or not; None if there are no heads
    by_workload: Mapping[Workload, Latencies]  # the same by where processes ran; empty if none is known
    recorded: int  # calls in the capture
    kept: int  # calls that the filter keeps
    not_known: int  # calls that it only does not keep because what it asks for is not known of them
    impossible: ImpossibleTimes  # counts calls with impossible times; their duration is set to 0
    unknown_fields: Sequence[str]  # for each unknown field of calls, why it is not known
    available: AvailableValues  # the values that calls have; filled only if no call is kept
    stacks: RecordedStacks
    processes: Mapping[ProcessKey, Sequence[Process]]
    workloads: Workloads  # where the processes ran
    modules: Mapping[int, Module]  # by id
    ambiguous: frozenset[int]  # ids of two different modules; `modules` does not have them
    carried: Mapping[int, JoinedSections]  # the recorded parts of each module, by its id
    jit_maps: Mapping[ProcessKey, Mapping[int, JoinedParts]]  # by the time when each was taken
    codes: Mapping[ProcessKey, Mapping[tuple[int, int], Code]]  # of Python, by address and cookie
    heads: CallHeads  # of requests and responses
    causes: RecordedCauses  # of calls, as found before the capture was redacted
    repeated: int  # calls that share the key of a completion with another call
    gaps: Sequence[str]  # names of sections and JIT maps whose parts do not follow each other
    lost: Mapping[str, int]  # the last state of the ledger
    left_out: Mapping[tuple[type, str], int]  # records beyond the format's limits: Reader.left_out
    lost_between: Mapping[str, tuple[int, int]]  # when each count was first and last seen to rise, to within a second
    end: End | None
    cut_off: str | None  # what is missing at the end of the file, or None

    @cached_property
    def calls(self) -> Array:
        """Return the kept calls (CALL) in the order of the file; of more than tuning.MAX_LISTED, the longest."""
        return self.listed.rows()

    def some_calls(self, indices: Indices) -> Array:
        """Return the rows of `calls` at these ascending indices. The others stay packed."""
        return self.listed.rows_at(indices)

    @cached_property
    def received(self) -> Indices:
        """Return the indices of the listed calls for which a stack of the receiving side was taken or tried."""
        return np.flatnonzero(self.listed.values("receive_stack_status") != StackStatus.NOT_TAKEN)

    @property
    def faults(self) -> Faults:
        """Return what contradicts itself in the capture. Stacks count as far as they have been read by now."""
        return Faults(
            left_out=self.left_out,
            impossible=self.impossible,
            repeated=self.repeated,
            modules=len(self.ambiguous),
            stacks=len(self.stacks.ambiguous),
            heads=len(self.heads.ambiguous),
            unnamed=self.stacks.left_out,
            gaps=self.gaps,
            written=self.end.recorded if self.end and self.cut_off is None else None,
            recorded=self.recorded,
        )
