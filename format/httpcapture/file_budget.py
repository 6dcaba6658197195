"""Limit how much all records of a kind together may hold in one file.

The fields bound a single record. A program that keeps records needs a bound on their sum too: a part of a section that
consists of zeros takes a hundred bytes in the file and a mebibyte in memory. The writer writes nothing beyond these
limits; the reader leaves such records out and counts them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from dataclasses import replace
from typing import Optional, TypeVar, Union

from .records import CallCauses, Code, Heads, HeadText, JitMap, Lost, Module, Process, Section

MAX_SECTION = 256 << 20  # bytes of one section
MAX_SECTIONS = 512 << 20  # bytes that all SECTION records together count as; the next limits are alike
MAX_JIT_MAP = 16 << 20
MAX_JIT_MAPS = 256 << 20
MAX_CODES = 128 << 20
MAX_ALL_HEAD_TEXTS = 256 << 20
MAX_ALL_HEADS = 256 << 20
MAX_ALL_CALL_CAUSES = 256 << 20
MAX_PROCESSES = 512 << 20
MAX_ALL_MODULES = 128 << 20
MAX_CAUSES = 1 << 10  # distinct names in all LOST records
RECORD_BYTES = 1 << 10  # counted for each record, in addition to its texts and bytes
HEAD_TEXT_BYTES = 1 << 7  # the same for a head of a request or response: they are many
MAPPED_MODULE_BYTES = 256  # counted for each entry of Process.modules


AnyRecord = TypeVar("AnyRecord")
_Kept = Union[Module, Section, Process, JitMap, Code, HeadText, Heads, CallCauses]


class BeyondLimitError(ValueError):
    """Report a record that would exceed what all records of its kind may hold in one file."""


class FileBudget:
    """Keep account of how much more the records of one file may hold."""

    def __init__(self) -> None:
        self.left_out: Counter[tuple[type, str]] = Counter()
        """Number of records that `admit` left out, by class and by the limit in words."""
        self._left: dict[type, int] = {
            Module: MAX_ALL_MODULES,
            Section: MAX_SECTIONS,
            Process: MAX_PROCESSES,
            JitMap: MAX_JIT_MAPS,
            Code: MAX_CODES,
            HeadText: MAX_ALL_HEAD_TEXTS,
            Heads: MAX_ALL_HEADS,
            CallCauses: MAX_ALL_CALL_CAUSES,
        }
        self._of_one: Counter[Hashable] = Counter()  # bytes of each section and JIT map
        self._causes: set[str] = set()

    def admit(self, record: AnyRecord) -> Optional[AnyRecord]:
        """Charge the record and return it, or None if it exceeds a limit. If earlier parts of the same section or JIT
        map were admitted, return the part without its data instead, with the limit as its problem: the whole is
        incomplete."""
        limit = self.charge(record)
        if limit is None:
            return record
        self.left_out[type(record), limit] += 1
        if isinstance(record, (Section, JitMap)) and _whole(record)[0] in self._of_one:
            return replace(record, data=b"", problem=f"beyond the limit of {limit}")
        return None

    def charge(self, record: object) -> Optional[str]:
        """Charge the size of the record and return None; or charge nothing and return, in words, the limit that it
        exceeds."""
        if isinstance(record, Lost):
            return self._charge_causes(record)
        if not isinstance(record, (Module, Section, Process, JitMap, Code, HeadText, Heads, CallCauses)):
            return None
        size, left = _size(record), self._left[type(record)]
        if size > left:
            return _LIMITS[type(record)]
        if isinstance(record, (Section, JitMap)):
            key, most, words = _whole(record)
            if self._of_one[key] + len(record.data) > most:
                return words
            self._of_one[key] += len(record.data)
        self._left[type(record)] -= size
        return None

    def _charge_causes(self, record: Lost) -> Optional[str]:
        causes = self._causes | record.counts.keys()
        if len(causes) > MAX_CAUSES:
            return f"{MAX_CAUSES:,} causes of losses"
        self._causes = causes
        return None


_LIMITS: dict[type, str] = {
    Module: f"{MAX_ALL_MODULES >> 20} MiB of modules",
    Section: f"{MAX_SECTIONS >> 20} MiB of sections",
    Process: f"{MAX_PROCESSES >> 20} MiB of processes and their maps",
    JitMap: f"{MAX_JIT_MAPS >> 20} MiB of JIT maps",
    Code: f"{MAX_CODES >> 20} MiB of code objects",
    HeadText: f"{MAX_ALL_HEAD_TEXTS >> 20} MiB of heads",
    Heads: f"{MAX_ALL_HEADS >> 20} MiB of calls with heads",
    CallCauses: f"{MAX_ALL_CALL_CAUSES >> 20} MiB of causes of calls",
}


def _size(record: _Kept) -> int:
    """Return the number of bytes that a record counts as."""
    if isinstance(record, HeadText):
        return HEAD_TEXT_BYTES + len(record.text)
    if isinstance(record, (Heads, CallCauses)):
        return RECORD_BYTES + sum(map(len, vars(record).values()))
    size = RECORD_BYTES + len(record.problem)
    if isinstance(record, Module):
        return size + len(record.path) + len(record.build_id) + len(record.first_page_sha256)
    if isinstance(record, Process):
        names = len(record.name) + len(record.executable)
        return size + names + len(record.maps) + MAPPED_MODULE_BYTES * len(record.modules)
    if isinstance(record, Code):
        return size + len(record.name) + len(record.filename) + len(record.table) + len(record.line_ends)
    return size + len(record.data) + (len(record.name) if isinstance(record, Section) else 0)


def _whole(record: Section | JitMap) -> tuple[Hashable, int, str]:
    """Return the key of the section or JIT map to which a part belongs, how many bytes the whole may have, and that
    limit in words."""
    if isinstance(record, Section):
        return (record.module, record.name), MAX_SECTION, f"{MAX_SECTION >> 20} MiB of one section"
    key = (record.pid, record.process_start_ns, record.taken_ns)
    return key, MAX_JIT_MAP, f"{MAX_JIT_MAP >> 20} MiB of one JIT map"
