"""Check that lines and inlined functions equal those of binutils, and that an unreadable debug file costs only its
lines."""

from __future__ import annotations

import hashlib
import os
import random
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path

import pytest

from httpcapture import Module
from httpreport.elf.elf import read_elf
from httpreport.elf.symbol_table import read_symbols
from httpreport.report.report import Report
from httpreport.symbols import source_lines
from httpreport.symbols.binary import Binary, Location
from httpreport.symbols.binary_lookup import Binaries
from httpreport.symbols.source_lines import DebugFile, LineReader
from support.compiled import compiled, run
from support.debian import unpack_packages
from support.live import Taken, build_id, own_cache, taken  # noqa: F401 (own_cache is a fixture)
from support.processes import is_alive
from support.reports import reported, text_lines
from support.stacks import blocked
from workload.waiting import HANG_S, wait_until

SOURCE = """
#include <unistd.h>
static inline __attribute__((always_inline)) int innermost(char *bytes, int size) {
  return read(0, bytes, size) + 1;
}
static inline __attribute__((always_inline)) int middle(char *bytes, int size) {
  int total = 0;
  for (int i = 0; i < size; i++)
    total += innermost(bytes, size - i);
  return total;
}
__attribute__((noinline)) int outer(int count) {
  char bytes[64];
  return middle(bytes, count) + bytes[3];
}
int main(int argc, char **argv) { return outer(argc + 3) + argc; }
"""

SUFFIX = re.compile(r"(\.(cold|constprop|isra|lto_priv|part)(\.\d+)*)+$")  # gcc's


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(tmp_path_factory.mktemp("lines"), "inlined.c", SOURCE, ["-g", "-fno-optimize-sibling-calls"])


@pytest.fixture(scope="module")
def stack(program: Path) -> Taken:
    with blocked([program]) as pid:
        return taken(pid)


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return Debian's python3.11 and its debug file."""
    folder = tmp_path_factory.mktemp("python")
    unpack_packages("bookworm", ["python3.11-minimal"], folder, "*/python3.11")
    unpack_packages("bookworm", ["python3.11-dbg"], folder, "*/.build-id/*")
    binary = folder / "usr/bin/python3.11"
    id = build_id(binary).hex()
    return binary, folder / f"usr/lib/debug/.build-id/{id[:2]}/{id[2:]}.debug"


def found_by(report: Report) -> list[tuple[str | None, int | None, bool]]:
    return [(frame.name, frame.line, frame.inlined) for frame in report.trace(0).frames]


def debug_file(path: Path) -> DebugFile:
    return DebugFile.of(os.fsencode(path), build_id(path), build_id(path))


def test_inlined_functions_are_frames_of_their_own(program: Path, stack: Taken) -> None:
    binaries = Binaries()

    report = reported(stack.capture(), find_binary=binaries.find)

    binaries.close()
    frames = found_by(report)
    assert [frame for frame in frames if frame[0] in ("innermost", "middle", "outer", "main")] == [
        ("innermost", 4, True),
        ("middle", 9, True),
        ("outer", 14, False),
        ("main", 16, False),
    ]
    inlined = f"    innermost ({program}) {program}.c:4 [inlined]"
    assert inlined in text_lines(report, "run.cap")
    assert tuple(frame.address for frame in report.trace(0).frames if not frame.inlined) == stack.expected


def test_every_address_has_the_lines_and_functions_of_addr2line(program: Path) -> None:
    functions = re.findall(r"^([0-9a-f]+) ([0-9a-f]+) T (?:main|outer)$", run("nm", "-S", program), re.MULTILINE)
    addresses = [int(start, 16) + offset for start, size in functions for offset in range(int(size, 16))]

    ours = found_at(program, program, addresses)

    assert len(addresses) > 50
    assert ours == addr2line(program, addresses)


def test_lines_and_functions_of_python_are_those_of_addr2line_but_for_known_kinds(
    python: tuple[Path, Path],
) -> None:
    """10,000 addresses in functions of Debian's python3.11 (gcc 12, -O3, LTO), of which 0.2 % differ, in three ways:

    - no entry: DWARF has a row of lines for the address, but no entry for the function (which only the symbol table
      names). addr2line shows the line, `symbolic` none.
    - folded: the compiler made one code of two functions that do the same. Each shows another of their names.
    - no row: an inlined function begins within a row of lines, without one of its own. addr2line shows it with the
      line of that row, which is of other code; `symbolic` leaves it out.

    Not a difference: the compiler's suffixes of a name (`.cold`), which addr2line often leaves out, and the file where
    addr2line has nothing but `<artificial>`.
    """
    binary, debug = python
    addresses = in_functions(debug, 10_000)

    ours, theirs = found_at(binary, debug, addresses), addr2line(debug, addresses)

    names = same_code(debug)
    kinds = [difference(one, other, names) for one, other in zip(ours, theirs)]
    unknown = [
        (hex(at), one, other) for at, kind, one, other in zip(addresses, kinds, ours, theirs) if kind == "unknown"
    ]
    assert unknown == []
    counted = Counter(filter(None, kinds))
    print(f"lines of python3.11 against addr2line, {len(addresses)} addresses: {dict(counted)} differ")
    assert sum(counted.values()) < len(addresses) * 0.005
    assert sum(len(one) > 1 for one in ours) > 1000


def in_functions(debug: Path, count: int) -> list[int]:
    table, chance = read_symbols(read_elf(debug.read_bytes())), random.Random(count)
    functions = table.symbols.tolist()
    weights = [end - start for start, end, *_ in functions]
    return [chance.randrange(start, end) for start, end, *_ in chance.choices(functions, weights, k=count)]


def same_code(debug: Path) -> dict[str, set[str]]:
    """Return the addresses of each name, as text, by binutils' nm."""
    names: dict[str, set[str]] = {}
    for address, name in re.findall(r"^([0-9a-f]+) [tTwW] (\S+)$", run("nm", debug), re.MULTILINE):
        names.setdefault(SUFFIX.sub("", name), set()).add(address)
    return names


def difference(ours: Sequence[Location], theirs: Sequence[Location], names: dict[str, set[str]]) -> str | None:
    """Return the kind of difference between two answers, or None if there is none."""
    one, other = [plain(each) for each in ours], [plain(each) for each in theirs]
    other = [
        at._replace(file=mine.file) if str(at.file).endswith("<artificial>") else at
        for at, mine in zip_longest(other, one[: len(other)], fillvalue=Location("", None, 0))
    ]
    if one == other:
        return None
    if one == [Location(other[-1].function, None, 0)] and len(other) == 1:
        return "no entry"
    if one == other[1:]:
        return "no row"
    if [at[1:] for at in one] == [at[1:] for at in other] and all(
        mine.function == their.function or names.get(mine.function, set()) & names.get(their.function, set())
        for mine, their in zip(one, other)
    ):
        return "folded"
    return "unknown"


def plain(at: Location) -> Location:
    """Return a location without the compiler's suffixes of its name, and with the shortest path to the file."""
    return Location(SUFFIX.sub("", at.function), at.file and os.path.normpath(at.file), at.line)


def found_at(binary: Path, debug: Path, addresses: Sequence[int]) -> list[list[Location]]:
    lowest = min(segment.address for segment in read_elf(binary.read_bytes()).segments)
    reader, file = LineReader(), debug_file(debug)
    found = [list(reader.at(file, address - lowest)) for address in addresses]
    reader.close()
    assert reader.problems == []
    return found


def addr2line(debug: Path, addresses: Sequence[int]) -> list[list[Location]]:
    """Return what addr2line prints for each address: `function`, then `file:line` and perhaps a discriminator,
    innermost first. It prints question marks for a line to which no code belongs (0) and for an unknown file."""
    command: list[str | Path] = ["addr2line", "-a", "-f", "-i", "-e", debug]
    asked = "\n".join(map(hex, addresses))
    answer = subprocess.run(command, input=asked, capture_output=True, text=True, check=True).stdout
    found = []
    for each in re.split(r"^0x[0-9a-f]+\n", answer, flags=re.MULTILINE)[1:]:
        frames = re.findall(r"^(.*)\n(.*):(\d+|\?)(?: \(discriminator \d+\))?$", each, re.MULTILINE)
        found.append([Location(name, file, int(line.replace("?", "0"))) for name, file, line in frames])
    return found


@pytest.mark.parametrize("without", [(), (".symtab", ".strtab")])
def test_a_debug_file_gives_the_lines_of_a_stripped_binary(
    without: tuple[str, ...], tmp_path: Path, program: Path, stack: Taken
) -> None:
    id = build_id(program).hex()
    debug = tmp_path / f"usr/lib/debug/.build-id/{id[:2]}/{id[2:]}.debug"
    debug.parent.mkdir(parents=True)
    run("objcopy", "--only-keep-debug", "--compress-debug-sections=zlib", program, debug)
    stripped = [one for one in stack.sections if one.name not in without]
    binaries = Binaries(root=str(tmp_path))

    report = reported(replace(stack, sections=stripped).capture(), find_binary=binaries.find)

    binaries.close()
    assert ("innermost", 4, True) in found_by(report)
    assert binaries.problems == []


def test_a_binary_without_a_build_id_has_lines_too(tmp_path: Path) -> None:
    program = compiled(tmp_path, "unnumbered.c", SOURCE, ["-g", "-Wl,--build-id=none"])
    data = program.read_bytes()
    page = hashlib.sha256(data[:4096]).digest()
    binaries = Binaries()

    found = binaries.find(Module(1, os.fsencode(program), b"", len(data), page))

    assert isinstance(found, Binary)
    outer = int(next(line.split()[0] for line in run("nm", program).splitlines() if line.endswith(" outer")), 16)
    assert list(found.locations(outer)) == [Location("outer", f"{program}.c", 12)]
    binaries.close()


def test_the_second_report_reads_what_the_first_one_kept(
    tmp_path: Path, program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not even need the DWARF: the file is no longer a readable ELF file."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    copy = tmp_path / "copy"
    shutil.copy(program, copy)
    file = debug_file(copy)
    address = int(next(line.split()[0] for line in run("nm", program).splitlines() if line.endswith(" outer")), 16)
    first, second = LineReader(), LineReader()

    before = first.at(file, address)
    copy.write_bytes(b"nothing")
    after = second.at(file, address)

    first.close()
    second.close()
    assert before == after != ()
    assert [path.name for path in (tmp_path / "cache/httpreport/lines").iterdir()] == [file.name]


def test_what_is_of_another_build_gives_no_lines(
    tmp_path: Path, program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the file is used nor the cache entry with its name."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    right = debug_file(program)
    wrong = replace(right, build_id=b"\1" * 20)
    readers = [LineReader() for _ in range(3)]

    readers[0].at(right, 0)
    kept = (tmp_path / "cache/httpreport/lines" / right.name).exists()
    found = [readers[1].at(wrong, 0), readers[2].at(replace(wrong, name="not kept"), 0)]

    for reader in readers:
        reader.close()
    assert kept
    assert found == [(), ()]
    assert [reader.problems for reader in readers] == [
        [],
        *[[f"no lines from {program}: the file belongs to another build"]] * 2,
    ]


@pytest.mark.parametrize(
    ("worker", "why"),
    [
        ("import os; os._exit(1)", "the process that reads it died"),
        ("import signal; signal.pause()", "no answer within 1 s"),
        ("print('x' * (2 << 20), flush=True); input()", "the answer was too long"),
    ],
)
def test_a_worker_that_fails_costs_the_lines_of_one_file(
    worker: str, why: str, tmp_path: Path, program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "httpreport/symbols").mkdir(parents=True)
    (tmp_path / "httpreport/__init__.py").write_text("")
    (tmp_path / "httpreport/symbols/__init__.py").write_text("")
    (tmp_path / "httpreport/symbols/source_lines_worker.py").write_text(worker)
    file = debug_file(program)
    reader = LineReader()
    # Only what never answers may run out of time: to start a worker can take seconds on a busy machine.
    monkeypatch.setattr(source_lines, "TIMEOUT_S", 1.0 if why.startswith("no answer") else HANG_S)
    with monkeypatch.context() as failing:
        failing.syspath_prepend(str(tmp_path))
        assert reader.at(file, 0x1000) == ()
    assert reader.problems == [f"no lines from {program}: its DWARF could not be read ({why})"]

    monkeypatch.setattr(source_lines, "TIMEOUT_S", HANG_S)
    other = tmp_path / "other"
    shutil.copy(program, other)
    at = int(next(line.split()[0] for line in run("nm", program).splitlines() if line.endswith(" outer")), 16)
    found = reader.at(debug_file(other), at)
    reader.close()

    assert found == (Location("outer", f"{program}.c", 12),)


def test_the_worker_ends_when_its_parent_is_killed() -> None:
    """It ends even in the middle of an answer, when it does not look at its standard input, which the test keeps
    open."""
    start = "import subprocess, sys; subprocess.run([sys.executable, '-m', 'httpreport.symbols.source_lines_worker'])"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", start]
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdin is not None and parent.stdout is not None
        parent.stdin.write(b'["/no/such/file", "", "no name", 0]\n')
        parent.stdin.flush()
        assert b"problem" in parent.stdout.readline()
        (worker,) = map(int, Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split())
        assert is_alive(worker)

        parent.kill()

        wait_until("the end of the worker", lambda: not is_alive(worker))
