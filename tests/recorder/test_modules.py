"""Check what the capture carries of modules: the same sections as objcopy extracts, within a budget, whatever the file
claims."""

from __future__ import annotations

import ctypes
import io
import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from httpcapture import (
    PROGRAM_HEADERS,
    SECTION_HEADERS,
    VDSO,
    WHOLE_FILE,
    BeyondLimitError,
    Field,
    Layout,
    Meta,
    Module,
    Reader,
    Section,
    Writer,
)
from httprec.elf_sections import carried_extents
from httprec.modules import Modules
from support.programs import running, until

LAYOUT = Layout(8, (Field("connection", "u64", 0),))
META = Meta("t", "h", "k", "x86_64", "", 0, 0, 0, (), "fexit", 100, 4096, {}, LAYOUT, LAYOUT)
PYTHON = Path(sys.executable).resolve()


class Capture:
    """Hold a capture in memory, and read what is in it."""

    def __init__(self) -> None:
        self._stream = io.BytesIO()
        self.writer = Writer(self._stream, META)

    def records(self) -> tuple[list[Module], list[Section]]:
        self.writer.flush()
        records = list(Reader(io.BytesIO(self._stream.getvalue()), "memory"))
        modules = [record for record in records if isinstance(record, Module)]
        return modules, [record for record in records if isinstance(record, Section)]


def mappings(pid: int) -> Iterator[tuple[str, bytes]]:
    for line in Path(f"/proc/{pid}/maps").read_bytes().splitlines():
        fields = line.split(None, 5)
        if b"x" in fields[1] and len(fields) == 6:
            low, _, high = fields[0].decode().partition("-")
            yield f"{int(low, 16):x}-{int(high, 16):x}", fields[5]


@pytest.fixture
def libc() -> tuple[str, Path]:
    """Return the mapping of this process's own libc, and its file."""
    ctypes.CDLL(None)
    mapping, path = next((mapping, path) for mapping, path in mappings(os.getpid()) if b"/libc.so" in path)
    return mapping, Path(os.fsdecode(path))


def joined(sections: list[Section], name: str) -> bytes:
    parts = [section for section in sections if section.name == name]
    assert [part.start for part in parts] == sorted(part.start for part in parts)
    return b"".join(part.data for part in parts)


def test_sections_are_what_objcopy_cuts_out(libc: tuple[str, Path], tmp_path: Path) -> None:
    mapping, path = libc
    capture = Capture()
    modules = Modules(capture.writer, 64 << 20)
    modules.record([modules.number(os.getpid(), mapping, os.fsencode(path))])
    (module,), sections = capture.records()
    assert (module.machine, module.size) == (62, path.stat().st_size)
    for name in (".eh_frame", ".eh_frame_hdr", ".dynsym", ".dynstr"):
        cut = tmp_path / "section"
        subprocess.run(["objcopy", "-O", "binary", f"--only-section={name}", path, cut], check=True)
        assert joined(sections, name) == cut.read_bytes()
    content = path.read_bytes()
    (program_table, section_table) = struct.unpack_from("<QQ", content, 32)
    assert content[program_table:].startswith(joined(sections, PROGRAM_HEADERS))
    assert content[section_table:] == joined(sections, SECTION_HEADERS)
    assert not any(section.problem for section in sections)


def test_a_file_is_carried_once_also_when_its_path_is_gone(tmp_path: Path) -> None:
    copy = tmp_path / "sleep"
    copy.write_bytes(Path("/bin/sleep").read_bytes())
    copy.chmod(0o755)
    capture = Capture()
    modules = Modules(capture.writer, 64 << 20)
    with running(copy, "60") as process:
        until("sleep", process.pid)
        mapping = next(mapping for mapping, path in mappings(process.pid) if path == os.fsencode(copy))
        number = modules.number(process.pid, mapping, os.fsencode(copy))
        copy.unlink()
    modules.record([number])
    modules.record([number])
    carried, sections = capture.records()
    assert len(carried) == 1
    assert joined(sections, ".eh_frame")


def test_the_same_file_at_two_places_is_carried_once(tmp_path: Path) -> None:
    """Another file that claims the same build ID is carried by itself."""
    content = Path("/bin/sleep").read_bytes()
    names = content.index(b".eh_frame\0")  # in the section name table; then there is no such section
    other = content[:names] + b".xx" + content[names + 3 :]
    capture = Capture()
    modules = Modules(capture.writer, 64 << 20)
    numbers = []
    for folder, data in (("one", content), ("two", content), ("three", other), ("four", content)):
        copy = tmp_path / folder / "sleep"
        copy.parent.mkdir()
        copy.write_bytes(data)
        copy.chmod(0o755)
        with running(copy, "60") as process:
            until("sleep", process.pid)
            mapping = next(mapping for mapping, path in mappings(process.pid) if path == os.fsencode(copy))
            numbers.append(modules.number(process.pid, mapping, os.fsencode(copy)))
    modules.record(numbers)
    carried, sections = capture.records()
    assert [Path(os.fsdecode(module.path)).parent.name for module in carried] == ["one", "two", "three", "four"]
    assert len({module.build_id for module in carried}) == 1
    assert {section.module for section in sections} == {numbers[0], numbers[2]}


def test_what_exceeds_the_room_is_left_out_and_counted(libc: tuple[str, Path]) -> None:
    mapping, path = libc
    capture = Capture()
    modules = Modules(capture.writer, 10_000)
    modules.record([modules.number(os.getpid(), mapping, os.fsencode(path))])
    _, sections = capture.records()
    left_out = [section for section in sections if section.problem]
    assert modules.left_out == len(left_out) > 0
    assert sum(len(section.data) for section in sections) <= 10_000
    assert all(not section.data and section.size for section in left_out)


@pytest.mark.parametrize(("size", "carried"), [(400_000, True), (600_000, False)])
def test_a_section_of_a_go_program_takes_half_of_the_room_at_most(tmp_path: Path, size: int, carried: bool) -> None:
    program, table = tmp_path / "program", tmp_path / "table"
    table.write_bytes(bytes(range(250)) * (size // 250))
    subprocess.run(["objcopy", "--add-section", f".gopclntab={table}", "/bin/sleep", program], check=True)
    capture = Capture()
    with running(program, "60") as process:
        until("program", process.pid)
        mapping = next(mapping for mapping, path in mappings(process.pid) if path == os.fsencode(program))
        modules = Modules(capture.writer, 1 << 20)
        modules.record([modules.number(process.pid, mapping, os.fsencode(program))])
    _, sections = capture.records()
    assert joined(sections, ".gopclntab") == (table.read_bytes() if carried else b"")
    assert joined(sections, ".eh_frame") and joined(sections, ".rodata")
    assert modules.left_out == (not carried)


def test_modules_beyond_the_limit_of_a_capture_are_counted(libc: tuple[str, Path]) -> None:
    class Full(Writer):
        def module(self, module: Module) -> None:
            raise BeyondLimitError

    mapping, path = libc
    modules = Modules(Full(io.BytesIO(), META), 10_000)
    number = modules.number(os.getpid(), mapping, os.fsencode(path))
    modules.record([number])
    modules.record([number])
    assert modules.left_out == 1, "one record was tried"


def test_without_room_modules_are_named_only(libc: tuple[str, Path]) -> None:
    mapping, path = libc
    capture = Capture()
    modules = Modules(capture.writer, 0)
    modules.record([modules.number(os.getpid(), mapping, os.fsencode(path))])
    carried, sections = capture.records()
    assert carried[0].build_id
    assert not sections


def test_the_vdso_is_carried_whole() -> None:
    mapping = next(mapping for mapping, path in mappings(os.getpid()) if path == VDSO)
    low, high = (int(number, 16) for number in mapping.split("-"))
    capture = Capture()
    modules = Modules(capture.writer, 64 << 20)
    modules.record([modules.vdso_number(os.getpid(), low, high)])
    (module,), sections = capture.records()
    assert module.path == VDSO
    assert joined(sections, WHOLE_FILE) == ctypes.string_at(low, high - low)


@given(st.data())
def test_a_file_that_lies_gives_less_and_no_error(data: st.DataObject) -> None:
    content = bytearray(Path("/bin/true").read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        near_headers = st.one_of(st.integers(16, 63), st.integers(len(content) - 4096, len(content) - 1))
        content[data.draw(near_headers)] = data.draw(st.integers(0, 255))
    fd = os.memfd_create("damaged")
    try:
        os.write(fd, content)
        assert sum(1 for _ in carried_extents(fd)) < 5000
    finally:
        os.close(fd)


def test_a_file_that_could_not_be_kept_open_is_named_and_counted(
    libc: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("httprec.tuning.MAX_OPEN_MODULES", 1)
    capture, later = Capture(), Capture()
    modules = Modules(capture.writer, 64 << 20, rotate=True)
    numbers = [
        modules.number(os.getpid(), mapping, path) for mapping, path in mappings(os.getpid()) if path[:1] == b"/"
    ]
    modules.record(numbers)
    modules.begin_part(later.writer)
    before = modules.left_out
    modules.record(numbers)
    carried, sections = later.records()
    assert len(carried) == len(set(numbers)) > 1
    problems = [section.problem for section in sections if section.name == WHOLE_FILE]
    assert problems == ["left out: more than 1 files were in use"] * (modules.left_out - before)
    assert len(problems) == len(carried) - 1


def test_files_that_were_seen_first_are_forgotten(libc: tuple[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("httprec.tuning.MAX_KNOWN_MODULES", 1)
    mapping, path = libc
    vdso = next(mapping for mapping, path in mappings(os.getpid()) if path == VDSO)
    low, high = (int(number, 16) for number in vdso.split("-"))
    capture = Capture()
    modules = Modules(capture.writer, 64 << 20)
    open_files = len(os.listdir("/proc/self/fd"))
    first = modules.number(os.getpid(), mapping, os.fsencode(path))
    second = modules.vdso_number(os.getpid(), low, high)
    modules.record([first, second])
    carried, _ = capture.records()
    assert [module.id for module in carried] == [second] and modules.left_out == 1
    assert modules.number(os.getpid(), mapping, os.fsencode(path)) not in (first, second)
    assert len(os.listdir("/proc/self/fd")) == open_files + 1
