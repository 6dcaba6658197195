"""Check that a jit-PID.dump is read as the lines of a perf-PID.map: whatever is in it, and only that of the process."""

from __future__ import annotations

import mmap
import os
import re
import shutil
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from httprec.jit_dump import DAMAGED, TOO_MANY_RECORDS, JitDump, open_jit_dump
from httprec.jit_maps import JitMaps
from httpreport.languages.jit_map import JitMap
from support.jit_maps import Written

KEY = (os.getpid(), 7)
PART = 1 << 20
HEADER = struct.pack("<IIIIIIQQ", 0x4A695444, 1, 40, 62, 0, os.getpid(), 1, 0)
MAPPED = re.compile(rb"^([0-9a-f]+)-([0-9a-f]+) ..x. [0-9a-f]+ [0-9a-f]+:[0-9a-f]+ ([0-9]+) *(.*)$", re.MULTILINE)
LINES = re.compile(rb"([0-9a-f]{1,16} [0-9a-f]{1,16} [^\n]*\n)*")


def record(kind: int, body: bytes) -> bytes:
    return struct.pack("<IIQ", kind, 16 + len(body), 1) + body


def load(address: int, size: int, name: bytes) -> bytes:
    """Return a JIT_CODE_LOAD, with two bytes of code."""
    return record(0, struct.pack("<IIQQQQ", 1, 1, address, address, size, 7) + name + b"\0\xc3\n")


def move(old: int, new: int, size: int) -> bytes:
    """Return a JIT_CODE_MOVE."""
    return record(1, struct.pack("<IIQQQQQ", 1, 1, new, old, new, size, 7))


def whole(dump: JitDump, limit: int = PART) -> bytes:
    """Return all lines of a dump."""
    return b"".join(iter(lambda: dump.read(limit), b""))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / f"jit-{os.getpid()}.dump"


@pytest.fixture
def dump(path: Path) -> Iterator[JitDump]:
    path.touch()
    fd = os.open(path, os.O_RDONLY)
    yield JitDump(fd)
    os.close(fd)


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def test_code_that_is_loaded_has_a_line_and_other_records_have_none(path: Path, dump: JitDump) -> None:
    debug = record(2, struct.pack("<QQ", 0x1000, 0))
    append(
        path, HEADER + load(0x1000, 16, b"f") + debug + load(0x2000, 2, b"a b\nc") + record(3, b"") + load(1, 2, b"")
    )

    assert whole(dump) == b"1000 10 f\n2000 2 a b c\n1 2 \n"


def test_moved_code_has_no_name(path: Path, dump: JitDump) -> None:
    append(path, HEADER + load(0x1000, 16, b"f") + load(0x2000, 16, b"g") + move(0x2000, 0x1000, 16))

    names = JitMap(whole(dump))
    assert names.find(0x1004) is None
    assert names.find(0x2004) == (b"g", 4)


def test_a_record_is_read_when_it_is_whole(path: Path, dump: JitDump) -> None:
    data = HEADER + load(0x1000, 16, b"f") + load(0x2000, 16, b"g")
    read = []
    for byte in data:
        assert not dump.is_another()
        append(path, bytes([byte]))
        read.append(dump.read(PART))
    assert [line for line in read if line] == [b"1000 10 f\n", b"2000 10 g\n"]
    assert read[-1] == b"2000 10 g\n"


def test_what_is_read_at_a_time_has_a_limit(path: Path, dump: JitDump) -> None:
    append(path, HEADER + load(0x1000, 16, b"n" * 5000) * 100)

    parts = list(iter(lambda: dump.read(1 << 14), b""))
    assert max(map(len, parts)) <= 1 << 14
    assert len(b"".join(parts).splitlines()) == 100


def test_a_dump_with_too_many_records_is_cut_off(path: Path, dump: JitDump, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("httprec.tuning.MAX_JIT_DUMP_RECORDS", 3)
    append(path, HEADER + record(9, b"") * 2 + load(0x1000, 16, b"f") + load(0x2000, 16, b"g"))

    assert (whole(dump), dump.problem) == (b"1000 10 f\n", TOO_MANY_RECORDS)


@pytest.mark.parametrize(
    "data",
    [
        b"7f0000000000 20 LazyCompile:~main, of which a dump has none\n",
        struct.pack(">IIIIIIQQ", 0x4A695444, 1, 40, 62, 0, 1, 1, 0),
        struct.pack("<IIIIIIQQ", 0x4A695444, 1, 39, 62, 0, 1, 1, 0),
        HEADER + struct.pack("<IIQ", 0, 15, 1),
    ],
    ids=["text", "other byte order", "short header", "short record"],
)
def test_a_damaged_dump_is_cut_off_there(path: Path, dump: JitDump, data: bytes) -> None:
    append(path, data)

    assert (whole(dump), dump.problem) == (b"", DAMAGED)


@given(
    st.lists(
        st.one_of(
            st.binary(max_size=80),
            st.builds(load, *[st.integers(0, (1 << 64) - 1)] * 2, st.binary(max_size=20)),
            st.builds(record, st.integers(0, 4), st.binary(max_size=80)),
        )
    )
)
def test_any_file_gives_lines(data: list[bytes]) -> None:
    fd = os.memfd_create("dump")
    try:
        os.write(fd, HEADER + b"".join(data))
        assert LINES.fullmatch(whole(JitDump(fd)))
    finally:
        os.close(fd)


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node, which writes both files")
def test_the_lines_are_those_of_the_perf_map_that_node_writes_beside_it(tmp_path: Path) -> None:
    program = "function f(n) { return n < 2 ? n : f(n - 1) + f(n - 2) }; f(20); console.log(process.pid)"
    options = ("--perf-prof", "--perf-basic-prof", "--interpreted-frames-native-stack")
    result = subprocess.run(["node", *options, "-e", program], cwd=tmp_path, capture_output=True, check=True, text=True)
    perf_map = Path(f"/tmp/perf-{int(result.stdout)}.map")
    text = perf_map.read_bytes()
    perf_map.unlink()
    fd = os.open(tmp_path / f"jit-{int(result.stdout)}.dump", os.O_RDONLY)
    lines = whole(JitDump(fd)).splitlines()
    os.close(fd)

    assert len(lines) > 100
    assert {_parsed(line) for line in lines} <= {_parsed(line) for line in text.splitlines()}
    assert any(b"~f [eval]:1" in line for line in lines)


def _parsed(line: bytes) -> tuple[int, int, bytes]:
    start, size, name = line.split(b" ", 2)
    return int(start, 16), int(size, 16), name


class Mapped:
    """Map the first page of a file as executable, as a compiler does, and list this process's mappings."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            self._mapping = mmap.mmap(file.fileno(), 0, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_EXEC)

    def __enter__(self) -> list[tuple[bytes, bytes, bytes, bytes]]:
        return MAPPED.findall(Path("/proc/self/maps").read_bytes())

    def __exit__(self, *_: object) -> None:
        self._mapping.close()


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to follow /proc/PID/map_files")


@needs_root
def test_the_dump_that_a_process_has_mapped_is_copied_also_if_it_was_deleted(path: Path) -> None:
    written = Written()
    jit_maps = JitMaps(written)
    path.write_bytes(HEADER + load(0x1000, 16, b"f"))
    with Mapped(path) as code:
        path.unlink()
        jit_maps.open(KEY, os.getpid(), os.getpid(), code)
        jit_maps.copy(KEY, 5)
    assert jit_maps.has(KEY)
    assert written.texts() == {5: b"1000 10 f\n"}
    assert {part.problem for part in written.parts} == {""}


@needs_root
@pytest.mark.parametrize(("pid", "owner"), [(1, None), (None, 12345)], ids=["of its parent", "of another user"])
def test_no_other_dump_is_trusted(path: Path, pid: Optional[int], owner: Optional[int]) -> None:
    path.write_bytes(HEADER)
    if owner is not None:
        os.chown(path, owner, owner)
    with Mapped(path) as code, pytest.raises(OSError):
        os.close(open_jit_dump(os.getpid(), pid or os.getpid(), code))


@needs_root
def test_a_perf_map_counts_if_there_are_both(path: Path) -> None:
    perf_map = Path(f"/tmp/perf-{os.getpid()}.map")
    perf_map.write_bytes(b"1000 10 of the map\n")
    written = Written()
    jit_maps = JitMaps(written)
    path.write_bytes(HEADER + load(0x1000, 16, b"of the dump"))
    try:
        with Mapped(path) as code:
            jit_maps.open(KEY, os.getpid(), os.getpid(), code)
        jit_maps.copy(KEY, 5)
    finally:
        perf_map.unlink()
    assert written.texts() == {5: b"1000 10 of the map\n"}
