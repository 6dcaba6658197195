"""Check that the rows of .eh_frame are those that binutils' readelf prints, and that hostile ones become a reason."""

from __future__ import annotations

import re
import struct
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from httpreport.elf.elf import Elf, Section, from_parts, read_elf
from httpreport.elf.symbol_table import read_symbols
from httpreport.unwind import AddressSpace, CallFrameInfo, CodeRange, End, Unwinder
from httpreport.unwind.arch import X86_64
from httpreport.unwind.cfa import Row, Rule
from httpreport.unwind.dwarf import BadCfi, WorkBudget, sleb128, uleb128
from httpreport.unwind.expression import evaluate
from support.compiled import SYSTEM_BINARIES, run

COMPARED = [path for path in SYSTEM_BINARIES if path.name.startswith(("libc.", "ld-", "libssl", "python", "libstdc"))]


def _readelf_rows(path: Path) -> dict[int, tuple[int, dict[str, str]]]:
    """Return readelf's rows by first address: where a row ends, and its columns as readelf prints them."""
    rows: dict[int, tuple[int, dict[str, str]]] = {}
    names: list[str] = []
    end, previous = 0, None
    for line in run("readelf", "-W", "-wNF", path).splitlines():
        if header := re.search(r"FDE .*pc=[0-9a-f]+\.\.([0-9a-f]+)", line):
            end, previous = int(header[1], 16), None
        elif " CIE " in line:
            end = 0
        elif line.startswith("   LOC"):
            names = line.split()[1:]
        elif end and (row := re.match(r"([0-9a-f]{16}) (.*)", line)):
            if previous is not None:
                rows[previous] = (int(row[1], 16), rows[previous][1])
            previous = int(row[1], 16)
            rows[previous] = (end, dict(zip(names, re.sub(r" \(\w+\)", "", row[2]).split())))
    return rows


def _as_readelf(row: Row, names: list[str]) -> dict[str, str]:
    cfa = row.cfa
    shown = {"CFA": "exp" if cfa.expression else f"{X86_64.registers[cfa.register]}{cfa.offset:+d}"}
    rules = dict(row.rules)
    for name in names[1:]:
        rule = rules.get(16 if name == "ra" else X86_64.registers.index(name))
        if rule is None:
            shown[name] = "u"  # readelf's word for "no rule" as well
        else:
            shown[name] = {
                Rule.UNDEFINED: "u",
                Rule.OFFSET: f"c{rule.number:+d}",
                Rule.VALUE_OFFSET: f"v{rule.number:+d}",
                Rule.EXPRESSION: "exp",
                Rule.VALUE_EXPRESSION: "vexp",
                Rule.REGISTER: f"r{rule.number}",
            }[rule.kind]
    return shown


@pytest.mark.parametrize("path", COMPARED, ids=lambda path: path.name)
def test_every_row_is_the_one_that_readelf_prints(path: Path) -> None:
    frames = CallFrameInfo(read_elf(path.read_bytes()))
    expected = _readelf_rows(path)
    assert len(expected) > 1000
    wrong = []
    for start, (end, columns) in expected.items():
        for address in {start, end - 1}:
            row = frames.row(address)
            if not isinstance(row, Row) or _as_readelf(row, list(columns)) != columns:
                wrong.append((hex(address), row, columns))
    assert wrong[:5] == []


def test_without_the_search_table_the_same_rows_are_found() -> None:
    elf = read_elf(SYSTEM_BINARIES[1].read_bytes())
    with_table, without = CallFrameInfo(elf), CallFrameInfo(_without_table(elf))
    for address in range(elf.segments[1].address, elf.segments[1].address + elf.segments[1].file_size, 997):
        assert without.row(address) == with_table.row(address)
        assert without.function_start(address) == with_table.function_start(address)


def test_a_capture_that_carries_only_sections_gives_the_same_rows() -> None:
    elf = read_elf(SYSTEM_BINARIES[1].read_bytes())
    carried = {name: elf.sections[name] for name in (".eh_frame_hdr", ".eh_frame")}
    whole, parts = CallFrameInfo(elf), CallFrameInfo(from_parts(62, b"", carried))
    for address in range(elf.segments[1].address, elf.segments[1].address + elf.segments[1].file_size, 997):
        assert parts.row(address) == whole.row(address)


def test_functions_start_where_their_symbols_are() -> None:
    elf = read_elf(SYSTEM_BINARIES[0].read_bytes())
    frames, table = CallFrameInfo(elf), read_symbols(elf)
    starts = [int(address) for address in table.symbols["address"]]
    described = [address for address in starts if frames.function_start(address + 1) == address]
    assert len(described) / len(starts) > 0.99


def test_an_address_of_no_function_has_no_row() -> None:
    frames = CallFrameInfo(read_elf(SYSTEM_BINARIES[0].read_bytes()))
    assert frames.row(0) is None and frames.row((1 << 64) - 1) is None and frames.row(-1) is None
    assert frames.function_start(0) is None
    assert CallFrameInfo(from_parts(62, b"", {})).row(5) is None


@pytest.mark.parametrize(
    ("instructions", "reason"),
    [
        (b"\x3f", "CFA instruction 0x3f"),
        (b"\x0b", "no remembered state"),
        (b"\x0a" * 70, "more than 64 remembered"),
        (b"\x0f\x7f", "reaches beyond its instructions"),
        (b"\x0f\x01\x30\x0e\x08", "half a CFA rule"),
        (b"\x0c" + b"\xff" * 12, "more than 64 bits"),
        (b"\x0c\x07", "ends too early"),
        (b"\0" * 40000, "too much work"),
    ],
)
def test_bad_instructions_are_a_reason(instructions: bytes, reason: str) -> None:
    row = CallFrameInfo(_one_function(instructions)).row(0x1000)
    assert isinstance(row, BadCfi) and reason in str(row)


@given(st.binary(max_size=60), st.binary(max_size=40), st.integers(0xFF0, 0x1110))
def test_any_instructions_and_any_header_give_a_row_or_a_reason(code: bytes, header: bytes, address: int) -> None:
    elf = _one_function(code)
    for candidate in (elf, replace(elf, sections={**elf.sections, ".eh_frame_hdr": Section(0x10, header)})):
        assert isinstance(CallFrameInfo(candidate).row(address), (Row, BadCfi, type(None)))


@given(st.binary(max_size=300), st.binary(max_size=60))
def test_any_sections_give_a_row_or_a_reason(frames: bytes, header: bytes) -> None:
    sections = {".eh_frame": Section(0x2000, frames), ".eh_frame_hdr": Section(0x100, b"\x01\x1b\x03\x3b" + header)}
    info = CallFrameInfo(from_parts(62, b"", sections))
    for address in (0, 0x100, 0x2000, (1 << 64) - 1):
        assert isinstance(info.row(address), (Row, BadCfi, type(None)))


@pytest.mark.parametrize(
    ("return_address", "end"), [(16, End.NO_RETURN_ADDRESS), (24, End.BAD_CFI), (3, End.NO_RETURN_ADDRESS)]
)
def test_a_return_address_must_be_in_an_existing_register(return_address: int, end: End) -> None:
    frames = CallFrameInfo(_one_function(b"", return_address))
    unwinder = Unwinder(AddressSpace([CodeRange(0x1000, 0x2000, 0, frames)]), X86_64)
    walk = unwinder.unwind(X86_64.numbered(rip=0x1000, rsp=0x7000, rbp=0), bytes(64))
    assert (walk.addresses, walk.end) == ((0x1000,), end)


REGISTERS = [None] * 7 + [0x7000] + [None] * 8 + [0x401025]


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("77 08", 0x7008),
        ("77 78", 0x6FF8),
        ("92 07 08", 0x7008),
        ("77 08 80 00 3f 1a 3b 2a 33 24 22", 0x7008),  # a PLT entry: rsp + 8 + ((rip & 15 >= 11) << 3), rip & 15 = 5
        ("77 00 06", 0x1122),
        ("77 00 94 01", 0x22),
        ("08 ff", 255),
        ("09 ff", (1 << 64) - 1),
        ("0b ff 7f", 0x7FFF),
        ("0e 01 00 00 00 00 00 00 80", (1 << 63) + 1),
        ("10 80 01", 128),
        ("11 7f", (1 << 64) - 1),
        ("35 33 1c", 2),
        ("33 35 1c", (1 << 64) - 2),
        ("11 79 32 1b", (1 << 64) - 3),  # -7 / 2
        ("37 33 1d", 1),
        ("37 33 1e", 21),
        ("35 1f", (1 << 64) - 5),
        ("30 20", (1 << 64) - 1),
        ("11 7b 19", 5),
        ("11 78 31 26", (1 << 64) - 4),
        ("11 78 31 25", (1 << 63) - 4),
        ("31 08 40 24", 0),
        ("35 33 27", 6),
        ("35 33 21", 7),
        ("11 7f 30 2d", 1),
        ("11 7f 30 2b", 0),
        ("33 33 29 23 04", 5),
        ("31 32 33 17", 2),  # rot
        ("31 32 16", 1),
        ("31 32 14", 1),
        ("31 32 33 15 02", 1),
        ("31 32 13", 1),
        ("31 12 22", 2),
        ("31 28 02 00 08 07 08 09", 9),  # a branch taken
        ("30 28 02 00 08 07 08 09", 9),
        ("2f 02 00 08 07 08 09 96", 9),
    ],
)
def test_expressions_are_evaluated_as_dwarf_defines(expression: str, value: int) -> None:
    assert evaluate(bytes.fromhex(expression), REGISTERS, {0x7000: 0x1122}.__getitem__, WorkBudget(100)) == value


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("2f fd ff", "too much work"),
        ("2f 70 00", "jumps out of itself"),
        ("31" * 65, "more than 64 values"),
        ("70 00", "register 0 is not known"),
        ("92 80 01 00", "register 128 is not known"),
        ("31 30 1b", "division by zero"),
        ("31 30 1d", "division by zero"),
        ("e0", "expression operation 0xe0"),
    ],
)
def test_bad_expressions_are_refused_with_the_reason(expression: str, reason: str) -> None:
    with pytest.raises(BadCfi, match=reason):
        evaluate(bytes.fromhex(expression), REGISTERS, lambda address: 0, WorkBudget(100))


@given(st.integers(-(1 << 62), 1 << 62))
def test_leb128(value: int) -> None:
    signed, rest = bytearray(), value
    while not -64 <= rest < 64:
        signed.append(rest & 0x7F | 0x80)
        rest >>= 7
    signed.append(rest & 0x7F)
    assert sleb128(bytes(signed) + b"!", 0) == (value, len(signed))
    if len(signed) == 1 and value >= 0:
        assert uleb128(bytes(signed), 0) == (value, 1)


def _without_table(elf: Elf) -> Elf:
    return replace(elf, sections={".eh_frame": elf.sections[".eh_frame"]})


def _one_function(instructions: bytes, return_address: int = 16) -> Elf:
    """Return an .eh_frame without search table for the function [0x1000, 0x1100) with these instructions."""
    cie = struct.pack("<IB3sBBBBB", 0, 1, b"zR\0", 1, 0x78, return_address, 1, 0x03)
    cie += b"\x0c\x07\x08" + bytes([0x80 | return_address, 1])  # CFA = rsp + 8, return address at CFA - 8
    fde = struct.pack("<III", len(cie) + 8, 0x1000, 0x100) + b"\0" + instructions
    data = struct.pack("<I", len(cie)) + cie + struct.pack("<I", len(fde)) + fde + bytes(4)
    return from_parts(62, b"", {".eh_frame": Section(0x2000, data)})
