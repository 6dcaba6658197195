"""A `Recording` is what a capture holds, as far as a filter keeps it: calls as one array, the rest by its
key.

`load` reads a capture once, front to back. Of each batch of calls it keeps those that the filter lets
through, so memory grows with what is kept, not with what was recorded, and it is bounded: a capture is a
stranger's file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
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
    Stack,
)

from .calls import COMPLETION, RECORDED, Array, complete, duration_ns, from_batch, make_possible
from .carried import Whole, Wholes, add_part, add_text, share
from .errors import ReportError
from .losses import completions_lost

MAX_HELD_BYTES = 4 << 30  # of all that is kept
RECORD_OVERHEAD = 1 << 10  # bytes; more than a small record's objects take beside its bytes


class Filter(Protocol):
    """Which calls are kept."""

    def mask(self, calls: Array) -> npt.NDArray[np.bool_]:
        """True for each call (RECORDED) that is kept."""


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
class Tally:
    """What the processes of one name did in the whole capture, whatever the filter kept."""

    calls: int
    slowest_ns: int


@dataclass(frozen=True)
class Recording:
    """What was read. `calls` (dtype CALL) are those kept, in the order of the file."""

    meta: Meta
    calls: Array
    recorded: int  # calls in the capture
    impossible: int  # of them, calls whose times cannot be; their duration is set to 0
    tallies: Mapping[bytes, Tally]  # by process comm
    stacks: Mapping[int, Stack]  # by id, in the order of the file
    processes: Mapping[ProcessKey, Sequence[Process]]
    modules: Mapping[int, Module]  # by id
    carried: Mapping[int, Wholes]  # what the capture holds of a module, by its id
    jit_maps: Mapping[ProcessKey, Mapping[int, Whole]]  # by the time when they were taken
    lost: Mapping[str, int]  # the ledger's last state
    lost_between: Mapping[str, tuple[int, int]]  # when a count was first and last seen to rise, within a second of it
    end: End | None
    cut_off: str | None  # what is missing at the end of the file, or None


def load(reader: Reader, keep: Filter) -> Recording:
    """Read the whole capture. Damage ends the reading and becomes `cut_off`.

    Raises ReportError where the capture lacks a field or holds more than MAX_HELD_BYTES.
    """
    loader = _Loader(reader.meta, keep)
    damage = None
    try:
        for record in reader:
            loader.add(record)
    except CorruptRecord as error:
        damage = str(error)
    return loader.recording(damage or reader.cut_off)


class _Loader:
    """Gathers the records of one capture."""

    def __init__(self, meta: Meta, keep: Filter) -> None:
        self.meta = meta
        self.keep = keep
        self.held = 0
        self.recorded = 0
        self.impossible = 0
        self.calls: list[Array] = [np.empty(0, RECORDED)]
        self.completions: list[Array] = [np.empty(0, COMPLETION)]
        self.tallies: dict[bytes, Tally] = {}
        self.stacks: dict[int, Stack] = {}
        self.processes: dict[ProcessKey, list[Process]] = {}
        self.modules: dict[int, Module] = {}
        self.carried: dict[int, Wholes] = {}
        self.jit_maps: dict[ProcessKey, dict[int, Whole]] = {}
        self.copies: dict[bytes, bytes] = {}
        self.lost: Counter[str] = Counter()
        self.lost_between: dict[str, tuple[int, int]] = {}
        self.end: End | None = None

    def add(self, record: Record) -> None:
        if isinstance(record, Calls):
            self._add_calls(from_batch(record, self.meta.call_layout, RECORDED))
        elif isinstance(record, Completions):
            rows = from_batch(record, self.meta.completion_layout, COMPLETION)
            self._hold(rows.nbytes)
            self.completions.append(rows)
        elif isinstance(record, Stack):
            self._add_stack(record)
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
        return Recording(
            meta=self.meta,
            calls=complete(
                np.concatenate(self.calls),
                np.concatenate(self.completions),
                all_known=cut_off is None and not completions_lost(self.lost),
            ),
            recorded=self.recorded,
            impossible=self.impossible,
            tallies=self.tallies,
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

    def _add_stack(self, stack: Stack) -> None:
        """Copies that are equal are held once."""
        self._hold(len(stack.frames) + len(stack.registers) + RECORD_OVERHEAD)
        if stack.memory not in self.copies:
            self._hold(len(stack.memory) + RECORD_OVERHEAD)
        memory = self.copies.setdefault(stack.memory, stack.memory)
        self.stacks.setdefault(stack.id, replace(stack, memory=memory))

    def _add_calls(self, calls: Array) -> None:
        self.recorded += len(calls)
        self.impossible += make_possible(calls)
        self._count(calls)
        kept = calls[self.keep.mask(calls)]
        self._hold(kept.nbytes)
        self.calls.append(kept)

    def _count(self, calls: Array) -> None:
        names, inverse = np.unique(calls["process"], return_inverse=True)
        counts = np.bincount(inverse, minlength=len(names))
        slowest = np.zeros(len(names), np.uint64)
        np.maximum.at(slowest, inverse, duration_ns(calls))
        for name, count, longest in zip(names.tolist(), counts.tolist(), slowest.tolist()):
            if name not in self.tallies:
                self._hold(RECORD_OVERHEAD)
            before = self.tallies.get(name, Tally(0, 0))
            self.tallies[name] = Tally(before.calls + count, max(before.slowest_ns, longest))

    def _hold(self, size: int) -> None:
        self.held += size
        if self.held > MAX_HELD_BYTES:
            raise ReportError(
                f"the calls and stacks to keep take more than {MAX_HELD_BYTES >> 30} GiB of memory: "
                "keep fewer by a higher -t or a narrower -p"
            )
