"""Check that symbol tables name every address as binutils' readelf does, and no address beyond a symbol's size."""

from __future__ import annotations

import lzma
import random
import re
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from httpreport.elf.elf import Elf as ElfFile
from httpreport.elf.elf import Section, Segment, from_parts, read_elf
from httpreport.elf.symbol_table import SYMBOL, SymbolTable, read_symbols
from support.compiled import NODE_BINARY, SYSTEM_BINARIES, compiled, run

ASSEMBLY = """
    .text
    .globl  sized, unsized, after
    .type   sized, @function
sized:
    nop
inner_label:
    nop
    .size   sized, . - sized
    .skip   64, 0x90
    .type   unsized, @function
unsized:
    ret
    nop
    .type   after, @function
after:
    ret
    .size   after, . - after
label:
    ret
    .globl main
    .type main, @function
main:
    xor %eax, %eax
    ret
    .size main, . - main
"""
LIBRARY = """
    .text
    .globl  memset, wait_for_send
    .hidden wait_for_send
    .type   memset, @function
memset:
    ret
    .type   wait_for_send, @function
wait_for_send:
    syscall
    ret
"""


def _readelf_functions(path: Path) -> dict[int, set[str]]:
    """Return names of the functions with a size at each address, from all symbol tables of the file."""
    names: dict[int, set[str]] = {}
    line = re.compile(r" *\d+: ([0-9a-f]{16}) +(\S+) (?:FUNC|IFUNC) +\S+ +\S+ +(?:\[.*\] +)?\d+ (\S+)")
    for address, size, name in line.findall(run("readelf", "-sW", path)):
        if int(size, 0):
            names.setdefault(int(address, 16), set()).add(name.partition("@")[0])
    return names


def _table(path: Path) -> SymbolTable:
    return read_symbols(read_elf(path.read_bytes()))


def _name(table: SymbolTable, address: int) -> str | None:
    symbol = table.lookup(address)
    return symbol and symbol.name


@pytest.mark.parametrize("path", [*SYSTEM_BINARIES, NODE_BINARY], ids=lambda path: path.name)
def test_every_function_has_the_name_that_readelf_shows(path: Path) -> None:
    if not path.exists():
        pytest.skip(f"{path} is not installed")
    table, expected = _table(path), _readelf_functions(path)
    assert len(expected) > 20
    addresses = np.array(sorted(expected), "<u8")
    rows = table.lookup_many(addresses)
    wrong = [
        (hex(address), names)
        for row, address, names in zip(rows.tolist(), addresses.tolist(), map(expected.get, addresses.tolist()))
        if row < 0 or names is None or table.symbol(row, address).name not in names
    ]
    assert wrong == []


def test_a_symbol_ends_where_its_size_ends() -> None:
    table = _table(SYSTEM_BINARIES[0])
    functions = table.symbols
    gaps = np.flatnonzero(functions["end"][:-1] < functions["address"][1:])
    assert len(gaps) > 100
    assert (table.lookup_many(functions["end"][gaps]) == -1).all()
    assert (table.lookup_many(functions["end"][gaps] - np.uint64(1)) >= 0).all()


def test_lookups_one_by_one_and_together_agree() -> None:
    elf = read_elf(SYSTEM_BINARIES[1].read_bytes())
    table = read_symbols(elf)
    code = next(s for s in elf.segments if s.executable)
    chance = random.Random(2)
    addresses = np.array([code.address + chance.randrange(code.memory_size) for _ in range(5000)], "<u8")
    for row, address in zip(table.lookup_many(addresses).tolist(), addresses.tolist()):
        assert table.lookup(address) == (None if row < 0 else table.symbol(row, address))


def test_hand_written_assembly(tmp_path: Path) -> None:
    """What follows a symbol without a size may be another function."""
    (tmp_path / "code.s").write_text(ASSEMBLY)
    run("gcc", "-o", tmp_path / "program", tmp_path / "code.s")
    table = _table(tmp_path / "program")
    start = {
        name: int(address, 16)
        for address, name in re.findall(r"([0-9a-f]{16}) [tT] (\S+)", run("nm", tmp_path / "program"))
    }
    assert _name(table, start["inner_label"]) == "sized"
    assert _name(table, start["inner_label"] + 10) is None
    assert _name(table, start["unsized"]) == "unsized"
    assert _name(table, start["unsized"] + 1) is None
    assert _name(table, start["after"]) == "after"
    assert _name(table, start["label"]) is None, "a label may be in the middle of a function"


@pytest.mark.parametrize("where", [".dynsym", ".gnu_debugdata"])
def test_an_exported_function_without_a_size_does_not_name_the_hidden_one_behind_it(tmp_path: Path, where: str) -> None:
    """So it is in musl's libc: `memset` has no size, and the system call of `send` is in a hidden function behind
    it."""
    (tmp_path / "code.s").write_text(LIBRARY)
    library = tmp_path / "libc.so"
    run("gcc", "-shared", "-nostdlib", "-o", library, tmp_path / "code.s")
    start = {name: int(at, 16) for at, name in re.findall(r"([0-9a-f]{16}) [tT] (\S+)", run("nm", library))}
    if where == ".gnu_debugdata":
        run("objcopy", "-S", "--keep-symbol", "memset", library, tmp_path / "mini")
        (tmp_path / "mini.xz").write_bytes(lzma.compress((tmp_path / "mini").read_bytes()))
    run("strip", library)
    if where == ".gnu_debugdata":
        run("objcopy", "--add-section", f".gnu_debugdata={tmp_path / 'mini.xz'}", library)
    table = _table(library)
    assert where in table.sources
    assert _name(table, start["memset"]) == "memset"
    assert _name(table, start["wait_for_send"] + 2) is None


def test_one_name_for_an_address_whatever_the_order_of_the_table() -> None:
    at = 0x1000
    symbols = [
        _symbol(b"label", at, 0, 1, kind=0),
        _symbol(b"local", at, 16, 1, binding=0),
        _symbol(b"resolver", at, 16, 1, kind=10),
        _symbol(b"__read", at, 16, 1),
        _symbol(b"read@@V_1", at, 16, 1, binding=2),
        _symbol(b"read_longer", at, 16, 1),
        _symbol(b"data", at, 16, 1, kind=1),
        _symbol(b"elsewhere", at, 16, 0),
    ]
    for seed in range(20):
        random.Random(seed).shuffle(symbols)
        assert _name(read_symbols(_elf(symbols)), at) == "read"


def test_a_symbol_inside_another_wins_only_inside() -> None:
    symbols = [
        _symbol(b"outer", 0x1000, 100, 1),
        _symbol(b"inner", 0x1010, 8, 1),
        _symbol(b"next", 0x1020, 8, 1),
    ]
    table = read_symbols(_elf(symbols))
    assert [_name(table, 0x1000 + at) for at in (0, 0x10, 0x17, 0x18, 0x20, 0x28, 99, 100)] == [
        "outer",
        "inner",
        "inner",
        "outer",
        "next",
        "outer",
        "outer",
        None,
    ]


def test_names_in_gnu_debugdata_are_read(tmp_path: Path) -> None:
    program = compiled(
        tmp_path,
        "mini.c",
        "static __attribute__((noipa)) int hidden(int x) { return x; }\nint main(int c, char **v)"
        " { return hidden(c); }",
    )
    hidden = int(re.findall(r"([0-9a-f]{16}) t hidden", run("nm", program))[0], 16)
    run(
        "objcopy",
        "-S",
        "--remove-section",
        ".comment",
        "--keep-symbol",
        "hidden",
        program,
        tmp_path / "mini.debug",
    )
    (tmp_path / "mini.xz").write_bytes(lzma.compress((tmp_path / "mini.debug").read_bytes()))
    run("strip", program)
    assert _name(_table(program), hidden) is None
    run("objcopy", "--add-section", f".gnu_debugdata={tmp_path / 'mini.xz'}", program)
    table = _table(program)
    assert table.sources == (".dynsym", ".gnu_debugdata")
    assert _name(table, hidden) == "hidden"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "cut off"),
        (b"not at all an xz stream", "cannot be read: Input format not supported"),
        (lzma.compress(bytes(65 << 20)), "or holds more than"),
        (lzma.compress(b"no ELF file"), "not an ELF file"),
        (lzma.compress(b"abc")[:-4], "cut off"),
    ],
    ids=["empty", "no xz", "bomb", "no elf", "cut off"],
)
def test_damaged_debugdata_is_a_problem_with_a_reason(data: bytes, reason: str) -> None:
    elf = from_parts(62, b"", {".gnu_debugdata": Section(0, data)})
    table = read_symbols(elf)
    assert len(table) == 0
    assert len(table.problems) == 1 and reason in table.problems[0]


@given(st.binary(max_size=24 * 20), st.binary(max_size=64), st.integers(0, (1 << 64) - 1))
def test_any_bytes_make_a_table(symtab: bytes, strtab: bytes, address: int) -> None:
    elf = ElfFile(62, (), {".symtab": Section(0, symtab), ".strtab": Section(0, strtab)})
    table = read_symbols(elf)
    assert table.symbols.dtype == SYMBOL
    assert (table.symbols["address"][1:] > table.symbols["address"][:-1]).all()
    assert (table.symbols["end"] >= table.symbols["address"]).all()
    assert (table.symbols["parent"] < np.arange(len(table))).all()
    found = table.lookup(address)
    row = int(table.lookup_many(np.array([address], "<u8"))[0])
    assert found == (None if row < 0 else table.symbol(row, address))
    assert found is None or found.address <= address


def test_deep_nesting_is_bounded() -> None:
    count = 20000
    symbols = [_symbol(b"f", 0x1000 + i, 2 * (count - i), 1) for i in range(count)]
    table = read_symbols(_elf(symbols))
    assert table.lookup(0x1000 + 2 * count - 1) is None
    assert table.lookup_many(np.array([0x1000 + 2 * count - 1], "<u8")).tolist() == [-1]


def _symbol(
    name: bytes, address: int, size: int, section: int, *, kind: int = 2, binding: int = 1
) -> tuple[bytes, bytes]:
    return name, struct.pack("<BBHQQ", binding << 4 | kind, 0, section, address, size)


def _elf(symbols: list[tuple[bytes, bytes]]) -> ElfFile:
    table, strings = b"", b"\0"
    for name, entry in symbols:
        table += struct.pack("<I", len(strings)) + entry
        strings += name + b"\0"
    code = Segment(0x1000, 0, 0x10000, 0x10000, True)
    sections = {".symtab": Section(0, table), ".strtab": Section(0, strings)}
    return ElfFile(62, (code,), sections)
