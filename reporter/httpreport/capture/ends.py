"""Read what comes later in a capture than the calls that it is about, before the calls are read: the ends of responses,
and the heads of requests and responses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import cached_property

from httpcapture import Completions, CorruptRecord, End, Heads, HeadText, Lost, Meta, Reader

from ..calls.call_ends import CallEnds
from ..calls.call_heads import CallHeads
from ..calls.lazy_table import ColumnTypes, LazyTable, column_types
from ..calls.schema import COMPLETION
from ..common import tuning
from .lost_completions import completions_lost


def read_ends(reader: Reader) -> Ends:
    """Return the ends of responses and the heads, up to the first damage. Raises ReportError if the capture lacks a
    column."""
    ends = Ends(reader.meta)
    whole = False
    try:
        for record in reader.only(Completions, HeadText, Heads, Lost, End):
            if isinstance(record, Completions):
                ends.add(record)
            elif isinstance(record, HeadText):
                ends.heads.add_text(record)
            elif isinstance(record, Heads):
                ends.heads.add(record)
            elif isinstance(record, (Lost, End)):
                ends.lost.update(record.counts if isinstance(record, Lost) else record.lost)
        whole = reader.cut_off is None
    except CorruptRecord:
        pass  # if it is not in a column of completions, whoever reads the capture finds it again
    ends.finish(whole=whole)
    return ends


class Ends:
    """Hold the ends of responses and the heads in one capture."""

    def __init__(self, meta: Meta) -> None:
        self.of_calls = CallEnds()
        self.heads = CallHeads()
        self.all_known = False
        """Whether none was lost or not read, so that an answered call without one ended with its row."""
        self.lost: Counter[str] = Counter()
        self._meta = meta
        self._waiting: list[Completions] = []
        self._damage: CorruptRecord | None = None  # in a column of the last batch that was added
        self._batches = 0  # that were added and are yet to be passed

    @cached_property
    def _types(self) -> ColumnTypes:
        return column_types(self._meta.completion_layout, COMPLETION)

    @property
    def left_out(self) -> Mapping[tuple[type, str], int]:
        """Return how many completions were too many, in the form of Reader.left_out."""
        count = self.of_calls.left_out
        return {(Completions, f"{tuning.MAX_COMPLETIONS:,}"): count} if count else {}

    def add(self, batch: Completions) -> None:
        """Add a batch. Raises CorruptRecord, and ReportError if the capture lacks a column."""
        self._batches += 1
        try:
            LazyTable(self._types, [batch], batch.rows).unpack()
        except CorruptRecord as error:
            self._damage = error
            raise
        self._waiting.append(batch)
        if sum(waiting.rows for waiting in self._waiting) >= tuning.CALLS_FILTERED_AT_ONCE:
            self._add_waiting()

    def finish(self, *, whole: bool) -> None:
        """Prepare the ends for look-ups. `whole` says whether the capture was read to its end."""
        self._add_waiting()
        self.of_calls.finish()
        self.heads.finish()
        self.all_known = whole and not self.of_calls.left_out and not completions_lost(self.lost)

    def pass_batch(self, _batch: Completions) -> None:
        """Pass a batch when the capture is read again. Raises CorruptRecord at the one that is damaged."""
        self._batches -= 1
        if self._damage and not self._batches:
            raise self._damage

    def _add_waiting(self) -> None:
        batches = [batch for batch in self._waiting if batch.rows]
        self._waiting = []
        if batches:
            self.of_calls.add(LazyTable(self._types, batches, sum(batch.rows for batch in batches)))
