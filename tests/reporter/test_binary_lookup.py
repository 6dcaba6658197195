"""Check that only a regular file of the recorded build is read, whatever path a capture names."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import pytest

from httpcapture import Module
from httpreport.elf.elf import read_elf
from httpreport.languages.stack_trace import Unnamed
from httpreport.symbols import binary_lookup
from httpreport.symbols.binary import Binary
from httpreport.symbols.binary_lookup import Binaries
from support.compiled import compiled
from support.live import build_id

PROGRAM = Path("/usr/bin/python3").resolve()
BUILD_ID = build_id(PROGRAM)


def find(path: Path | bytes, symfs: Path | None = None, id: bytes = BUILD_ID) -> Binary | Unnamed:
    return Binaries(None if symfs is None else str(symfs)).find(Module(1, os.fsencode(path), id, 0, b""))


def test_a_file_of_the_recorded_build_is_read() -> None:
    found = find(PROGRAM)

    assert isinstance(found, Binary)
    assert found.elf.build_id == BUILD_ID
    assert len(found.symbols[0]) > 0


def test_a_deleted_file_may_stand_at_its_path_again() -> None:
    assert isinstance(find(os.fsencode(PROGRAM) + b" (deleted)"), Binary)


def test_a_symlink_is_followed_as_the_build_id_vouches(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(PROGRAM)

    assert isinstance(find(tmp_path / "link"), Binary)


def test_symfs_comes_first_and_the_local_path_after_it(tmp_path: Path) -> None:
    other = tmp_path / PROGRAM.relative_to("/")
    other.parent.mkdir(parents=True)
    shutil.copy("/bin/ls", other)

    assert isinstance(find(PROGRAM, symfs=tmp_path), Binary)
    assert find(PROGRAM, symfs=tmp_path, id=b"\1" * 20) is Unnamed.OTHER_BUILD


def test_without_a_build_id_size_and_first_page_have_to_be_the_recorded_ones(tmp_path: Path) -> None:
    data = PROGRAM.read_bytes()
    page = hashlib.sha256(data[:4096]).digest()
    (tmp_path / "longer").write_bytes(data + b"\0")

    def found(path: Path, size: int, digest: bytes) -> Binary | Unnamed:
        return Binaries().find(Module(1, os.fsencode(path), b"", size, digest))

    assert isinstance(found(PROGRAM, len(data), page), Binary)
    assert found(tmp_path / "longer", len(data), page) is Unnamed.OTHER_BUILD
    assert found(PROGRAM, len(data), bytes(32)) is Unnamed.OTHER_BUILD
    assert found(PROGRAM, len(data), b"") is Unnamed.NO_IDENTITY


def test_without_a_build_id_a_file_has_to_hold_what_the_capture_carries(tmp_path: Path) -> None:
    """Builds whose names have the same length have the same size and first page."""
    builds = []
    for function in ("recorded", "upgraded"):
        (tmp_path / function).mkdir()
        code = f"int {function}(void) {{ return 1; }} int main(void) {{ return {function}(); }}"
        builds.append(compiled(tmp_path / function, "program.c", code, ["-Wl,--build-id=none"]))
    recorded, upgraded = (build.read_bytes() for build in builds)
    assert (len(recorded), recorded[:4096]) == (len(upgraded), upgraded[:4096])
    module = Module(1, os.fsencode(builds[1]), b"", len(recorded), hashlib.sha256(recorded[:4096]).digest())

    found = Binaries().find(module, read_elf(recorded))
    same = Binaries().find(module, read_elf(upgraded))

    assert isinstance(found, Binary) and isinstance(same, Binary)
    assert b"recorded\0" in found.symbols[0].strings and b"upgraded\0" not in found.symbols[0].strings
    assert b"upgraded\0" in same.symbols[0].strings


@pytest.mark.timeout(300)  # to open one of them may take for ever
def test_neither_devices_nor_pipes_nor_directories_are_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in ("/dev/zero", "/dev/tty", "/", tmp_path / "fifo", "/proc/self/maps", "/proc/kmsg"):
        assert find(Path(path)) is Unnamed.UNREADABLE


@pytest.mark.parametrize(
    "path", [b"relative", b"", b"/usr/../usr/bin/python3", b"/usr/bin/python3\0", b"[vdso]", b"/" + b"x" * 9999]
)
def test_an_invalid_path_gives_a_reason_instead_of_a_file(path: bytes) -> None:
    assert find(path) in (Unnamed.NOT_FOUND, Unnamed.UNREADABLE)


def test_what_is_no_elf_file_is_not_readable(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("#!/bin/sh\n")
    (tmp_path / "cut").write_bytes(PROGRAM.read_bytes()[:100])

    assert find(tmp_path / "text") is Unnamed.UNREADABLE
    assert find(tmp_path / "cut") is Unnamed.UNREADABLE
    assert find(tmp_path / "nothing") is Unnamed.NOT_FOUND


@pytest.mark.parametrize("size", [64, 100, 4096, 1 << 24])
def test_how_much_of_the_file_is_looked_at_first_does_not_matter(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binary_lookup, "HEAD", size)

    assert isinstance(find(PROGRAM), Binary)
    assert find(PROGRAM, id=b"\1" * 20) is Unnamed.OTHER_BUILD


def test_a_file_that_is_too_large_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binary_lookup, "MAX_BYTES", 1000)

    assert find(PROGRAM) is Unnamed.UNREADABLE
