"""Find the row of a module's .eh_frame for an address: how to get from a frame to its caller.

.eh_frame_hdr is searched by bisection; if it is missing or unusable, .eh_frame is read through once. CIEs, FDEs and
rows are parsed when they are first needed, and kept. Nothing raises: hostile information becomes a BadCfi as a value.

Formats: LSB Core 5.0, 10.6 (.eh_frame and .eh_frame_hdr).
"""

from __future__ import annotations

import struct
import sys
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ..elf.elf import Elf, Section
from .cfa import Alignment, CfaProgram, Row, Rule
from .dwarf import OMITTED, BadCfi, WorkBudget, pointer, sleb128, uleb128

MAX_SCANNED_ENTRIES = 1 << 18
MAX_CACHED_ROWS = 1 << 18
MAX_AUGMENTATION = 16
FIRST_WORK, WORK_A_ROW = 20000, 100  # CFA instructions: an allowance, and what each new row adds to it
WORK_A_CIE = 256

_TABLE_ENCODING = 0x3B  # datarel | sdata4: what all linkers write, and what bisection needs
_VERSIONS = (1, 3)
_WIDE_LENGTH = 0xFFFFFFFF
_U32 = struct.Struct("<I")
_DAMAGED = (BadCfi, IndexError, OverflowError, struct.error)


class _Cie(NamedTuple):
    alignment: Alignment
    augmented: bool  # FDEs have augmentation data too
    signal: bool
    return_address: int
    initial: CfaProgram


class Fde(NamedTuple):
    """Locate the unwind information of one function: its addresses [start, end) and where its instructions are."""

    start: int
    end: int
    instructions: int
    instructions_end: int
    cie: _Cie


class CallFrameInfo:
    """Read the .eh_frame of one module. Addresses are the module's own, without load bias."""

    def __init__(self, elf: Elf) -> None:
        self._frames = elf.section(".eh_frame") or Section(0, b"")
        self._cies: dict[int, _Cie] = {}
        self._fdes: dict[int, Fde | BadCfi] = {}
        self._rows: dict[int, Row | BadCfi | None] = {}
        self._budget = WorkBudget(FIRST_WORK)
        self._starts: Sequence[int]
        self._fde_addresses: Sequence[int]
        header = elf.section(".eh_frame_hdr")
        found = _search_table(header) if header else None
        if found:
            self._base, self._starts, self._fde_addresses = found
        else:
            self._base = 0
            table = sorted(self._scan())
            self._starts, self._fde_addresses = [start for start, _ in table], [address for _, address in table]

    def row(self, address: int) -> Row | BadCfi | None:
        """Return the row at `address`, None if no function is described there, a BadCfi if the description is bad."""
        try:
            return self._rows[address]
        except KeyError:
            pass
        if len(self._rows) >= MAX_CACHED_ROWS:
            self._rows.clear()
        row: Row | BadCfi | None
        try:
            row = self._run(address)
        except _DAMAGED as error:
            row = _as_bad_cfi(error)
        self._rows[address] = row
        return row

    def function_start(self, address: int) -> int | None:
        """Return where the function around `address` begins by its FDE: a stable key if there is no symbol."""
        fde = self._fde(address)
        return fde.start if isinstance(fde, Fde) else None

    def _run(self, address: int) -> Row | BadCfi | None:
        fde = self._fde(address)
        if not isinstance(fde, Fde):
            return fde
        self._budget.left = max(self._budget.left, 0) + WORK_A_ROW
        program = CfaProgram(fde.cie.alignment, fde.cie.initial, self._budget)
        instructions = self._frames.data[fde.instructions : fde.instructions_end]
        program.run(instructions, self._frames.address + fde.instructions, fde.start, address)
        if program.cfa is None:
            raise BadCfi("no rule for the CFA")
        cie = fde.cie
        caller = program.rules.get(cie.return_address)
        outermost = caller is not None and caller.kind is Rule.UNDEFINED
        return Row(program.cfa, tuple(program.rules.items()), cie.return_address, cie.signal, outermost)

    def _fde(self, address: int) -> Fde | BadCfi | None:
        index = bisect_right(self._starts, address - self._base) - 1
        if index < 0:
            return None
        offset = self._base + self._fde_addresses[index] - self._frames.address
        if offset not in self._fdes:
            try:
                self._fdes[offset] = self._parse_fde(offset)
            except _DAMAGED as error:
                self._fdes[offset] = _as_bad_cfi(error)
        fde = self._fdes[offset]
        return fde if isinstance(fde, BadCfi) or fde.start <= address < fde.end else None

    def _scan(self) -> Iterator[tuple[int, int]]:
        """Yield start and address of every FDE as far as the entries follow each other."""
        offset = 0
        for _ in range(MAX_SCANNED_ENTRIES):
            try:
                end = self._entry_end(offset)
                if _U32.unpack_from(self._frames.data, offset + 4)[0]:
                    yield self._parse_fde(offset).start, offset + self._frames.address
            except _DAMAGED:
                return
            offset = end

    def _entry_end(self, offset: int) -> int:
        if not 0 <= offset < len(self._frames.data):
            raise BadCfi("an entry outside .eh_frame")
        (length,) = _U32.unpack_from(self._frames.data, offset)
        if length in (0, _WIDE_LENGTH):
            raise BadCfi("the end mark of .eh_frame, or an entry of the 64-bit format")
        end: int = offset + 4 + length
        if end > len(self._frames.data):
            raise BadCfi("an entry reaches beyond .eh_frame")
        return end

    def _parse_fde(self, offset: int) -> Fde:
        data, base, end = self._frames.data, self._frames.address, self._entry_end(offset)
        (distance,) = _U32.unpack_from(data, offset + 4)
        if not distance:
            raise BadCfi("a CIE where an FDE should be")
        cie = self._cie(offset + 4 - distance)
        encoding = cie.alignment.pointer_encoding
        at = offset + 8
        start, at = pointer(data, at, encoding, base + at)
        size, at = pointer(data, at, encoding & 0x0F, 0)
        if cie.augmented:
            length, at = uleb128(data, at)
            at += length
        return Fde(start, start + size, at, end, cie)

    def _cie(self, offset: int) -> _Cie:
        if offset not in self._cies:
            self._cies[offset] = self._parse_cie(offset)
        return self._cies[offset]

    def _parse_cie(self, offset: int) -> _Cie:
        data, end = self._frames.data, self._entry_end(offset)
        if _U32.unpack_from(data, offset + 4)[0] or data[offset + 8] not in _VERSIONS:
            raise BadCfi("not a CIE of version 1 or 3")
        letters = data[offset + 9 : offset + 9 + MAX_AUGMENTATION].partition(b"\0")[0]
        at = offset + 9 + len(letters) + 1
        code, at = uleb128(data, at)
        factor, at = sleb128(data, at)
        return_address, at = (data[at], at + 1) if data[offset + 8] == 1 else uleb128(data, at)
        encoding, at = self._augmentation(letters, at)
        alignment = Alignment(code, factor, encoding)
        initial = CfaProgram(alignment, None, WorkBudget(WORK_A_CIE))
        initial.run(data[at:end], self._frames.address + at, 0, 0)
        return _Cie(alignment, letters[:1] == b"z", b"S" in letters, return_address, initial)

    def _augmentation(self, letters: bytes, at: int) -> tuple[int, int]:
        """Return the encoding of the pointers in FDEs, and where the CIE's instructions begin."""
        data, encoding = self._frames.data, 0
        if not letters:
            return encoding, at
        if letters[:1] != b"z":
            raise BadCfi(f"CIE augmentation {letters!r}")
        length, at = uleb128(data, at)
        end = at + length
        for letter in letters[1:]:
            if letter == ord("R"):
                encoding, at = data[at], at + 1
            elif letter == ord("L"):
                at += 1
            elif letter == ord("P"):  # the personality routine, of no use here
                at = pointer(data, at + 1, data[at] & 0x0F, 0)[1]
            elif letter not in b"SB":
                raise BadCfi(f"CIE augmentation {letters!r}")
        return encoding, end


_Table = tuple[int, "array[int]", "array[int]"]


def _search_table(header: Section) -> _Table | None:
    """Return the table of .eh_frame_hdr: its address and, relative to that, starts of functions and of their FDEs."""
    data, address = header.data, header.address
    try:
        _, frames_encoding, count_encoding, table_encoding = data[:4]
        if OMITTED in (frames_encoding, count_encoding) or table_encoding != _TABLE_ENCODING:
            return None
        _, at = pointer(data, 4, frames_encoding, address + 4, address)
        count, at = pointer(data, at, count_encoding, address + at, address)
    except (*_DAMAGED, ValueError):
        return None
    if not 0 < count <= (len(data) - at) // 8:
        return None
    table = array("i", data[at : at + 8 * count])
    if sys.byteorder == "big":
        table.byteswap()
    return address, table[0::2], table[1::2]


def _as_bad_cfi(error: Exception) -> BadCfi:
    return error if isinstance(error, BadCfi) else BadCfi("the information ends too early")
