"""Check that the PHP of a process is found, and that one whose frames cannot be followed has the reason."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from httpcapture import WalkStatus
from httprec.languages.elf_symbols import Symbol, Symbols
from httprec.languages.mapped_files import MappedFile, mapped_files
from httprec.languages.memory import Memory
from httprec.languages.php_layouts import LAYOUTS
from httprec.languages.php_process import Php, find_php, php_of
from support.made_memory import MadeMemory

PHP = shutil.which("php")
API = 20220829
REGISTRY, ENTRIES, MODULE, GLOBALS = 0x1000, 0x2000, 0x3000, 0x4000
FILE = MappedFile(b"/usr/bin/php", 0x10_0000, 0, "")
SYMBOLS = {"module_registry": Symbol(REGISTRY, 56), "executor_globals": Symbol(GLOBALS, 1776)}


def made(api: int = API, debug: int = 0, threads: int = 0, size: int = 168) -> MadeMemory:
    """Return the memory of a PHP whose first module says these things of itself."""
    bias = FILE.start
    return MadeMemory(
        {
            REGISTRY + bias: struct.pack("<QQQ", 0, 0, ENTRIES),
            ENTRIES: struct.pack("<Q", MODULE),
            MODULE: struct.pack("<HxxIBB", size, api, debug, threads),
        }
    )


def php_in(memory: MadeMemory, names: dict[str, Symbol] | None = None) -> Php | None:
    return php_of(memory, FILE, Symbols(SYMBOLS if names is None else names, 0))


def test_the_number_of_its_layouts_tells_where_the_frames_begin() -> None:
    found = php_in(made())
    assert found == Php((8, 2), LAYOUTS[API], FILE.start + GLOBALS + LAYOUTS[API].page_size)


@pytest.mark.parametrize(
    ("memory", "reason"),
    [
        (made(threads=1), WalkStatus.HAS_THREADS),
        (made(debug=1), WalkStatus.OTHER_VERSION),
        (made(api=20190902), WalkStatus.OTHER_VERSION),
    ],
    ids=["threads", "debug", "7.4"],
)
def test_a_php_whose_frames_cannot_be_followed_has_the_reason(memory: MadeMemory, reason: WalkStatus) -> None:
    found = php_in(memory)
    assert found is not None
    assert (found.unwalked, found.for_process(), found.for_executable()) == (reason, b"", b"")


def test_one_without_globals_is_built_for_threads() -> None:
    found = php_in(made(), {"module_registry": SYMBOLS["module_registry"]})
    assert found and found.unwalked is WalkStatus.HAS_THREADS


def test_another_program_with_such_a_symbol_has_no_php() -> None:
    assert php_in(made(size=7)) is None


@pytest.mark.skipif(PHP is None, reason="no PHP on PATH")
def test_the_php_of_a_process_is_found() -> None:
    assert PHP
    version = subprocess.run([PHP, "-r", "echo PHP_VERSION;"], capture_output=True, text=True, check=True).stdout
    command = [PHP, "-r", "echo 'runs'; fgets(STDIN);"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout and process.stdout.read(4) == b"runs"
        pid = process.pid
        maps, executable = Path(f"/proc/{pid}/maps").read_bytes(), os.readlink(f"/proc/{pid}/exe".encode())
        found = find_php(pid, mapped_files(pid, maps), executable)
        assert found and found.version == tuple(map(int, version.split(".")[:2]))
        assert found.for_process() == found.for_executable() != b""
        start_of_code = int(
            Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[23]
        )  # field 26, startcode: proc(5)
        with Memory(pid) as memory:
            assert memory.u64((start_of_code + found.page_size) % (1 << 64)) == 256 << 10  # ZEND_VM_STACK_PAGE_SIZE
