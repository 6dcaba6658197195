"""Check for `httpreport --verify` that a capture is complete and consistent, and list what is wrong and where.

The reader checks every checksum, size, type and limit of the format. This file also checks counts and references. A
loss that the recorder counted is no fault of the file, and neither is a reference to something that was lost.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO

import numpy as np

from httpcapture import (
    BatchColumns,
    CallCauses,
    Calls,
    CaptureError,
    Code,
    Completions,
    Connections,
    End,
    Heads,
    HeadText,
    JitMap,
    Layout,
    Lost,
    Meta,
    Module,
    Process,
    Reader,
    RowBatch,
    Section,
    ShortCalls,
    Stack,
    StackStatus,
)
from httpcapture.seek_table import check_seek_table

from ..calls.call_heads import CallHeads
from ..calls.lazy_table import ColumnTypes, ImpossibleTimes, LazyTable, column_types, unknown_fields
from ..calls.process_keys import ProcessKey
from ..calls.repeated_calls import RepeatedCalls
from ..calls.schema import COMPLETION, CONNECTION, RECORDED, SHORT
from ..common.errors import ReportError
from ..common.interning import Interner
from ..common.printable import printable
from .faults import Faults, gaps_in
from .module_sections import Extent, add_part, add_text
from .packed_stacks import MAX_STACKS, content_of
from .record_handlers import Handlers, ignore


@dataclass(frozen=True)
class Verdict:
    """List what was found in a capture. Its texts are safe to print."""

    file: str
    counts: dict[str, int] = field(default_factory=dict)  # by kind of record
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()  # what is unusual and no fault of the file


def verify(name: str, file: BinaryIO) -> Verdict:
    """Return the verdict on the capture in `file`, which must be seekable. Damage is part of the verdict.

    Raises OSError if the file cannot be read.
    """
    checks = _Checks()
    problems: list[str] = []
    try:
        reader = Reader(file, name)
        checks.read(reader)
        problems += [reader.cut_off] if reader.cut_off else []
        problems += filter(None, [check_seek_table(file)])
    except (CaptureError, ReportError) as error:
        problems.append(f"{error}: nothing after that was checked")
    faults = checks.faults()
    problems += [*faults.missing(), *faults.damage(), *faults.beyond_limits()]
    return Verdict(printable(name), dict(checks.counts), tuple(map(printable, problems)), tuple(checks.notes()))


def lines(verdict: Verdict) -> Iterator[str]:
    """Yield the lines that are printed for a verdict."""
    counts = ", ".join(f"{count:,} {kind}" for kind, count in verdict.counts.items())
    yield f"{verdict.file}: {'damaged' if verdict.problems else 'whole'}: {counts or 'nothing could be read'}"
    yield from (f"  wrong: {problem}" for problem in verdict.problems)
    yield from (f"  note: {note}" for note in verdict.notes)


def _unpack(columns: BatchColumns) -> None:
    """Unpack all columns. Raises CorruptRecord if one is damaged."""
    for name in columns:
        columns.coded(name)
    if columns.grouped:
        len(columns.group_sizes)


class _Checks:
    """Gather what is needed to find faults once all records have been seen."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._left_out: Mapping[tuple[type, str], int] = {}
        self._stacks, self._stack_processes = array("Q"), array("Q")  # of each stack: its id, its pid
        self._contents = array("q")  # of each stack: content_of
        self._asked_stacks, self._asked_modules = Interner(), set[int]()
        self._modules: dict[int, Module] = {}
        self._ambiguous = set[int]()  # ids of modules
        self._processes, self._asked_processes = set[int](), set[int]()
        self._sections: dict[int, dict[str, Extent]] = {}
        self._texts: dict[ProcessKey, dict[int, Extent]] = {}  # JIT maps
        self._heads = CallHeads()
        self._asked_heads = set[int]()
        self._impossible, self._repeated = ImpossibleTimes(), RepeatedCalls()
        self._types: dict[str, ColumnTypes | None] = {}  # of columns; by kind of batch
        self._meta: Meta  # set by the first record
        self._unchecked: dict[str, None] = {}
        self._end: End | None = None

    def read(self, reader: Reader) -> None:
        """Check the records of a capture. Raises CaptureError."""
        self._left_out = reader.left_out
        for record in reader:
            HANDLERS[type(record)](self, record)

    def add_meta(self, meta: Meta) -> None:
        self._meta = meta

    def add_calls(self, batch: Calls) -> None:
        self.counts["calls"] += batch.rows
        columns = self._columns(batch, "calls", self._meta.call_layout, RECORDED)
        if columns is None:
            return
        self._impossible += columns.clamp_times()
        self._repeated.add_calls(columns)
        for side in ("stack", "receive_stack"):
            if len(self._asked_stacks) < MAX_STACKS:
                self._asked_stacks.intern(columns[side][columns[f"{side}_status"] == StackStatus.RECORDED])

    def add_completions(self, batch: Completions) -> None:
        self.counts["completions"] += batch.rows
        columns = self._columns(batch, "completions", self._meta.completion_layout, COMPLETION)
        if columns is not None:
            self._repeated.add_completions(columns)

    def add_connections(self, batch: Connections) -> None:
        self.counts["connections"] += batch.rows
        self._columns(batch, "connections", self._meta.connection_layout, CONNECTION)

    def add_short_calls(self, batch: ShortCalls) -> None:
        self.counts["calls below the threshold"] += batch.rows
        columns = self._columns(batch, "calls below the threshold", self._meta.short_layout, SHORT)
        if columns is not None:
            self._impossible += columns.clamp_times()

    def _columns(self, batch: RowBatch, what: str, layout: Layout, wanted: np.dtype[np.void]) -> LazyTable | None:
        """Return the columns to check, None where the layout lacks one, which is no damage. Raises CorruptRecord."""
        _unpack(batch.columns)
        if what not in self._types:
            try:
                self._types[what] = column_types(layout, wanted)
                self._unchecked.update(dict.fromkeys(unknown_fields(layout) if wanted is RECORDED else ()))
            except ReportError as error:
                self._types[what] = None
                self._unchecked[f"{what} were not checked: {error}"] = None
        types = self._types[what]
        return LazyTable(types, [batch], batch.rows) if types else None

    def add_stack(self, stack: Stack) -> None:
        self.counts["stacks"] += 1
        if len(self._stacks) == MAX_STACKS:
            self._unchecked[f"only the first {MAX_STACKS:,} stacks were compared"] = None
            return
        self._stacks.append(stack.id)
        self._stack_processes.append(stack.pid)
        self._contents.append(content_of(stack))

    def add_process(self, process: Process) -> None:
        self.counts["process maps"] += 1
        self._processes.add(process.pid)
        self._asked_modules.update(mapped.module for mapped in process.modules)

    def add_module(self, module: Module) -> None:
        self.counts["modules"] += 1
        if self._modules.setdefault(module.id, module) != module:
            self._ambiguous.add(module.id)

    def add_section(self, part: Section) -> None:
        self.counts["parts of modules"] += 1
        self._asked_modules.add(part.module)
        add_part(self._sections.setdefault(part.module, {}), part, Extent)

    def add_jit_map(self, part: JitMap) -> None:
        self.counts["parts of JIT maps"] += 1
        self._asked_processes.add(part.pid)
        key = ProcessKey.of(self._meta, part.pid, part.process_start_ns)
        add_text(self._texts.setdefault(key, {}), part, Extent)

    def add_code(self, code: Code) -> None:
        self.counts["code objects"] += 1
        self._asked_processes.add(code.pid)

    def add_head_text(self, head: HeadText) -> None:
        self.counts["heads"] += 1
        self._heads.add_text(head)

    def add_heads(self, heads: Heads) -> None:
        self.counts["calls with heads"] += len(heads.sequences) // 4
        for numbers in (heads.requests, heads.responses):
            self._asked_heads.update(np.unique(np.frombuffer(numbers, "<u4")).tolist())

    def add_call_causes(self, causes: CallCauses) -> None:
        self.counts["causes of calls"] += len(causes.rules)

    def add_end(self, end: End) -> None:
        self._end = end

    def faults(self) -> Faults:
        jit_maps = ((key.pid, text) for key, texts in self._texts.items() for text in texts.values())
        return Faults(
            left_out=self._left_out,
            impossible=self._impossible,
            repeated=self._repeated.count(),
            modules=len(self._ambiguous),
            stacks=_ambiguous(self._stacks, self._contents),
            heads=len(self._heads.ambiguous),
            gaps=gaps_in(self._sections, jit_maps),
            written=self._end.recorded if self._end else None,
            recorded=self.counts["calls"],
        )

    def notes(self) -> Iterator[str]:
        yield from map(printable, self._unchecked)
        if self._repeated.is_full:
            yield "too many calls to compare connection and sequence of all of them"
        missing = np.setdiff1d(self._asked_stacks.values[0], np.frombuffer(self._stacks, np.uint64))
        if len(missing):
            yield f"stacks that calls refer to but the file lacks: {len(missing):,}"
        if self._asked_modules - self._modules.keys():
            gone = len(self._asked_modules - self._modules.keys())
            yield f"modules that records refer to but the file lacks: {gone:,}"
        heads = self._asked_heads - self._heads.numbers - {0}
        if heads:
            yield f"heads that calls refer to but the file lacks: {len(heads):,}"
        asked = self._asked_processes.union(np.unique(np.frombuffer(self._stack_processes, np.uint64)).tolist())
        if asked - self._processes:
            yield f"processes that stacks refer to but the file lacks: {len(asked - self._processes):,}"
        if self._end is not None and not self._end.clean:
            yield f"the recorder could not finish: {printable(self._end.reason)}"
        lost = {printable(cause): count for cause, count in (self._end.lost if self._end else {}).items() if count}
        yield from (f"lost while recording: {count:,} {cause}" for cause, count in lost.items())


HANDLERS: Handlers[_Checks] = {
    Meta: _Checks.add_meta,
    Calls: _Checks.add_calls,
    Completions: _Checks.add_completions,
    Connections: _Checks.add_connections,
    ShortCalls: _Checks.add_short_calls,
    Stack: _Checks.add_stack,
    Process: _Checks.add_process,
    Module: _Checks.add_module,
    Section: _Checks.add_section,
    JitMap: _Checks.add_jit_map,
    Code: _Checks.add_code,
    HeadText: _Checks.add_head_text,
    Heads: _Checks.add_heads,
    CallCauses: _Checks.add_call_causes,
    Lost: ignore,  # END has the last counts
    End: _Checks.add_end,
}


def _ambiguous(ids: array[int], contents: array[int]) -> int:
    """Return how many ids came with different contents."""
    values, order = np.frombuffer(ids, np.uint64), np.argsort(np.frombuffer(ids, np.uint64), kind="stable")
    values, content = values[order], np.frombuffer(contents, np.int64)[order]
    differ = (values[1:] == values[:-1]) & (content[1:] != content[:-1])
    return len(np.unique(values[1:][differ]))
