"""Find the symbol that covers an address. Outside of all sizes there is no name, never the nearest one.

`read_symbols` joins .symtab, .dynsym and the .symtab inside .gnu_debugdata into one `SymbolTable` sorted by address,
with one symbol an address. A symbol without a size has no range: what follows it up to the next symbol may be another
function, which the table does not list because it is local, hidden or stripped. So a function without a size names its
first address only, and a label none. Nothing here raises: what could not be read is a line in `SymbolTable.problems`.

Format: System V gABI chapter 4, "Symbol Table"; GNU symbol versions in .symtab names (`name@VERSION`,
`name@@VERSION`); .gnu_debugdata: GDB manual, "MiniDebugInfo".
"""

from __future__ import annotations

import lzma
from bisect import bisect_right
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .elf import BadElf, Elf, read_elf

MAX_SYMBOLS = 1 << 22
MAX_NAME_BYTES = 8192
MAX_DEBUGDATA_BYTES = 64 << 20
MAX_DEBUGDATA_RATIO = 32  # of a large section to what it holds; symbol tables shrink to a fifth
SMALL_DEBUGDATA_BYTES = 1 << 20
MAX_LZMA_BYTES = 128 << 20
MAX_NESTING = 64

SYMBOL = np.dtype(
    [
        (
            "address",
            "<u8",
        ),  # first address, without load bias; rows are sorted by it and each address comes once
        ("end", "<u8"),  # first address that is no longer the symbol's
        ("name", "<u4"),  # where in SymbolTable.strings its name begins
        ("parent", "<i4"),  # the row whose range encloses this row's address, -1 if none
    ]
)

_ELF_SYMBOL = np.dtype(
    [
        ("name", "<u4"),
        ("info", "u1"),
        ("other", "u1"),
        ("section", "<u2"),
        ("address", "<u8"),
        ("size", "<u8"),
    ]
)
_NO_TYPE, _FUNCTION, _IFUNC = 0, 2, 10
_LOCAL = 0
_FIRST_RESERVED_SECTION, _EXTENDED_SECTION = 0xFF00, 0xFFFF


_Rows = NDArray[np.void]  # _ELF_SYMBOL


class Symbol(NamedTuple):
    """Describe the symbol that covers an address."""

    name: str
    address: int  # where the symbol begins, without load bias
    offset: int  # from there to the address asked for


@dataclass(frozen=True)
class SymbolTable:
    """Hold the code symbols of one module, by address without load bias."""

    symbols: NDArray[np.void]  # SYMBOL
    strings: bytes
    sources: tuple[str, ...] = ()  # sections that symbols came from
    problems: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.symbols)

    def lookup(self, address: int) -> Symbol | None:
        """Return the innermost symbol that covers `address`, None if none does."""
        row = bisect_right(self.symbols["address"], address) - 1
        for _ in range(MAX_NESTING):
            if row < 0:
                return None
            if address < self.symbols["end"][row]:
                return self.symbol(row, address)
            row = int(self.symbols["parent"][row])
        return None

    def lookup_many(self, addresses: NDArray[np.uint64]) -> NDArray[np.intp]:
        """Return the row of the innermost symbol that covers each of `addresses` (uint64), -1 if none does."""
        rows = np.searchsorted(self.symbols["address"], addresses.astype("<u8", copy=False), "right") - 1
        for _ in range(MAX_NESTING):
            open_ = np.flatnonzero(rows >= 0)
            beyond = open_[self.symbols["end"][rows[open_]] <= addresses[open_]]
            if not len(beyond):
                return rows
            rows[beyond] = self.symbols["parent"][rows[beyond]]
        rows[beyond] = -1
        return rows

    def symbol(self, row: int, address: int) -> Symbol:
        """Return row `row` as the symbol of `address`."""
        name = _bare_name(self.strings, int(self.symbols["name"][row]))
        begin = int(self.symbols["address"][row])
        return Symbol(name.decode("utf-8", "backslashreplace"), begin, address - begin)


def read_symbols(elf: Elf) -> SymbolTable:
    """Read the symbols of a module, or of a debug file with the same build ID."""
    problems: list[str] = []
    sources: list[str] = []
    strings: list[bytes] = []
    tables: list[NDArray[np.void]] = []
    debugdata = _debugdata(elf, problems)
    for symbols, names, origin, source in (
        (".symtab", ".strtab", elf, ".symtab"),
        (".dynsym", ".dynstr", elf, ".dynsym"),
        (".symtab", ".strtab", debugdata, ".gnu_debugdata"),
    ):
        table, text = origin.section(symbols) if origin else None, origin.section(names) if origin else None
        if table is None or text is None:
            continue
        count = len(table.data) // _ELF_SYMBOL.itemsize
        if count > MAX_SYMBOLS:
            problems.append(f"{source} has {count} symbols, only {MAX_SYMBOLS} are read")
        rows = np.frombuffer(table.data, _ELF_SYMBOL, min(count, MAX_SYMBOLS))
        rows = _code_symbols(rows, text.data, elf)
        rows["name"] += sum(map(len, strings))
        sources.append(source)
        strings.append(text.data + b"\0")
        tables.append(rows)
    text_of_all = b"".join(strings)
    rows = np.concatenate(tables) if tables else np.zeros(0, _ELF_SYMBOL)
    rows = _one_an_address(rows, text_of_all)
    return SymbolTable(_ranges(rows), text_of_all, tuple(sources), tuple(problems))


def _debugdata(elf: Elf, problems: list[str]) -> Elf | None:
    section = elf.section(".gnu_debugdata")
    if section is None:
        return None
    try:
        xz = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MAX_LZMA_BYTES)
        most = min(SMALL_DEBUGDATA_BYTES + MAX_DEBUGDATA_RATIO * len(section.data), MAX_DEBUGDATA_BYTES)
        data = xz.decompress(section.data, most)
        if not xz.eof:
            problems.append(f".gnu_debugdata is cut off or holds more than {most} bytes")
            return None
        return read_elf(data, (".symtab", ".strtab"))
    except (lzma.LZMAError, BadElf, EOFError) as error:
        problems.append(f".gnu_debugdata cannot be read: {error}")
        return None


def _code_symbols(rows: _Rows, text: bytes, elf: Elf) -> _Rows:
    """Return the symbols that can name an instruction: functions and sized labels, defined, in executable memory.

    Marks that assemblers leave are left out: `.L` labels and the mapping symbols of arm64 (`$x`, `$d`).
    """
    kind, section = rows["info"] & 15, rows["section"]
    code = (kind == _FUNCTION) | (kind == _IFUNC) | (kind == _NO_TYPE) & (rows["size"] > 0)
    code &= (section != 0) & ((section < _FIRST_RESERVED_SECTION) | (section == _EXTENDED_SECTION))
    if elf.segments:
        loaded = np.zeros(len(rows), bool)
        for segment in elf.segments:
            if segment.executable:
                inside = rows["address"] - np.uint64(segment.address) < np.uint64(segment.memory_size)
                loaded |= inside & (rows["address"] >= np.uint64(segment.address))
        code &= loaded
    rows = rows[code & (rows["name"] < len(text))]
    letters = np.frombuffer(text + b"\0\0", "u1")
    first, second = letters[rows["name"]], letters[rows["name"].astype("u8") + 1]
    mark = (first == ord(".")) & (second == ord("L")) | (first == ord("$")) & (
        (second == ord("x")) | (second == ord("d"))
    )
    named: _Rows = rows.compress((first != 0) & ~mark)
    return named


def _one_an_address(rows: _Rows, strings: bytes) -> _Rows:
    """Return the symbols sorted by address, one for each address.

    A symbol with a size comes before one without, then a function, then a global symbol, then the better name.

    By name: the fewest leading underscores, then the shortest, then the first in the alphabet; so `read`
    stands for `__read`, and the choice does not depend on the order of the table.
    """
    kind, binding = rows["info"] & 15, rows["info"] >> 4
    rank = (rows["size"] == 0) * 8 + (kind == _NO_TYPE) * 4 + (kind == _IFUNC) * 2 + (binding == _LOCAL)
    order = np.lexsort((rank, rows["address"]))
    rows, rank = rows[order], rank[order]
    starts = np.flatnonzero(_changes(rows["address"]))
    ends = np.append(starts[1:], len(rows))
    chosen = starts.copy()
    several = np.flatnonzero(ends - starts > 1)
    ranks, names = rank.tolist(), rows["name"].tolist()  # faster to read one by one than arrays
    for group, start, end in zip(several.tolist(), starts[several].tolist(), ends[several].tolist()):
        best = [row for row in range(start, end) if ranks[row] == ranks[start]]
        if len(best) > 1:
            chosen[group] = min(best, key=lambda row: _preference(_bare_name(strings, names[row])))
    unique: _Rows = rows[chosen]
    return unique


def _changes(column: NDArray[Any]) -> NDArray[np.bool_]:
    """Return where a value differs from the one before it."""
    return np.append(np.ones(min(len(column), 1), bool), column[1:] != column[:-1])


def _preference(name: bytes) -> tuple[int, int, bytes]:
    return len(name) - len(name.lstrip(b"_")), len(name), name


def _ranges(rows: _Rows) -> NDArray[np.void]:
    """Return the rows of a SymbolTable, with the nesting of symbols. A symbol without a size ends after one byte."""
    sized = rows["size"] > 0
    address = rows["address"]
    end = address + np.minimum(np.maximum(rows["size"], np.uint64(1)), ~address)  # no wrap-around
    reach = np.maximum.accumulate(np.where(sized, end, np.uint64(0)))
    keep = sized | (reach <= address)  # an entry point inside a function is not a function
    rows, address, end = rows[keep], address[keep], end[keep]
    table = np.zeros(len(rows), SYMBOL)
    table["address"], table["end"], table["name"], table["parent"] = address, end, rows["name"], -1
    reach = np.maximum.accumulate(end)
    _link_parents(table, np.flatnonzero(reach[:-1] > address[1:]) + 1)
    return table


def _link_parents(table: NDArray[np.void], nested: NDArray[np.intp]) -> None:
    """Give each row of `nested` its nearest earlier row that covers its address."""
    end, parent, address = table["end"].tolist(), table["parent"].tolist(), table["address"].tolist()
    for row in nested.tolist():
        candidate = row - 1
        while candidate >= 0 and end[candidate] <= address[row]:
            candidate = parent[candidate]
        parent[row] = candidate
    table["parent"] = parent


def _bare_name(strings: bytes, at: int) -> bytes:
    """Return the name that begins at `at`, without its version, cut off at MAX_NAME_BYTES."""
    end = strings.find(b"\0", at, at + MAX_NAME_BYTES)
    name = strings[at:end] if end >= 0 else strings[at : at + MAX_NAME_BYTES] + b"..."
    return name.partition(b"@")[0] or name
