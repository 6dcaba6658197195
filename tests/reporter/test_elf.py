"""Check that ELF files are read as binutils' readelf reads them, and that a damaged file raises nothing but BadElf."""

from __future__ import annotations

import random
import re
import struct
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from httpcapture import CARRIED
from httpreport.elf.elf import BadElf, Section, from_parts, read_elf
from support.compiled import SYSTEM_BINARIES, compiled, run

HELLO = "int main(void) { return 0; }"


@pytest.mark.parametrize("path", SYSTEM_BINARIES, ids=lambda path: path.name)
def test_reads_what_readelf_reads(path: Path) -> None:
    elf = read_elf(path.read_bytes())
    sections = {
        name: (int(address, 16), int(size, 16))
        for name, address, size in re.findall(
            r"\] (\S+) +(?!NOBITS)\S+ +([0-9a-f]{16}) [0-9a-f]+ ([0-9a-f]+) ", run("readelf", "-SW", path)
        )
    }
    assert {name: (s.address, len(s.data)) for name, s in elf.sections.items()} == {
        name: place for name, place in sections.items() if name in CARRIED
    }
    assert f"Build ID: {elf.build_id.hex()}\n" in run("readelf", "-n", path)
    loads = re.findall(r"LOAD +(\S+) (\S+) \S+ (\S+) (\S+) (R?W? ?E?) ", run("readelf", "-lW", path))
    assert [(s.file_offset, s.address, s.file_size, s.memory_size, s.executable) for s in elf.segments] == [
        (int(offset, 16), int(address, 16), int(size, 16), int(memory, 16), "E" in flags)
        for offset, address, size, memory, flags in loads
    ]
    assert not elf.problems
    assert elf.machine == 62


@pytest.mark.parametrize("path", SYSTEM_BINARIES, ids=lambda path: path.name)
def test_offsets_and_addresses_are_each_others_inverse(path: Path) -> None:
    elf = read_elf(path.read_bytes())
    for segment in elf.segments:
        for offset in (segment.file_offset, segment.file_offset + segment.file_size - 1):
            address = elf.address_of(offset)
            assert address is not None and elf.offset_of(address) == offset
    assert elf.offset_of(elf.segments[-1].address + elf.segments[-1].memory_size) is None


def test_bias_of_a_mapping_that_shares_a_file_page_with_another_segment(tmp_path: Path) -> None:
    program = compiled(tmp_path, "hello.c", HELLO, ["-Wl,-z,noseparate-code"])
    elf = read_elf(program.read_bytes())
    code = next(s for s in elf.segments if s.executable)
    data = next(s for s in elf.segments if not s.executable and s.file_offset % 4096)
    page = data.file_offset - data.file_offset % 4096
    data_page = data.address - data.address % 4096
    assert elf.load_bias(0x7F0000000000 + data_page, page, executable=False) == 0x7F0000000000
    assert elf.load_bias(0x7F0000000000, code.file_offset, executable=True) == 0x7F0000000000
    assert elf.load_bias(0x7F0000000000, 1 << 40) is None


def test_go_keeps_its_build_id_in_a_note_of_its_own() -> None:
    note = struct.pack("<III4s12s", 4, 12, 4, b"Go\0\0", b"abcd/efgh/ij")
    elf = read_elf(_file(_program_header(4, 120, 0, len(note)), note))
    assert (elf.build_id, elf.go_build_id) == (b"", b"abcd/efgh/ij")


def test_sections_are_found_by_segment_where_the_section_headers_are_gone(tmp_path: Path) -> None:
    whole = bytearray(compiled(tmp_path, "hello.c", HELLO).read_bytes())
    expected = read_elf(bytes(whole)).sections
    whole[0x28:0x30] = bytes(8)  # e_shoff
    whole[0x3C:0x40] = bytes(4)  # e_shnum, e_shstrndx
    found = read_elf(bytes(whole)).sections
    assert set(found) == {".eh_frame", ".eh_frame_hdr"}
    assert found[".eh_frame_hdr"] == expected[".eh_frame_hdr"]
    assert found[".eh_frame"].address == expected[".eh_frame"].address
    assert found[".eh_frame"].data.startswith(expected[".eh_frame"].data)


def test_parts_give_the_same_as_the_whole_file() -> None:
    data = SYSTEM_BINARIES[1].read_bytes()
    whole = read_elf(data)
    (headers_at,) = struct.unpack_from("<Q", data, 32)
    (count,) = struct.unpack_from("<H", data, 56)
    parts = from_parts(
        62,
        data[headers_at : headers_at + 56 * count],
        whole.sections,
        whole.build_id,
    )
    assert parts == whole


def test_a_compressed_section_is_a_problem_with_a_reason(tmp_path: Path) -> None:
    program = compiled(tmp_path, "hello.c", HELLO, ["-g", "-gz=zlib"])
    elf = read_elf(program.read_bytes(), [".debug_info", ".symtab"])
    assert elf.section(".debug_info") is None and elf.section(".symtab") is not None
    assert elf.problems == ("section .debug_info is compressed (SHF_COMPRESSED): not read",)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not an ELF file"),
        (b"#!/bin/sh\n", "not an ELF file"),
        (b"\x7fELF\x02\x01", "the ELF header (64 bytes at 0x0) is outside the file (6 bytes)"),
        (b"\x7fELF\x01\x01" + bytes(58), "not a 64-bit little-endian ELF file"),
        (b"\x7fELF\x02\x02" + bytes(58), "not a 64-bit little-endian ELF file"),
        (b"\x7fELF\x02\x01" + bytes(58), "neither an executable nor a shared object (ELF type 0)"),
    ],
)
def test_a_file_that_is_not_elf_is_refused_with_the_reason(data: bytes, reason: str) -> None:
    with pytest.raises(BadElf) as caught:
        read_elf(data)
    assert reason in str(caught.value)


def test_absurd_counts_are_refused_before_anything_is_allocated() -> None:
    too_many = bytearray(_file(b"", b""))
    struct.pack_into("<H", too_many, 56, 0xFFFE)
    with pytest.raises(BadElf, match="65534 program headers"):
        read_elf(bytes(too_many))
    sections = bytearray(_file(b"", bytes(64)))
    struct.pack_into("<Q", sections, 40, 64)
    struct.pack_into("<Q", sections, 64 + 32, 1 << 63)  # e_shnum 0: the count is the first section's size
    assert read_elf(bytes(sections)).problems == ("9223372036854775808 sections, at most 16384 are read",)


def test_truncated_files_are_refused_or_read_in_part(tmp_path: Path) -> None:
    data = compiled(tmp_path, "hello.c", HELLO).read_bytes()
    for size in range(0, len(data), 7):
        try:
            elf = read_elf(data[:size])
        except BadElf:
            continue
        assert elf.problems


def test_mutated_files_raise_nothing_but_bad_elf_in_bounded_memory(tmp_path: Path) -> None:
    original = compiled(tmp_path, "hello.c", HELLO).read_bytes()
    chance = random.Random(1)
    tracemalloc.start()
    for _ in range(3000):
        data = bytearray(original)
        for _ in range(chance.randrange(1, 12)):
            at = chance.choice((chance.randrange(64), chance.randrange(1024), chance.randrange(len(data))))
            data[at] = chance.choice((0, 1, 0x7F, 0xFF, chance.randrange(256)))
        try:
            elf = read_elf(bytes(data))
        except BadElf:
            continue
        assert sum(len(s.data) for s in elf.sections.values()) <= 3 * len(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 32 * len(original)


@given(st.binary(max_size=2000))
def test_any_bytes_behind_a_header_raise_nothing_but_bad_elf(tail: bytes) -> None:
    try:
        read_elf(b"\x7fELF\x02\x01" + bytes(10) + b"\x03\0" + tail)
    except BadElf as error:
        assert str(error)


@given(st.binary(max_size=200))
def test_any_parts_raise_nothing_but_bad_elf(headers: bytes) -> None:
    try:
        from_parts(62, headers, {".symtab": Section(0, b"")})
    except BadElf as error:
        assert str(error)


def _program_header(kind: int, offset: int, address: int, size: int, flags: int = 4) -> bytes:
    return struct.pack("<IIQQQQQQ", kind, flags, offset, address, address, size, size, 4)


def _file(program_headers: bytes, rest: bytes) -> bytes:
    count = len(program_headers) // 56
    identity = b"\x7fELF\x02\x01\x01"
    header = struct.pack("<16sHHIQQQIHHHHHH", identity, 3, 62, 1, 0, 64, 0, 0, 64, 56, count, 64, 0, 0)
    return header + program_headers + rest
