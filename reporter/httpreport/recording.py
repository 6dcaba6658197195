"""A `Recording` is what a capture holds, as far as a filter keeps it: calls and their sums, the rest by its key.

`load` reads a capture once, front to back, some batches of calls at a time (`columns.py`). Those that the filter lets
through are summed (`sums.py`) and listed (`kept.py`), so memory grows with what is kept, not with what was recorded,
and it is bounded: a capture is a stranger's file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt

from httpcapture import (
    Calls,
    Completions,
    CorruptRecord,
    End,
    JitMap,
    Lost,
    Meta,
    Module,
    Process,
    Reader,
    Record,
    Section,
    Stacks,
    StackStatus,
)

from .calls import COMPLETION, RECORDED, Array, ByName
from .carried import Whole, Wholes, add_part, add_text, share
from .columns import Columns, Places, Types, types_of
from .errors import ReportError
from .kept import Listed
from .losses import completions_lost
from .stacks import RecordedStacks
from .sums import Latencies, PeerKey, StackKey, Summing, Sums
from .there import There

ROWS_AT_ONCE = 1 << 13  # calls that are filtered, and that are summed; their columns stay in a processor's cache
RECORDED_AT_ONCE = 1 << 19  # calls of which those kept are summed at the latest: far fewer than completions.RECENT
MAX_HELD_BYTES = 4 << 30  # of all that is kept
RECORD_OVERHEAD = 1 << 10  # bytes; more than a small record's objects take beside its bytes


class Filter(Protocol):
    """Which calls are kept."""

    @property
    def asked(self) -> Sequence[str]:
        """What it asks about: keys of there.COLUMNS."""

    def mask(self, calls: ByName) -> npt.NDArray[np.bool_]:
        """True for each call that is kept."""

    def passing(self, calls: ByName) -> npt.NDArray[np.bool_]:
        """True for each call that is kept, or would be with a threshold of 0."""


@dataclass(frozen=True)
class Nothing:
    """Keeps no call, so that there is told of all of them what is `asked`."""

    asked: Sequence[str] = ()

    def mask(self, calls: ByName) -> npt.NDArray[np.bool_]:
        return np.zeros(len(calls["t0"]), np.bool_)

    def passing(self, calls: ByName) -> npt.NDArray[np.bool_]:
        return self.mask(calls)


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
    impossible: int  # calls whose times cannot be; their duration is set to 0
    there: There  # what calls there are, only where none is kept
    stacks: RecordedStacks
    processes: Mapping[ProcessKey, Sequence[Process]]
    modules: Mapping[int, Module]  # by id
    carried: Mapping[int, Wholes]  # what the capture holds of a module, by its id
    jit_maps: Mapping[ProcessKey, Mapping[int, Whole]]  # by the time when they were taken
    lost: Mapping[str, int]  # the ledger's last state
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
    def _all_known(self) -> bool:
        """Whether no completion was lost."""
        return self.cut_off is None and not completions_lost(self.lost)


def load(reader: Reader, keep: Filter) -> Recording:
    """Read the whole capture. Damage ends the reading and becomes `cut_off`.

    Raises ReportError where the capture lacks a field or holds more than MAX_HELD_BYTES.
    """
    loader = _Loader(reader.meta, keep)
    damage = None
    try:
        try:
            for record in reader.packed():
                loader.add(record)
        finally:
            loader.add_waiting()
    except CorruptRecord as error:
        damage = str(error)
    return loader.recording(damage or reader.cut_off)


class _Loader:
    """Gathers the records of one capture."""

    def __init__(self, meta: Meta, keep: Filter) -> None:
        self.meta = meta
        self.keep = keep
        self.held = 0
        self.recorded = self.summed = 0  # summed: of those recorded
        self.kept = 0
        self.impossible = 0
        self.waiting: list[Calls] = []  # batches of calls
        self.waiting_rows = 0
        self.kept_parts: list[Columns] = []  # that wait to be summed
        self.listed = Listed()
        self.summing = Summing()
        self.there = There(keep.asked)  # filled as long as nothing is kept
        self.stacks = RecordedStacks()
        self.processes: dict[ProcessKey, list[Process]] = {}
        self.modules: dict[int, Module] = {}
        self.carried: dict[int, Wholes] = {}
        self.jit_maps: dict[ProcessKey, dict[int, Whole]] = {}
        self.lost: Counter[str] = Counter()
        self.lost_between: dict[str, tuple[int, int]] = {}
        self.end: End | None = None

    @cached_property
    def call_types(self) -> Types:
        return types_of(self.meta.call_layout, RECORDED)

    @cached_property
    def completion_types(self) -> Types:
        return types_of(self.meta.completion_layout, COMPLETION)

    def add(self, record: Record | Stacks) -> None:
        if isinstance(record, Calls):
            self._add_batch(record)
        elif isinstance(record, Completions):
            self.listed.complete(record, self.completion_types)
            self._hold(0)
        elif isinstance(record, Stacks):
            self._hold(len(record.frame) + RECORD_OVERHEAD)
            self.stacks.add(record)
        elif isinstance(record, Process):
            self._hold(len(record.maps) + (1 + len(record.modules)) * RECORD_OVERHEAD)
            self.processes.setdefault(ProcessKey.of(self.meta, record.pid, record.start_ns), []).append(record)
        elif isinstance(record, Module):
            self._hold(len(record.path) + RECORD_OVERHEAD)
            self.modules.setdefault(record.id, record)
        elif isinstance(record, Section):
            self._hold(len(record.data) + RECORD_OVERHEAD)
            add_part(self.carried.setdefault(record.module, {}), record)
        elif isinstance(record, JitMap):
            self._hold(len(record.data) + RECORD_OVERHEAD)
            key = ProcessKey.of(self.meta, record.pid, record.process_start_ns)
            add_text(self.jit_maps.setdefault(key, {}), record)
        elif isinstance(record, Lost):
            self._lose(record.counts, record.at_ns)
        elif isinstance(record, End):
            self._lose(record.lost, record.at_ns)
            self.end = record

    def recording(self, cut_off: str | None) -> Recording:
        self._sum()
        self.listed.end()
        return Recording(
            meta=self.meta,
            listed=self.listed,
            by_stack=self.summing.by_stack(),
            by_peer=self.summing.by_peer(),
            recorded=self.recorded,
            kept=self.kept,
            impossible=self.impossible,
            there=There(()) if self.kept else self.there,
            stacks=self.stacks,
            processes=self.processes,
            modules=self.modules,
            carried=share(self.modules, self.carried),
            jit_maps=self.jit_maps,
            lost=dict(self.lost),
            lost_between=self.lost_between,
            end=self.end,
            cut_off=cut_off,
        )

    def _lose(self, counts: Mapping[str, int], at_ns: int) -> None:
        for cause, count in counts.items():
            if count > self.lost[cause]:
                self.lost[cause] = count
                self.lost_between[cause] = (self.lost_between.get(cause, (at_ns, 0))[0], at_ns)

    def _add_batch(self, batch: Calls) -> None:
        if batch.rows:
            self.waiting.append(batch)
            self.waiting_rows += batch.rows
        if self.waiting_rows >= ROWS_AT_ONCE:
            self.add_waiting()

    def add_waiting(self) -> None:
        """The batches that wait. Of damaged ones, which is seen only now, those before the first."""
        batches, self.waiting, self.waiting_rows = self.waiting, [], 0
        try:
            self._add_calls(batches)
        except CorruptRecord:
            for batch in batches:
                self._add_calls([batch])

    def _add_calls(self, batches: Sequence[Calls]) -> None:
        """Nothing of them is counted before all that is needed of them was read."""
        if not batches:
            return
        calls = Columns(self.call_types, batches, sum(batch.rows for batch in batches))
        impossible = calls.make_possible()
        places = np.flatnonzero(self.keep.mask(calls))
        if len(places) == calls.rows:
            calls.unpack()
            self.kept_parts.append(calls)
        elif len(places):
            self.kept_parts.append(calls.at(places))
        elif not self.kept:
            self.there.add(calls, self.keep.passing(calls))
        self.kept += len(places)
        self.recorded += calls.rows
        self.impossible += impossible
        kept = sum(part.rows for part in self.kept_parts)
        if kept >= ROWS_AT_ONCE or self.recorded - self.summed >= RECORDED_AT_ONCE:
            self._sum()
        self._hold(0)

    def _sum(self) -> None:
        """Sum and list those that wait for it."""
        self.summed = self.recorded
        if self.kept_parts:
            kept = Columns.together(self.kept_parts)
            self.kept_parts = []
            self.summing.add(kept)
            self.listed.add(kept)

    def _hold(self, size: int) -> None:
        """Raise ReportError when this and what is held already is too much."""
        self.held += size
        sums = self.summing.nbytes + len(self.there) * RECORD_OVERHEAD
        if self.held + self.listed.nbytes + sums > MAX_HELD_BYTES:
            raise ReportError(
                f"the calls and stacks to keep take more than {MAX_HELD_BYTES >> 30} GiB of memory: "
                "keep fewer by a higher -t or a narrower -p, or record in parts"
            )
