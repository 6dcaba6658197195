"""Check that a file is identified by the build ID that readelf shows, and that every other file gets an identity."""

from __future__ import annotations

import glob
import hashlib
import os
import re
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from httprec.elf_identity import Identity, identify
from httpreport.elf.elf import read_elf

PT_NOTE = 4


@contextmanager
def opened(content: bytes) -> Iterator[int]:
    fd = os.memfd_create("elf")
    os.pwrite(fd, content, 0)
    yield fd
    os.close(fd)


def identity_of(content: bytes) -> Identity:
    with opened(content) as fd:
        return identify(fd)


def elf(*segments: bytes, entry_size: int = 56, count: int | None = None, table: int = 64) -> bytes:
    """Return an ELF file that consists of notes: a header, a program header for each segment, and the segments."""
    header = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    numbers = (2, 62, 1, 0, table, 0, 0, 64, entry_size, len(segments) if count is None else count, 0, 0, 0)
    header += struct.pack("<HHIQQQIHHHHHH", *numbers)
    offset, headers = 64 + 56 * len(segments), b""
    for segment in segments:
        headers += struct.pack("<IIQQQQQQ", PT_NOTE, 4, offset, 0, 0, len(segment), len(segment), 4)
        offset += len(segment)
    return header + headers + b"".join(segments)


def note(name: bytes, kind: int, content: bytes) -> bytes:
    header = struct.pack("<III", len(name), len(content), kind)
    return header + name + b"\0" * (-len(name) % 4) + content + b"\0" * (-len(content) % 4)


GNU = note(b"GNU\0", 3, bytes(range(20)))
PROPERTY = note(b"GNU\0", 5, bytes(16))
GO = note(b"Go\0\0", 4, b"3Ws8/aRq/go")


def test_build_ids_are_those_of_readelf() -> None:
    found = glob.glob("/usr/bin/*") + glob.glob("/usr/lib/x86_64-linux-gnu/*.so*")
    files = sorted(path for path in found if os.path.isfile(path) and not os.path.islink(path))
    files = [path for path in files if Path(path).read_bytes()[:4] == b"\x7fELF"][:400]
    assert len(files) > 100
    answer = subprocess.run(["readelf", "-nW", *files], capture_output=True, text=True, check=False).stdout
    shown = {}
    for part in answer.split("\nFile: ")[1:]:
        match = re.search(r"Build ID: ([0-9a-f]+)", part)
        shown[part.split("\n")[0]] = match.group(1) if match else ""
    assert set(shown) == set(files) and sum(map(bool, shown.values())) > 100
    for path in files:
        with open(path, "rb") as file:
            identity = identify(file.fileno())
        assert identity.build_id.hex() == shown[path], path
        assert bool(identity.problem) == (not shown[path]), path


def test_size_and_hash_of_the_first_page_stand_in_for_a_missing_build_id() -> None:
    content = b"#!/bin/sh\n" * 1000
    identity = identity_of(content)
    assert identity.build_id == b"" and "not a 64-bit little-endian ELF file" in identity.problem
    assert identity.size == len(content)
    assert identity.first_page_sha256 == hashlib.sha256(content[:4096]).digest()


def test_a_go_program_has_a_note_of_its_own() -> None:
    identity = identity_of(elf(PROPERTY, GO))
    assert (identity.build_id, identity.problem) == (b"3Ws8/aRq/go", "")


@pytest.mark.parametrize("segments", [[GO, GNU], [GO + GNU], [PROPERTY + GO, GNU]])
def test_the_gnu_build_id_comes_first(segments: list[bytes]) -> None:
    assert identity_of(elf(*segments)).build_id == bytes(range(20))


@pytest.mark.parametrize(
    "other",
    [note(b"GNU\0", 1, b"abcd"), note(b"XYZ\0", 3, b"abcd"), note(b"Go\0\0", 3, b"abcd"), PROPERTY],
    ids=["ABI tag", "another owner", "another kind of Go's", "property"],
)
def test_no_other_note_is_a_build_id(other: bytes) -> None:
    identity = identity_of(elf(other))
    assert (identity.build_id, identity.problem) == (b"", "has no build ID")


def test_names_and_contents_are_padded_to_four_bytes() -> None:
    assert identity_of(elf(note(b"CORE\0", 1, b"a").ljust(24, b"\0") + GNU)).build_id == bytes(range(20))


@pytest.mark.parametrize("damage", [{5: 2}, {4: 1}, {0: 0}], ids=["big-endian", "32 bits", "no ELF"])
def test_other_kinds_of_file_say_so(damage: dict[int, int]) -> None:
    content = bytearray(elf(GNU))
    for position, value in damage.items():
        content[position] = value
    assert "not a 64-bit little-endian ELF file" in identity_of(bytes(content)).problem


@pytest.mark.parametrize("size", [0, 4, 63])
def test_a_file_shorter_than_a_header_says_so(size: int) -> None:
    identity = identity_of(elf(GNU)[:size])
    assert identity.problem and identity.size == size


@pytest.mark.parametrize(
    "content",
    [
        elf(GNU, table=1 << 62),
        elf(GNU, table=(1 << 64) - 1),
        elf(GNU, count=0xFFFF, entry_size=0),
        elf(GNU, count=0xFFFF, entry_size=0xFFFF),
        elf(struct.pack("<III", 0xFFFFFFFF, 0xFFFFFFFF, 3)),
        elf(struct.pack("<III", 4, 0xFFFFFFF0, 3) + b"XYZ\0"),
        elf(bytes(64 << 10)),
    ],
    ids=["far table", "negative table", "endless table", "wide table", "long name", "long content", "empty notes"],
)
def test_absurd_numbers_end_in_an_identity(content: bytes) -> None:
    assert identity_of(content).size == len(content)


@pytest.mark.parametrize(("size", "expected"), [(1, 1), (65, 65), (256, 256), (257, 0), (4096, 0)])
def test_a_build_id_is_whole_or_not_there_and_the_reporter_finds_the_same(size: int, expected: int) -> None:
    content = elf(note(b"GNU\0", 3, bytes(size)), table=64)
    assert identity_of(content).build_id == bytes(expected) == read_elf(content).build_id


@settings(max_examples=800)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.integers(0, 255), st.integers(0, 255).map(lambda value: bytes([value]))),
            st.tuples(
                st.sampled_from([32, 54, 56, 72, 80, 88, 96, 104]),
                st.sampled_from([1, 255, 1 << 31, 1 << 62, (1 << 63) - 1, 1 << 63, (1 << 64) - 1]).map(
                    lambda value: value.to_bytes(8, "little")
                ),
            ),
        ),
        max_size=5,
    )
)
def test_nothing_is_raised_whatever_the_bytes(changes: list[tuple[int, bytes]]) -> None:
    content = bytearray(elf(PROPERTY, GO + GNU))
    for position, value in changes:
        content[position : position + len(value)] = value
    identity = identity_of(bytes(content))
    assert identity.size == len(content) and len(identity.first_page_sha256) == 32
    assert bool(identity.build_id) != bool(identity.problem)
