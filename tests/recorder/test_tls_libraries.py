"""Attach to the libraries that processes have mapped: each file once, by the process that may."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from httpcapture import Process
from httprec.tls import attacher
from httprec.tls.attacher import Attacher
from httprec.tls.libraries import TlsLibraries
from httprec.tls.places import Registers
from support.tls_library import library

NEEDED = 1 << 2 | 1 << 19 | 1 << 40  # what every process of a recorder keeps: test_privileges.py
ADMIN = 1 << 21


@pytest.fixture(autouse=True)
def root() -> None:
    if os.geteuid() != 0:
        pytest.skip("not root: it cannot open what processes have mapped")


@contextmanager
def mapped(path: Path) -> Iterator[Process]:
    """Yield this process, which has mapped a file to execute it."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ | mmap.PROT_EXEC):
        maps = Path("/proc/self/maps").read_bytes()
        lines = [line for line in maps.splitlines(keepends=True) if bytes(path.parent) in line]
        yield Process(os.getpid(), 1, 1, b"asks", b"/usr/bin/asks", 0, b"".join(lines), ())


class Probes:
    """Take note of what is attached instead of doing so."""

    def __init__(self) -> None:
        self.attached: list[tuple[str, int]] = []
        self.descriptors: list[int] = []
        self.registers: dict[int, Registers] = {}
        self.problem = 0

    def set_registers(self, place: int, registers: Registers) -> None:
        self.registers[place] = registers

    def attach(self, program: str, file: int, offset: int) -> int:
        if self.problem:
            raise OSError(self.problem, os.strerror(self.problem))
        self.attached.append((program, offset))
        self.descriptors.append(os.dup(file))
        return self.descriptors[-1]


def libraries_of(folder: Path, name: str = "libssl.so.3", **changes: str) -> tuple[Path, dict[str, int]]:
    made, labels = library(folder, **changes)
    return made.rename(folder / name), labels


def test_a_library_is_attached_to_once_until_the_end(tmp_path: Path) -> None:
    path, labels = libraries_of(tmp_path)
    probes = Probes()
    libraries = TlsLibraries(probes.attach, probes.set_registers, [], [])
    with mapped(path) as process:
        libraries.look_at(process)
        libraries.look_at(process)
    assert probes.attached == [("tls_read_returns", labels["ended"]), ("tls_write_enters", labels["written"])]
    assert probes.registers == {labels["ended"] % 4096: Registers(3, 12, 13)}
    libraries.see_encrypted([os.getpid()])
    assert not list(libraries.unreadable())
    libraries.close()
    for descriptor in probes.descriptors:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)


def test_libraries_with_other_registers_at_the_same_place_are_not_confused(tmp_path: Path) -> None:
    probes = Probes()
    libraries = TlsLibraries(probes.attach, probes.set_registers, [], [])
    for number, changes in enumerate(({}, {"received": "%r14"})):
        folder = tmp_path / str(number)
        folder.mkdir()
        path, labels = libraries_of(folder, **changes)
        with mapped(path) as process:
            libraries.look_at(process)
    libraries.see_encrypted([os.getpid()])
    (told,) = libraries.unreadable()
    assert told.endswith(": libssl.so.3 cannot be told from another library")
    assert probes.registers == {labels["ended"] % 4096: Registers(3, 12, 13)}


@pytest.mark.parametrize(
    ("name", "changes", "problem"),
    [
        ("libssl.so.3", {"seventh": ""}, "libssl.so.3 has code in ssl3_read that is not known"),
        ("libgnutls.so.30", {}, "libgnutls.so.30 has no symbols of GnuTLS 3.6.3 or later"),
        ("libjvm.so", {}, "Java's own TLS is not read"),
        (
            "other.so",
            {},
            "no library that can be read: its TLS is linked statically without symbols, or is Go's, rustls or another",
        ),
    ],
)
def test_what_cannot_be_read_is_told(tmp_path: Path, name: str, changes: dict[str, str], problem: str) -> None:
    path, _ = libraries_of(tmp_path, name, **changes)
    probes = Probes()
    libraries = TlsLibraries(probes.attach, probes.set_registers, [], [])
    with mapped(path) as process:
        libraries.look_at(process)
    assert not list(libraries.unreadable())  # nothing was encrypted
    libraries.see_encrypted([os.getpid()])
    assert list(libraries.unreadable()) == [f"asks (pid {os.getpid()}): {problem}"]


def test_a_refusal_of_the_kernel_is_told(tmp_path: Path) -> None:
    path, _ = libraries_of(tmp_path)
    probes = Probes()
    probes.problem = 13
    libraries = TlsLibraries(probes.attach, probes.set_registers, [], [])
    with mapped(path) as process:
        libraries.look_at(process)
    libraries.see_encrypted([os.getpid()])
    (told,) = libraries.unreadable()
    assert told.endswith(": libssl.so.3 cannot be probed: Permission denied")


def test_only_processes_with_the_names_are_looked_at_first(tmp_path: Path) -> None:
    path, _ = libraries_of(tmp_path)
    own = Path("/proc/self/comm").read_bytes().strip()
    with mapped(path):
        for names, ignored, count in (([b"no such"], [], 0), ([own], [os.getpid()], 0), ([own[:3] + b"*"], [], 2)):
            probes = Probes()
            libraries = TlsLibraries(probes.attach, probes.set_registers, names, ignored)
            libraries.look_around()
            own_places = [offset for _, offset in probes.attached if offset < path.stat().st_size]
            assert len(own_places) >= count
            assert bool(own_places) == bool(count)
            libraries.close()


def test_another_process_attaches_with_one_capability_more(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What it attaches to is told here by the name of a file that it makes."""

    def attach(program: int, file: int, offset: int) -> int:
        if offset == 7:
            raise OSError(22, "any")
        status = Path("/proc/self/status").read_text()
        kept = next(line.split()[1] for line in status.splitlines() if line.startswith("CapPrm"))
        made = tmp_path / f"{program}-{os.fstat(file).st_ino}-{offset}-{kept}-{os.getpid()}"
        return os.open(made, os.O_RDWR | os.O_CREAT)

    monkeypatch.setattr(attacher, "attach", attach)
    asked = Attacher({"first": 1000, "second": 2000})
    with Path(__file__).open("rb") as file:
        found = asked.attach("second", file.fileno(), 5)
        with pytest.raises(OSError, match="Invalid argument"):
            asked.attach("first", file.fileno(), 7)
        inode = os.fstat(file.fileno()).st_ino
    made = os.readlink(f"/proc/self/fd/{found}")
    *what, kept, pid = Path(made).name.split("-")
    assert what == ["2000", str(inode), "5"]
    assert int(kept, 16) == NEEDED | ADMIN
    assert int(pid) != os.getpid()
    asked.close()
    assert not Path(f"/proc/{pid}").exists()
    assert os.fstat(found)
    os.close(found)
