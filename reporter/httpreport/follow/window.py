"""Define `Window`: the last calls of a growing capture, whose ends and heads may still come.

A record comes after those that it refers to (format/FORMAT.md). So the records from some point on say all that is still
to come about the calls from there on, and what stands before that point can be forgotten once its calls are counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import accumulate
from typing import Any, Union

import numpy as np
import numpy.typing as npt

from httpcapture import Calls, Completions, Heads, HeadText, Meta, PackedStacks, Process, Record

from ..calls.call_keys import CallKeys
from ..calls.filters import Selection
from ..calls.lazy_table import LazyTable, column_types
from ..calls.schema import COMPLETION, RECORDED
from ..capture.ends import Ends
from ..capture.loader import gather
from .counted import Counted

MOST_ROWS = 1 << 15  # of a window: calls, and what came about calls

Entry = Union[Calls, Completions, Heads]
_NO_CALL_HAS_IT = HeadText((1 << 32) - 1, b"")  # the heads of a capture are known by number; this one is free


def size_of(record: Record | PackedStacks) -> int:
    """Return how many rows a record has; 1 if it is one."""
    if isinstance(record, Heads):
        return len(record.connections) // 8
    return record.rows if isinstance(record, (Calls, Completions)) else 1


@dataclass(frozen=True)
class Window:
    """Hold records about calls in the order of the file, and all texts and processes that they refer to.

    `is_whole` says that no more ends of responses will come.
    """

    meta: Meta
    selection: Selection
    entries: tuple[Entry, ...] = ()
    texts: Mapping[int, bytes] = field(default_factory=dict)  # of heads, by number
    processes: tuple[Process, ...] = ()
    is_whole: bool = False

    @cached_property
    def counted(self) -> Counted:
        """Return the totals of its calls."""
        return self._count(self.entries, self.selection)

    def since(self, began_ns: int) -> Counted:
        """Return the totals of its calls that began then or later, in ns on CLOCK_MONOTONIC."""
        later = replace(self.selection, since_ns=max(self.selection.since_ns, began_ns))
        return self._count(self.entries, later)

    @cached_property
    def first_ns(self) -> int:
        """Return about when its first call was recorded, in ns on CLOCK_MONOTONIC; 0 if it has none."""
        first = next((entry for entry in self.entries if isinstance(entry, Calls) and entry.rows), None)
        return 0 if first is None else int(self._table([first])["t2"][0])

    def check(self, entry: Entry) -> None:
        """Raise CorruptRecord if a column is damaged, and ReportError if the capture lacks one."""
        if not isinstance(entry, Heads):
            self._table([entry]).unpack()

    def settle(self) -> tuple[Counted, Window]:
        """Return the totals of the first calls, and the rest; it has at most half as many rows as a window may have."""
        sizes = list(accumulate(map(size_of, reversed(self.entries))))
        rest = len(self.entries) - sum(size <= MOST_ROWS // 2 for size in sizes)
        return self._count(self.entries[:rest], self.selection), replace(self, entries=self.entries[rest:])

    @property
    def is_full(self) -> bool:
        """Return whether it has more rows than a window may have."""
        return sum(map(size_of, self.entries)) > MOST_ROWS

    def strangers(self, entries: Iterable[Entry]) -> int:
        """Return how many of the calls that these ends and heads are about are not in the window."""
        keys = CallKeys()
        none = np.zeros(0, np.uint64)
        named = [keys.add(*self._names(entry)) for entry in entries if not isinstance(entry, Calls)]
        known = np.unique(np.concatenate([none, *named]))
        calls = [entry for entry in self.entries if isinstance(entry, Calls)]
        found = np.unique(keys.find(self._table(calls), known)[1]) if calls else none
        return len(known) - len(found)

    def _count(self, entries: Sequence[Entry], selection: Selection) -> Counted:
        calls = [entry for entry in entries if isinstance(entry, Calls)]
        return Counted.of(gather(self.meta, selection, self._ends(), [*self.processes, *calls]))

    def _ends(self) -> Ends:
        """Return all ends and heads of the window. They are made anew each time, since counting uses them up."""
        ends = Ends(self.meta)
        heads = [entry for entry in self.entries if isinstance(entry, Heads)]
        columns = [np.frombuffer(column, "<u4") for entry in heads for column in (entry.requests, entry.responses)]
        used = np.unique(np.concatenate([np.zeros(0, np.uint32), *columns])).tolist()
        for number in self.texts.keys() & set(used):
            ends.heads.add_text(HeadText(number, self.texts[number]))
        if self.texts or self.meta.heads:  # then calls without a head count as not known
            ends.heads.add_text(_NO_CALL_HAS_IT)
        for entry in self.entries:
            if isinstance(entry, Heads):
                ends.heads.add(entry)
            elif isinstance(entry, Completions):
                ends.add(entry)
        ends.finish(whole=self.is_whole)
        return ends

    def _names(self, entry: Union[Completions, Heads]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """Return connection and sequence of each call that a record is about."""
        if isinstance(entry, Heads):
            return np.frombuffer(entry.connections, "<u8"), np.frombuffer(entry.sequences, "<u4")
        table = self._table([entry])
        return table["connection"], table["sequence"]

    def _table(self, batches: Sequence[Union[Calls, Completions]]) -> LazyTable:
        are_calls = isinstance(batches[0], Calls)
        layout, wanted = (self.meta.call_layout, RECORDED) if are_calls else (self.meta.completion_layout, COMPLETION)
        return LazyTable(column_types(layout, wanted), batches, sum(batch.rows for batch in batches))
