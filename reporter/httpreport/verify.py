"""`httpreport --verify`: whether a capture is whole and agrees with itself, told by what is wrong, and where.

Reading checks every checksum, size, type and limit of the format; here its counts and references are checked as well.
What the recorder itself counted as lost is no fault of the file, and a reference to something that was lost neither.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

import numpy as np

from httpcapture import (
    BatchColumns,
    Calls,
    CaptureError,
    Completions,
    End,
    JitMap,
    Module,
    Process,
    Reader,
    Record,
    Section,
    Stack,
    StackStatus,
)

from . import seek_table
from .calls import RECORDED
from .carried import NOT_FOLLOWING, Wholes, add_part
from .clean import printable
from .columns import Columns, types_of
from .errors import ReportError
from .numbering import Numbering

_COUNTED: dict[type, str] = {
    Calls: "calls",  # by row, as the next
    Completions: "completions",
    Stack: "stacks",
    Process: "process maps",
    Module: "modules",
    Section: "parts of modules",
    JitMap: "parts of JIT maps",
}


@dataclass(frozen=True)
class Verdict:
    """What was found in a capture. Texts are safe to print."""

    file: str
    counts: dict[str, int] = field(default_factory=dict)  # by kind of record
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()  # what is unusual and no fault of the file


def verify(name: str, file: BinaryIO) -> Verdict:
    """The verdict on the capture in `file`, which can be read again. What is wrong with it is part of the verdict.
    Raises OSError where it cannot be read."""
    checks = _Checks()
    problems: list[str] = []
    try:
        reader = Reader(file, name)
        checks.read(reader)
        problems += [reader.cut_off] if reader.cut_off else []
        problems += filter(None, [seek_table.check(file)])
    except (CaptureError, ReportError) as error:
        problems.append(f"{error}: nothing after that was checked")
    problems += checks.problems()
    return Verdict(printable(name), dict(checks.counts), tuple(map(printable, problems)), tuple(checks.notes()))


def lines(verdict: Verdict) -> Iterator[str]:
    """What is printed of a verdict."""
    counts = ", ".join(f"{count:,} {kind}" for kind, count in verdict.counts.items())
    yield f"{verdict.file}: {'damaged' if verdict.problems else 'whole'}: {counts or 'nothing could be read'}"
    yield from (f"  wrong: {problem}" for problem in verdict.problems)
    yield from (f"  note: {note}" for note in verdict.notes)


def _unpack(columns: BatchColumns) -> None:
    """Raise CorruptRecord where a column is damaged."""
    for name in columns:
        columns.coded(name)
    if columns.grouped:
        len(columns.group_sizes)


class _Checks:
    """What can be told wrong once all records were seen."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._stacks, self._modules = set[int](), set[int]()
        self._again: Counter[str] = Counter()  # ids that came twice
        self._asked_stacks, self._asked_modules = Numbering(), set[int]()
        self._processes, self._asked_processes = set[int](), set[int]()
        self._parts: dict[int, Wholes] = {}
        self._impossible = 0
        self._end: End | None = None

    def read(self, reader: Reader) -> None:
        types = None
        for record in reader:
            self._count(record)
            if isinstance(record, (Calls, Completions)):
                _unpack(record.columns)
            if isinstance(record, Calls):
                types = types or types_of(reader.meta.call_layout, RECORDED)
                columns = Columns(types, [record], record.rows)
                self._impossible += columns.make_possible()
                for side in ("stack", "receive_stack"):
                    self._asked_stacks.number(columns[side][columns[f"{side}_status"] == StackStatus.RECORDED])
            else:
                self._refer(record)

    def _count(self, record: Record) -> None:
        if type(record) in _COUNTED:
            self.counts[_COUNTED[type(record)]] += record.rows if isinstance(record, (Calls, Completions)) else 1

    def _refer(self, record: Record) -> None:
        if isinstance(record, Stack):
            self._again["stacks"] += record.id in self._stacks
            self._stacks.add(record.id)
            self._asked_processes.add(record.pid)
        elif isinstance(record, Module):
            self._again["modules"] += record.id in self._modules
            self._modules.add(record.id)
        elif isinstance(record, Process):
            self._processes.add(record.pid)
            self._asked_modules.update(mapped.module for mapped in record.modules)
        elif isinstance(record, Section):
            self._asked_modules.add(record.module)
            wholes = self._parts.setdefault(record.module, {})
            add_part(wholes, record)
        elif isinstance(record, JitMap):
            self._asked_processes.add(record.pid)
        elif isinstance(record, End):
            self._end = record

    def problems(self) -> Iterator[str]:
        if self._end is not None and self._end.recorded != self.counts["calls"]:
            yield f"END says that {self._end.recorded:,} calls were written, {self.counts['calls']:,} are here"
        if self._impossible:
            yield f"calls that end before they begin: {self._impossible:,}"
        yield from (f"{what} whose id came before: {count:,}" for what, count in self._again.items() if count)
        for module, wholes in self._parts.items():
            for name, whole in wholes.items():
                if whole.problem == NOT_FOLLOWING:
                    yield f"module {module}, {name or 'the file'}: {NOT_FOLLOWING}"

    def notes(self) -> Iterator[str]:
        asked = self._asked_stacks.values[0]
        missing = np.setdiff1d(asked, np.fromiter(self._stacks, np.uint64, len(self._stacks)))
        if len(missing):
            yield f"stacks that calls refer to and that are not here: {len(missing):,}"
        if self._asked_modules - self._modules:
            yield f"modules that are referred to and are not here: {len(self._asked_modules - self._modules):,}"
        if self._asked_processes - self._processes:
            gone = len(self._asked_processes - self._processes)
            yield f"processes that stacks refer to and that are not here: {gone:,}"
        if self._end is not None and not self._end.clean:
            yield f"the recorder could not finish: {printable(self._end.reason)}"
        lost = {printable(cause): count for cause, count in (self._end.lost if self._end else {}).items() if count}
        yield from (f"lost while recording: {count:,} {cause}" for cause, count in lost.items())
