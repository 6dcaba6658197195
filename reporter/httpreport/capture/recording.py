"""A `Recording` is what a capture holds, as far as a filter keeps it: calls and their sums, the rest by its key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from httpcapture import End, Meta, Module, Process, StackStatus

from ..calls.available_values import There
from ..calls.columns import Impossible, Places
from ..calls.listed_calls import Listed
from ..calls.schema import Array
from ..calls.totals import Latencies, PeerKey, StackKey, Sums
from .faults import Faults, jit_map_name, section_name
from .loss_counters import completions_lost
from .module_sections import NOT_FOLLOWING, Whole, Wholes
from .packed_stacks import RecordedStacks


@dataclass(frozen=True)
class ProcessKey:
    """A process by its pid and start. /proc tells the start in clock ticks, an event in nanoseconds: ticks
    here."""

    pid: int
    start_ticks: int

    @classmethod
    def of(cls, meta: Meta, pid: int, start_ns: int) -> ProcessKey:
        return cls(pid, start_ns * meta.clock_ticks // 1_000_000_000)


@dataclass(frozen=True)
class Recording:
    """What was read."""

    meta: Meta
    listed: Listed
    by_stack: Mapping[StackKey, Sums]  # of all that are kept
    by_peer: Mapping[PeerKey, Latencies]  # the same
    recorded: int  # calls in the capture
    kept: int  # of them, those that the filter keeps
    impossible: Impossible  # calls whose times cannot be; their duration is set to 0
    unknown_fields: Sequence[str]  # of the calls: why each of them is not known
    there: There  # what calls there are, only where none is kept
    stacks: RecordedStacks
    processes: Mapping[ProcessKey, Sequence[Process]]
    modules: Mapping[int, Module]  # by id
    ambiguous: frozenset[int]  # ids that two different modules have; they are not in `modules`
    carried: Mapping[int, Wholes]  # what the capture holds of a module, by its id
    jit_maps: Mapping[ProcessKey, Mapping[int, Whole]]  # by the time when they were taken
    lost: Mapping[str, int]  # the ledger's last state
    left_out: Mapping[tuple[type, str], int]  # records beyond the format's limits: Reader.left_out
    lost_between: Mapping[str, tuple[int, int]]  # when a count was first and last seen to rise, within a second of it
    end: End | None
    cut_off: str | None  # what is missing at the end of the file, or None

    @cached_property
    def calls(self) -> Array:
        """The calls that are kept (CALL), in the order of the file; beyond MAX_LISTED the longest. They are unpacked
        when they are asked for."""
        return self.listed.rows(all_known=self._all_known)

    def some_calls(self, places: Places) -> Array:
        """Of `calls` those at these places, which ascend; the others stay packed."""
        return self.listed.some_rows(places, all_known=self._all_known)

    @cached_property
    def received(self) -> Places:
        """The listed calls of which a stack of the receiving side was asked for."""
        return np.flatnonzero(self.listed.values("receive_stack_status") != StackStatus.NOT_TAKEN)

    @property
    def faults(self) -> Faults:
        """What contradicts itself in the capture; of its stacks, as far as they were read by now."""
        return Faults(
            left_out=self.left_out,
            impossible=self.impossible,
            repeated=self._repeated,
            modules=len(self.ambiguous),
            stacks=len(self.stacks.ambiguous),
            unnamed=self.stacks.left_out,
            gaps=self._gaps,
            written=self.end.recorded if self.end and self.cut_off is None else None,
            recorded=self.recorded,
        )

    @cached_property
    def _repeated(self) -> int:
        """Listed calls that share the key of a completion with another one."""
        return self.listed.repeated()

    @cached_property
    def _gaps(self) -> list[str]:
        """Sections and JIT maps whose parts do not follow each other."""
        sections = ((id, name, whole) for id, wholes in self.carried.items() for name, whole in wholes.items())
        texts = ((key.pid, whole) for key, wholes in self.jit_maps.items() for whole in wholes.values())
        return [
            *(section_name(id, name) for id, name, whole in sections if whole.problem == NOT_FOLLOWING),
            *(jit_map_name(pid) for pid, whole in texts if whole.problem == NOT_FOLLOWING),
        ]

    @property
    def _all_known(self) -> bool:
        """Whether no completion was lost."""
        return self.cut_off is None and not completions_lost(self.lost)
