"""Redact rows of calls and completions. They keep the columns of the capture that this version knows."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from httpcapture import NO_ROWS, Calls, Completions, Connections, Field, Layout, Meta, ShortCalls
from httpcapture.codings import FIELD_CODINGS, GROUP, SHORT_CODINGS

from ..calls import protocol
from ..calls.lazy_table import LazyTable, column_types, known_columns
from ..calls.schema import COMPLETION, CONNECTION, RECORDED, SHORT, Array
from .masks import AddressMasks, NumberMasks

# What calls of a connection share comes first, as in httprec's rows.
_COMMON = [name for name, coding in FIELD_CODINGS.items() if coding == GROUP]
_NAMES = (*_COMMON, *(name for name in RECORDED.names or () if name not in _COMMON))
_UNITS = {
    **dict.fromkeys(("process_start", "t0", "t1", "t2", "t3", "connect_time", "handshake_time"), "ns"),
    **dict.fromkeys(("sent", "received"), "bytes"),
}

COMPLETION_ROW, SHORT_ROW, CONNECTION_ROW = (
    np.dtype([(name, row[name]) for name in row.names or ()], align=True) for row in (COMPLETION, SHORT, CONNECTION)
)


def call_row(meta: Meta) -> np.dtype[np.void]:
    """Return the dtype of the redacted calls of a capture. A column that the capture lacks stays unknown."""
    known = known_columns(meta.call_layout)
    return np.dtype([(name, RECORDED[name]) for name in _NAMES if name in known], align=True)


def layout(row: np.dtype[np.void], codings: Mapping[str, str] = FIELD_CODINGS) -> Layout:
    """Return the layout of rows of this dtype as they are in memory."""
    return Layout(row.itemsize, tuple(_field(row, name, codings) for name in row.names or ()))


def short_layouts(meta: Meta) -> tuple[Layout, Layout]:
    """Return the layouts of the redacted calls below the threshold, and of what they have in common."""
    if not meta.short_layout.fields:
        return NO_ROWS, NO_ROWS
    return layout(SHORT_ROW, SHORT_CODINGS), layout(CONNECTION_ROW)


def _field(row: np.dtype[np.void], name: str, codings: Mapping[str, str]) -> Field:
    assert row.fields is not None
    kind, offset, *_ = row.fields[name]
    text = f"bytes{kind.itemsize}" if kind.kind == "S" else f"u{8 * kind.itemsize}"
    return Field(name, text, offset, _UNITS.get(name, ""), codings.get(name, ""))


class RedactedRows:
    """Redact the batches of one capture. Raises ReportError if a column is missing."""

    def __init__(self, meta: Meta) -> None:
        self.addresses, self.cgroups, self.sequence_numbers = AddressMasks(), NumberMasks(), NumberMasks()
        self.heads = 0
        """How many requests and responses had recorded first bytes."""
        self._meta, self._call_row = meta, call_row(meta)
        self._names = frozenset(self._call_row.names or ())

    def calls(self, batch: Calls) -> bytes:
        """Return the redacted calls as rows of `call_row`."""
        table = LazyTable(column_types(self._meta.call_layout, RECORDED), [batch], batch.rows)
        rows = table.to_array(self._call_row)
        self._mask(rows)
        heads = table["request_head"], table["response_head"]
        self.heads += sum(int(np.count_nonzero(head)) for head in heads)
        for name, bare in zip(("request_head", "response_head"), protocol.without_content(*heads)):
            if name in self._names:
                rows[name] = bare
        return rows.tobytes()

    def completions(self, batch: Completions) -> bytes:
        """Return the completions as rows of COMPLETION_ROW."""
        types = column_types(self._meta.completion_layout, COMPLETION)
        return LazyTable(types, [batch], batch.rows).to_array(COMPLETION_ROW).tobytes()

    def short_calls(self, batch: ShortCalls) -> bytes:
        """Return the redacted calls below the threshold as rows of SHORT_ROW."""
        return self._masked(LazyTable(column_types(self._meta.short_layout, SHORT), [batch], batch.rows), SHORT_ROW)

    def connections(self, batch: Connections) -> bytes:
        """Return what they have in common as rows of CONNECTION_ROW."""
        types = column_types(self._meta.connection_layout, CONNECTION)
        return self._masked(LazyTable(types, [batch], batch.rows), CONNECTION_ROW)

    def _masked(self, table: LazyTable, row: np.dtype[np.void]) -> bytes:
        rows = table.to_array(row)
        self._mask(rows)
        return rows.tobytes()

    def _mask(self, rows: Array) -> None:
        """Replace what tells something of a host in the fields that rows have."""
        names = frozenset(rows.dtype.names or ())
        for name in names & {"comm", "process"}:
            rows[name] = _up_to_nul(rows[name])
        for name in names & {"local_address", "peer_address"}:
            rows[name] = self.addresses.masked(rows[name])
        for name in names & {"cgroup"}:
            rows[name] = self.cgroups.masked(rows[name])
        for name in names & {"request_seq", "response_seq"}:
            rows[name] = self.sequence_numbers.masked(rows[name].astype(np.uint64))


def _up_to_nul(names: npt.NDArray[np.bytes_]) -> npt.NDArray[np.bytes_]:
    """Clear the bytes after the first NUL of each name: they may be the rest of an earlier name."""
    letters = np.ascontiguousarray(names).view(np.uint8).reshape(len(names), names.dtype.itemsize)
    letters[np.logical_or.accumulate(letters == 0, axis=1)] = 0
    return letters.view(names.dtype).reshape(-1)
