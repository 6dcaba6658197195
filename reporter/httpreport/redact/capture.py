"""Write a redacted capture.

First come the records that are made from a recording, the first reading (`records.py`). Then a second reading copies
calls (`calls.py`) and the ledger, one batch at a time. The causes of calls (`causes.py`) follow them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Callable

from httpcapture import (
    BeyondLimitError,
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
    Section,
    ShortCalls,
    Stack,
    Writer,
)

from ..capture.record_handlers import Handlers, ignore
from ..capture.recording import Recording
from ..common.errors import ReportError
from ..report.warnings import Cause, ReportWarning, cut_off
from ..symbols.binary import FindBinary
from ..symbols.symbolizer import Symbolizer
from .calls import RedactedRows
from .heads import RedactedHeads
from .records import RedactedRecords
from .stacks import RedactedStacks

_WRITE: dict[type, Callable[[Writer, Any], None]] = {
    Module: Writer.module,
    Section: Writer.section,
    Process: Writer.process,
    JitMap: Writer.jit_map,
    Code: Writer.code,
    Stack: Writer.stack,
}


class Redaction:
    """Redact one capture. `find_binary` supplies the binaries that the capture lacks to unwind its stacks, and `causes`
    are those of its calls (causes.py)."""

    def __init__(self, recording: Recording, find_binary: FindBinary, causes: Sequence[CallCauses]) -> None:
        self._recording, self._causes = recording, causes
        self._stacks = RedactedStacks(recording, Symbolizer(recording, find_binary))
        self._records = RedactedRecords(recording, self._stacks)
        self._rows = RedactedRows(recording.meta)
        self._heads = RedactedHeads(recording.request_keys)
        self._damage: str | None = None  # damage that only the second reading found
        self._beyond = 0  # records that exceed the format's limits

    def pieces(self, reader: Reader) -> Iterator[bytes]:
        """Yield the bytes of the redacted capture. `reader` reads the same capture again.

        Raises ReportError and CaptureError.
        """
        if reader.meta != self._recording.meta:
            raise ReportError(f"{reader.name} changed while it was read: try again")
        written = _Written()
        writer = Writer(written, self._records.meta())
        copy = _Copy(writer, self._rows, self._heads)
        for record in self._records:
            try:
                _WRITE[type(record)](writer, record)
            except BeyondLimitError:  # a mask may be longer than what it stands for
                self._beyond += 1
            yield from written.taken()
        end = self._recording.end if self._recording.cut_off is None else None
        try:
            for again in reader.packed():
                HANDLERS[type(again)](copy, again)
                yield from written.taken()
        except CorruptRecord as error:  # the recording ends there too, or did not need the column that is damaged
            end, self._damage = None, str(error)
        for causes in self._causes:
            writer.call_causes(causes)
        if end is None:
            writer.flush()
        else:
            writer.end(self._records.end(end))
        yield from written.taken()

    def warnings(self) -> Iterator[ReportWarning]:
        """Yield what the redacted capture lacks and the recording has. Call it after the pieces have been written."""
        if self._damage is not None and self._damage != self._recording.cut_off:
            yield cut_off(self._damage)
        if self._stacks.left_out:
            count = f"stacks left out for lack of memory: {self._stacks.left_out:,}"
            yield ReportWarning(Cause.LIMIT, f"{count}: their calls have no stack; record in parts")
        if self._beyond:
            count = f"records left out, since they exceed a limit of the format: {self._beyond:,}"
            yield ReportWarning(Cause.LIMIT, f"{count}: some frames have no name")

    def lines(self) -> Iterator[str]:
        """Yield the lines that say what was removed, masked and kept. Call it after the pieces have been written."""
        yield from (f"  removed   {what}" for what in self._removed())
        yield from (f"  masked    {what}" for what in self._masked())
        causes = sum(len(record.rules) for record in self._causes)
        yield f"  kept      causes of calls: {causes:,}"
        yield "  kept      names of processes, threads, functions and files, -p filters, build IDs"
        yield "  kept      ports, pids, times, sizes, addresses of code, kernel, limits"

    def _removed(self) -> Iterator[str]:
        stacks, records, rows = self._stacks, self._records, self._rows
        yield f"registers and stack bytes of stacks: {stacks.copies:,} ({stacks.copied / 1024:,.1f} KiB)"
        yield f"modules without frames: {records.modules:,} of {len(self._recording.modules):,}"
        yield f"mappings without frames: {records.mappings:,}"
        yield f"functions made at run time without frames: {records.functions:,}"
        yield f"first bytes of {rows.heads:,} payloads, except method, version, status and TLS mark"
        yield "queries and most header lines of heads"
        yield "boot ID, ID of the recording, devices and inodes of files"

    def _masked(self) -> Iterator[str]:
        yield f"host: {self._records.host}"
        yield f"IP addresses: {len(self._rows.addresses):,}; loopback stays"
        heads = self._heads
        paths = f"paths of requests: {len(heads.paths):,}, of so many routes: {len(heads.routes):,}"
        yield f"{paths}; their hosts: {len(heads.hosts):,}; ids: {len(heads.ids):,}"
        yield f"folders: {len(self._records.paths):,}; system folders such as /usr/lib stay"
        yield f"cgroups: {len(self._rows.cgroups):,}"
        yield f"sequence numbers of TCP: {len(self._rows.sequence_numbers):,}"
        yield f"names and IDs of containers, pods and units: {len(self._records.workloads):,}"
        yield f"frames outside any mapping: {self._stacks.masked:,}"


class _Copy:
    """Write the records of the second reading that are redacted one by one."""

    def __init__(self, writer: Writer, rows: RedactedRows, heads: RedactedHeads) -> None:
        self._writer, self._rows, self._heads = writer, rows, heads

    def add_calls(self, batch: Calls) -> None:
        self._writer.calls(self._rows.calls(batch))

    def add_completions(self, batch: Completions) -> None:
        self._writer.completions(self._rows.completions(batch))

    def add_connections(self, batch: Connections) -> None:
        self._writer.connections(self._rows.connections(batch))

    def add_short_calls(self, batch: ShortCalls) -> None:
        self._writer.short_calls(self._rows.short_calls(batch))

    def add_head_text(self, head: HeadText) -> None:
        self._writer.head_text(self._heads.redacted(head))

    def add_heads(self, heads: Heads) -> None:
        self._writer.heads(heads)

    def add_lost(self, lost: Lost) -> None:
        self._writer.lost(lost)


_from_recording = ignore  # `RedactedRecords` makes them from the first reading
_from_report = ignore  # `causes_in` makes them

HANDLERS: Handlers[_Copy] = {
    Meta: _from_recording,
    Module: _from_recording,
    Section: _from_recording,
    Process: _from_recording,
    JitMap: _from_recording,
    Code: _from_recording,
    PackedStacks: _from_recording,
    HeadText: _Copy.add_head_text,
    Heads: _Copy.add_heads,
    CallCauses: _from_report,
    Calls: _Copy.add_calls,
    Completions: _Copy.add_completions,
    Connections: _Copy.add_connections,
    ShortCalls: _Copy.add_short_calls,
    Lost: _Copy.add_lost,
    End: _from_recording,
}


class _Written:
    """Hold what the writer wrote until it is taken."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, data: bytes | memoryview, /) -> int:
        self._pieces.append(bytes(data))
        return len(data)

    def taken(self) -> list[bytes]:
        pieces, self._pieces = self._pieces, []
        return pieces
