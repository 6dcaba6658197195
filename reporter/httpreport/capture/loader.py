"""Read a capture, front to back, into a `Recording`.

The ends of responses are read first (`ends.py`), because they decide which calls are slow, and the heads, because
filters may ask for what is in them. Then all other records are read. It takes some batches of calls at a time
(`calls/lazy_table.py`). The calls that the filter keeps are added up (`calls/totals.py`) and listed
(`calls/listed_calls.py`), so memory grows with what is kept, not with what was recorded. It is bounded too: a capture
is untrusted input.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt

from httpcapture import (
    CallCauses,
    Calls,
    Code,
    Completions,
    Connections,
    CorruptRecord,
    End,
    Heads,
    HeadText,
    JitMap,
    Lost,
    Meta,
    Module,
    PackedStacks,
    Process,
    Reader,
    Record,
    Section,
    ShortCalls,
)

from ..calls.available_values import AvailableValues
from ..calls.durations import DurationRule
from ..calls.filters import CallTable
from ..calls.lazy_table import ColumnTypes, ImpossibleTimes, LazyTable, column_types, unknown_fields
from ..calls.listed_calls import ListedCalls
from ..calls.process_keys import ProcessKey
from ..calls.recorded_causes import RecordedCauses
from ..calls.route_totals import TotalsByRequest
from ..calls.schema import CONNECTION, RECORDED, SHORT
from ..calls.totals import CallTotals
from ..calls.unlisted_calls import UnlistedCalls
from ..calls.workload_totals import TotalsByWorkload
from ..calls.workloads import Workloads
from ..common import tuning
from ..routes.patterns import NO_PATTERNS, RoutePatterns
from .ends import Ends, read_ends
from .faults import gaps_in
from .module_sections import JoinedParts, JoinedSections, add_part, add_text, share_sections
from .packed_stacks import RecordedStacks
from .record_handlers import Handlers, ignore
from .recording import Recording

FULL = (
    "the capture was not read to its end, because what is kept of it takes too much memory (keep fewer calls by a "
    "higher -t or a narrower -p, or record in parts)"
)
"""What `Recording.cut_off` says if what is kept exceeds tuning.MAX_HELD_BYTES or tuning.MAX_TOTALS_BYTES."""


class Filter(Protocol):
    """Decide which calls are kept."""

    @property
    def asked(self) -> Sequence[str]:
        """Return the fields that it tests: keys of available_values.FIELD_COLUMNS."""

    @property
    def first_byte(self) -> bool:
        """Return whether calls are judged by their first byte."""

    @property
    def patterns(self) -> RoutePatterns:
        """Return the routes that the user gave."""

    @property
    def by_route(self) -> bool:
        """Return whether stacks are told apart by what their calls ask for."""

    def mask(self, calls: CallTable) -> npt.NDArray[np.bool_]:
        """Return whether each call is kept."""

    def passing(self, calls: CallTable) -> npt.NDArray[np.bool_]:
        """Return whether each call is kept, or would be kept with a threshold of 0."""

    def not_known(self, calls: CallTable) -> int:
        """Return how many calls are only not kept because what is asked for is not known of them."""


@dataclass(frozen=True)
class KeepNothing:
    """Keep no call, so that `Recording.available` has the values of all calls in the `asked` fields."""

    asked: Sequence[str] = ()
    first_byte: bool = False
    patterns: RoutePatterns = NO_PATTERNS
    by_route: bool = False

    def mask(self, calls: CallTable) -> npt.NDArray[np.bool_]:
        """Return False for each call."""
        return np.zeros(len(calls["t0"]), np.bool_)

    def passing(self, calls: CallTable) -> npt.NDArray[np.bool_]:
        """Return False for each call."""
        return self.mask(calls)

    def not_known(self, calls: CallTable) -> int:
        """Return 0."""
        return 0


def load(reader: Reader, keep: Filter) -> Recording:
    """Read the whole capture, which must be a seekable file. Damage ends the reading and becomes `cut_off`; so does a
    lack of memory.

    Raises OSError, CaptureError, and ReportError if the capture lacks a field.
    """
    ends = read_ends(reader)
    reader = reader.again()
    loader = _Loader(reader.meta, keep, ends)
    damage = None
    try:
        try:
            for record in reader.packed():
                loader.add(record)
        finally:
            loader.add_waiting()
    except CorruptRecord as error:
        damage = str(error)
    except _FullError:
        damage = FULL
    return loader.recording(damage or reader.cut_off, reader.left_out)


def gather(meta: Meta, keep: Filter, ends: Ends, records: Iterable[Record]) -> Recording:
    """Return the recording that these records make, with these ends and heads of their calls.

    Raises CorruptRecord, and ReportError if the capture lacks a field. The caller bounds how many records these are.
    """
    loader = _Loader(meta, keep, ends)
    for record in records:
        loader.add(record)
    loader.add_waiting()
    return loader.recording(None, {})


class _FullError(Exception):
    """Signal that the kept calls and records take too much memory."""


class _Loader:
    """Gather the records of one capture."""

    def __init__(self, meta: Meta, keep: Filter, ends: Ends) -> None:
        self.meta = meta
        self.keep = keep
        self.ends = ends
        self.rule = DurationRule(ends.of_calls, ends.all_known, bool(meta.duration_rule), keep.first_byte)
        self.held = ends.of_calls.nbytes + ends.heads.nbytes
        self.recorded = self.added_up = 0
        self.kept = 0
        self.impossible = ImpossibleTimes()
        self.waiting: list[Calls] = []  # batches of calls
        self.waiting_rows = 0
        self.kept_parts: list[LazyTable] = []  # kept calls that wait to be added up
        self.listed = ListedCalls(self.rule)
        self.by_request = TotalsByRequest(ends.heads, keep.patterns)
        self.totals = CallTotals(self.by_request.keys if keep.by_route else None)
        self.by_workload = TotalsByWorkload()
        self.unlisted = UnlistedCalls(self.rule)
        self.causes = RecordedCauses()
        self.not_known = 0
        self.workloads = Workloads(meta)
        self.available = AvailableValues(keep.asked, ends.heads, self.workloads, keep.patterns)  # while none is kept
        self.stacks = RecordedStacks()
        self.processes: dict[ProcessKey, list[Process]] = {}
        self.modules: dict[int, Module] = {}
        self.ambiguous: set[int] = set()
        self.carried: dict[int, JoinedSections] = {}
        self.jit_maps: dict[ProcessKey, dict[int, JoinedParts]] = {}
        self.codes: dict[ProcessKey, dict[tuple[int, int], Code]] = {}
        self.last_text: JoinedParts | None = None  # the JIT map that came last
        self.lost: Counter[str] = Counter()
        self.lost_between: dict[str, tuple[int, int]] = {}
        self.end: End | None = None

    @cached_property
    def call_types(self) -> ColumnTypes:
        return column_types(self.meta.call_layout, RECORDED)

    @property
    def has_short(self) -> bool:
        """Return whether the capture has all calls, the short ones too."""
        return bool(self.meta.short_layout.fields) or not self.meta.threshold_ns

    def add(self, record: Record | PackedStacks) -> None:
        HANDLERS[type(record)](self, record)

    def add_calls(self, batch: Calls) -> None:
        if batch.rows:
            self.waiting.append(batch)
            self.waiting_rows += batch.rows
        if self.waiting_rows >= tuning.CALLS_FILTERED_AT_ONCE:
            self.add_waiting()

    def pass_completions(self, batch: Completions) -> None:
        self.ends.pass_batch(batch)

    def add_connections(self, batch: Connections) -> None:
        types = column_types(self.meta.connection_layout, CONNECTION)
        self.unlisted.add_connections(LazyTable(types, [batch], batch.rows))
        self._hold(0)

    def add_short_calls(self, batch: ShortCalls) -> None:
        calls = LazyTable(column_types(self.meta.short_layout, SHORT), [batch], batch.rows)
        self.impossible += calls.clamp_times()
        self.unlisted.add_below(calls)
        self._hold(0)

    def add_stacks(self, chunk: PackedStacks) -> None:
        self._hold(len(chunk.frame) + tuning.RECORD_OVERHEAD)
        self.stacks.add(chunk)

    def add_process(self, process: Process) -> None:
        texts = len(process.maps) + 2 * (len(process.cgroups) + len(process.container_name))
        self._hold(texts + (1 + len(process.modules)) * tuning.RECORD_OVERHEAD)
        self.workloads.add(process)
        self.processes.setdefault(ProcessKey.of(self.meta, process.pid, process.start_ns), []).append(process)

    def add_module(self, module: Module) -> None:
        self._hold(len(module.path) + len(module.problem) + tuning.RECORD_OVERHEAD)
        if self.modules.setdefault(module.id, module) != module:
            self.ambiguous.add(module.id)

    def add_section(self, part: Section) -> None:
        self._hold(len(part.data) + tuning.RECORD_OVERHEAD)
        add_part(self.carried.setdefault(part.module, {}), part, JoinedParts)

    def add_jit_map(self, part: JitMap) -> None:
        self._hold(len(part.data) + tuning.RECORD_OVERHEAD)
        key = ProcessKey.of(self.meta, part.pid, part.process_start_ns)
        add_text(self.jit_maps.setdefault(key, {}), part, JoinedParts)
        self.last_text = self.jit_maps[key][part.taken_ns]

    def add_code(self, code: Code) -> None:
        self._hold(len(code.name) + len(code.filename) + len(code.table) + tuning.RECORD_OVERHEAD)
        key = ProcessKey.of(self.meta, code.pid, code.process_start_ns)
        of_process = self.codes.setdefault(key, {})
        before = of_process.get((code.address, code.cookie))
        if before is None or (before.problem and not code.problem):
            of_process[code.address, code.cookie] = code

    def add_call_causes(self, causes: CallCauses) -> None:
        self._hold(self.causes.add(causes))

    def add_lost(self, lost: Lost) -> None:
        self._lose(lost.counts, lost.at_ns)

    def add_end(self, end: End) -> None:
        self._lose(end.lost, end.at_ns)
        self.end = end

    def recording(self, cut_off: str | None, left_out: Mapping[tuple[type, str], int]) -> Recording:
        """Return the recording, once all records have been added."""
        self._add_up()
        self.listed.finish()
        self.unlisted.finish(self.listed.starts, self.listed.ends)
        if cut_off and self.last_text:  # it has no declared size: another part may have followed
            self.last_text.problem = self.last_text.problem or "the capture is cut off"
        modules = {id: module for id, module in self.modules.items() if id not in self.ambiguous}
        jit_maps = ((key.pid, text) for key, texts in self.jit_maps.items() for text in texts.values())
        return Recording(
            meta=self.meta,
            listed=self.listed,
            unlisted=self.unlisted,
            by_stack=self.totals.by_stack(),
            by_peer=self.totals.by_peer(),
            by_request=self.by_request.totals(),
            request_keys=self.by_request.keys,
            by_workload=self.by_workload.totals(self.workloads),
            recorded=self.recorded,
            kept=self.kept,
            not_known=self.not_known,
            impossible=self.impossible,
            unknown_fields=unknown_fields(self.meta.call_layout) if self.recorded else (),
            available=AvailableValues(()) if self.kept else self.available,
            stacks=self.stacks,
            processes=self.processes,
            workloads=self.workloads,
            modules=modules,
            ambiguous=frozenset(self.ambiguous),
            carried=share_sections(modules, self.carried),
            jit_maps=self.jit_maps,
            codes=self.codes,
            heads=self.ends.heads,
            causes=self.causes,
            gaps=gaps_in(self.carried, jit_maps),
            repeated=self.rule.ends.repeated,
            left_out={**left_out, **self.ends.left_out, **self._unlisted_left_out},
            lost=dict(self.lost),
            lost_between=self.lost_between,
            end=self.end,
            cut_off=cut_off,
        )

    @property
    def _unlisted_left_out(self) -> Mapping[tuple[type, str], int]:
        """Return how many calls below the threshold were too many, in the form of Reader.left_out."""
        count = self.unlisted.left_out
        return {(ShortCalls, f"{tuning.MAX_UNLISTED:,}"): count} if count else {}

    def _lose(self, counts: Mapping[str, int], at_ns: int) -> None:
        """Take over the counts of the ledger, and when each of them rose."""
        for cause, count in counts.items():
            if count > self.lost[cause]:
                self.lost[cause] = count
                self.lost_between[cause] = (self.lost_between.get(cause, (at_ns, 0))[0], at_ns)

    def add_waiting(self) -> None:
        """Add the waiting batches. If one of them proves damaged, add the batches before it and raise CorruptRecord."""
        batches, self.waiting, self.waiting_rows = self.waiting, [], 0
        try:
            self._add_calls(batches)
        except CorruptRecord:
            for batch in batches:
                self._add_calls([batch])

    def _add_calls(self, batches: Sequence[Calls]) -> None:
        """Filter calls and keep the rest. Nothing is counted before every column that is needed has been unpacked."""
        if not batches:
            return
        rows = sum(batch.rows for batch in batches)
        calls = LazyTable(self.call_types, batches, rows, self.ends.heads, self.workloads)
        impossible = calls.complete(self.rule, count=True)
        mask = self.keep.mask(calls)
        indices = np.flatnonzero(mask)
        if len(indices) == calls.rows:
            calls.unpack()
            self.kept_parts.append(calls)
        elif len(indices):
            self.kept_parts.append(calls.take(indices))
        elif not self.kept:
            self.available.add(calls, self.keep.passing(calls))
        if self.has_short:
            self.unlisted.add_recorded(calls, self.keep.passing(calls) & ~mask)
        self.not_known += self.keep.not_known(calls)
        self.kept += len(indices)
        self.recorded += calls.rows
        self.impossible += impossible
        kept = sum(part.rows for part in self.kept_parts)
        if kept >= tuning.CALLS_FILTERED_AT_ONCE or self.recorded - self.added_up >= tuning.ADD_UP_AFTER_CALLS:
            self._add_up()
        self._hold(0)

    def _add_up(self) -> None:
        """Add up and list the kept calls that wait for it."""
        self.added_up = self.recorded
        if self.kept_parts:
            kept = LazyTable.concatenated(self.kept_parts)
            self.kept_parts = []
            self.totals.add(kept)
            self.by_request.add(kept)
            self.by_workload.add(kept)
            self.listed.add(kept)

    def _hold(self, size: int) -> None:
        """Count so many more bytes as held. Raises _FullError if that is too much."""
        self.held += size
        totals = (self.totals.nbytes, self.by_request.nbytes, self.by_workload.nbytes)
        totals_size = sum(totals) + len(self.available) * tuning.RECORD_OVERHEAD
        held = self.held + self.listed.nbytes + self.unlisted.nbytes + totals_size
        if totals_size > tuning.MAX_TOTALS_BYTES or held > tuning.MAX_HELD_BYTES:
            raise _FullError


HANDLERS: Handlers[_Loader] = {
    Meta: ignore,  # Reader.meta
    Calls: _Loader.add_calls,
    Completions: _Loader.pass_completions,
    Connections: _Loader.add_connections,
    ShortCalls: _Loader.add_short_calls,
    PackedStacks: _Loader.add_stacks,
    Process: _Loader.add_process,
    Module: _Loader.add_module,
    Section: _Loader.add_section,
    JitMap: _Loader.add_jit_map,
    Code: _Loader.add_code,
    HeadText: ignore,  # `read_ends` has read them
    Heads: ignore,
    CallCauses: _Loader.add_call_causes,
    Lost: _Loader.add_lost,
    End: _Loader.add_end,
}
