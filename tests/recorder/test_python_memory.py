"""Check that the Python of a process and its code objects are found in its memory, with this process as the example."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import CodeType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from httpbpf.layout import PYTHON_LAYOUT
from httprec.languages.elf_symbols import find_symbols
from httprec.languages.known_codes import ReplacedError
from httprec.languages.mapped_files import mapped_files
from httprec.languages.memory import Memory
from httprec.languages.python_code import CodeObject, factor, living_cookie, read_code
from httprec.languages.python_layouts import DEBUG_OFFSETS_SIZE, LAYOUTS, UnknownLayoutError, layout_of
from httprec.languages.python_process import Python, find_python
from httprec.rows import RowCodec

WIDTHS = {1: "latin-1", 2: "utf-16-le", 4: "utf-32-le"}


def python_in(pid: int) -> Python | None:
    maps, executable = Path(f"/proc/{pid}/maps").read_bytes(), os.readlink(f"/proc/{pid}/exe".encode())
    return find_python(pid, mapped_files(pid, maps), executable)


@pytest.fixture(scope="module")
def python() -> Python:
    found = python_in(os.getpid())
    assert found is not None
    return found


@pytest.fixture(scope="module")
def memory() -> Iterator[Memory]:
    with Memory(os.getpid()) as opened:
        yield opened


def read(memory: Memory, python: Python, code: CodeType) -> CodeObject:
    return read_code(memory, python, id(code), living_cookie(memory, python, id(code)))


def test_the_python_of_this_process_is_found(python: Python) -> None:
    assert python.version == sys.version_info[:2]
    assert RowCodec(PYTHON_LAYOUT).read(python.for_process())["interpreters"] == python.interpreters


def test_the_state_of_every_thread_is_found(python: Python, memory: Memory) -> None:
    """pthread_self(), which Python gives as get_ident(), is the thread pointer, from which the steps lead."""
    found: list[tuple[int, int]] = []

    def look() -> None:
        state = threading.get_ident()
        for step in python.slot:
            state = memory.u64(state + step)
        found.append((memory.u64(state + python.layout.thread_id), threading.get_ident()))

    threads = [threading.Thread(target=look) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    look()
    assert len(found) == 4
    assert all(named == ident for named, ident in found)


def test_a_process_without_python_has_none() -> None:
    with subprocess.Popen(["sleep", "1000"]) as sleep:
        assert python_in(sleep.pid) is None
        sleep.kill()


@pytest.mark.parametrize("name", ["plain", "prénom", "имя", "𐍈"])
def test_a_code_object_is_read_as_it_is(python: Python, memory: Memory, name: str) -> None:
    made: dict[str, object] = {}
    exec(compile(f"class C:\n\n  def {name}(self):\n    return 1\n", f"/srv/{name}.py", "exec"), made)
    code = getattr(made["C"], name).__code__

    found = read(memory, python, code)

    title = code.co_qualname if sys.version_info >= (3, 11) else code.co_name
    assert found.title.characters.decode(WIDTHS[found.title.width]) == title
    assert found.filename.characters.decode(WIDTHS[found.filename.width]) == code.co_filename
    assert found.first_line == 3
    assert found.table == code.co_linetable
    if sys.version_info >= (3, 11):
        assert found.bytecode_size == len(code.co_code)
        bytecode = memory.read(found.bytecode, found.bytecode_size)
        assert bytecode[: 2 * found.first_traceable + 1 : 2] == code.co_code[: 2 * found.first_traceable + 1 : 2]


def test_a_cookie_stays_while_a_code_object_runs(python: Python, memory: Memory) -> None:
    def called(count: int) -> int:
        return sum(number for number in range(count))

    before = living_cookie(memory, python, id(called.__code__))
    assert [called(n) for n in range(100)][-1] == 4851
    assert {hash(called.__code__.co_name), hash(called.__code__.co_filename), hash(called.__code__.co_linetable)}
    assert living_cookie(memory, python, id(called.__code__)) == before


def test_code_objects_of_equal_size_have_other_cookies(python: Python, memory: Memory) -> None:
    codes = [compile(f"{chr(10) * line}1", f"<made {file}>", "eval") for line in range(5) for file in range(5)]
    assert len({living_cookie(memory, python, id(code)) for code in codes}) == len(codes)


def test_small_changes_of_two_words_of_a_code_object_do_not_cancel_out() -> None:
    """Objects that are made one after the other differ so: in a pointer, and in a byte of their lines."""
    multiples = [{factor(place) * step % 2**64 for step in range(1, 64, 2)} for place in range(25)]
    assert not any(one & other for one, other in itertools.combinations(multiples, 2))


def test_a_freed_code_object_is_none(python: Python, memory: Memory) -> None:
    freed = 0
    for number in range(100):
        code = compile(f"{number}", "<freed>", "eval")
        address, cookie = id(code), living_cookie(memory, python, id(code))
        del code
        with pytest.raises((ReplacedError, OSError)):
            read_code(memory, python, address, cookie)
        freed += 1
    assert freed == 100


@pytest.mark.parametrize("address", [0, 1 << 63, (1 << 64) - 8, 8])
def test_addresses_that_are_none_are_refused(memory: Memory, address: int) -> None:
    with pytest.raises(OSError):
        memory.read(address, 8)


@pytest.mark.parametrize("version", LAYOUTS)
def test_every_layout_fits_into_what_the_kernel_takes(version: tuple[int, int]) -> None:
    made = Python(version, LAYOUTS[version], 1, 2, (0x318,)).for_process()
    assert len(made) == PYTHON_LAYOUT.size


def test_versions_that_are_not_known_are_said() -> None:
    with pytest.raises(UnknownLayoutError, match=r"^Python 3\.7 is not known$"):
        layout_of((3, 7), b"")
    without_gil = b"xdebugpy" + (0x030D0000).to_bytes(8, "little") + (1).to_bytes(8, "little")
    with pytest.raises(UnknownLayoutError, match=r"^Python without a GIL is not known$"):
        layout_of((3, 13), without_gil.ljust(DEBUG_OFFSETS_SIZE, b"\0"))


@given(head=st.binary(max_size=64), rest=st.binary(max_size=400))
def test_no_file_makes_the_search_for_symbols_fail(head: bytes, rest: bytes) -> None:
    fd = os.memfd_create("any")
    try:
        os.write(fd, b"\x7fELF\x02\x01" + head + rest)
        found = find_symbols(fd, ["_PyRuntime"])
        assert found is None or not found.named
    finally:
        os.close(fd)


def test_symbols_are_those_of_nm() -> None:
    wanted = ["Py_BytesMain", "PyCode_Type"]
    with open("/proc/self/exe", "rb") as file:
        found = find_symbols(file.fileno(), wanted)
    printed = subprocess.run(
        ["nm", "-D", "-S", f"/proc/{os.getpid()}/exe"], capture_output=True, text=True, check=True
    ).stdout
    defined = (line.split() for line in printed.splitlines())
    expected = {each[3]: (int(each[0], 16), int(each[1], 16)) for each in defined if len(each) == 4}
    assert found is not None
    assert found.named == {name: expected[name] for name in wanted if name in expected}
