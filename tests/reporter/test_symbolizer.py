"""Check that addresses of live processes get the names that binutils and the dynamic linker give them, or the right
reason."""

from __future__ import annotations

import ctypes
import hashlib
import io
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from httpcapture import Module, Process, Reader, Stack
from httpreport.calls.filters import Selection
from httpreport.calls.process_keys import ProcessKey
from httpreport.capture.loader import load
from httpreport.languages.stack_trace import Frame, NoStack, StackTrace, Unnamed
from httpreport.symbols import maps
from httpreport.symbols.binary_lookup import Binaries
from httpreport.symbols.symbolizer import Symbolizer
from support.compiled import compiled, run
from support.live import build_id, own_cache  # noqa: F401 (a fixture)
from support.recordings import MAPS, META, PATH, PROCESS_START_NS, STARTED_NS, TEXT, capture, process, stack

PROGRAM = r"""
#include <execinfo.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* leaf does not return, so the address after the call in middle is in the function behind it: only address - 1
   is in middle. */
__attribute__((noinline, noreturn)) static void leaf(void)
{
	void *stack[16];
	int depth = backtrace(stack, 16);
	for (int i = 0; i < depth; i++)
		printf("%p\n", stack[i]);
	fflush(stdout);
	pause();
	exit(0);
}
__attribute__((noinline)) static void middle(void) { leaf(); }
__attribute__((noinline)) int outer(int count) { middle(); return count; }
int main(int argc, char **argv) { return outer(argc) + argc; }
"""


def recorded(text: bytes, pid: int = 12345) -> tuple[Process, dict[int, Module]]:
    """Return a process with these maps, and its modules, as the recorder would record them."""
    modules: dict[int, Module] = {}
    mapped = []
    for mapping in maps.parse(text)._mappings:
        path = Path(os.fsdecode(mapping.path))
        if mapping.executable and path.is_file():
            page = path.read_bytes()[:4096]
            size, digest = path.stat().st_size, hashlib.sha256(page).digest()
            module = Module(len(modules) + 1, mapping.path, build_id(path), size, digest)
            modules[module.id] = module
            mapped.append((mapping.start, module.id))
    return process(text, mapped, pid=pid), modules


EMPTY = load(Reader(io.BytesIO(capture([]))), Selection.of(META, 0, ()))  # a recording of nothing


def traced(
    recorded_stack: Stack, processes: list[Process], modules: dict[int, Module], symfs: str | None = None
) -> StackTrace:
    by_key: dict[ProcessKey, list[Process]] = {}
    for one in processes:
        by_key.setdefault(ProcessKey.of(META, one.pid, one.start_ns), []).append(one)
    recording = replace(EMPTY, processes=by_key, modules=modules)
    with closing(Binaries(symfs)) as binaries:
        return Symbolizer(recording, binaries.find).stack_trace(recorded_stack)


def reasons(trace: StackTrace) -> list[Unnamed | None]:
    return [frame.unnamed for frame in trace.frames]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(tmp_path_factory.mktemp("program"), "calls.c", PROGRAM, ["-g", "-fno-optimize-sibling-calls"])


@pytest.fixture(scope="module")
def live(program: Path) -> Iterator[tuple[bytes, list[int]]]:
    """Return /proc/PID/maps of the running program, and the addresses of its stack."""
    with subprocess.Popen([program], stdout=subprocess.PIPE) as running:
        assert running.stdout is not None
        addresses = [int(running.stdout.readline(), 16) for _ in range(4)]
        yield Path(f"/proc/{running.pid}/maps").read_bytes(), addresses
        running.kill()


def test_a_live_stack_gets_the_names_that_addr2line_gives(program: Path, live: tuple[bytes, list[int]]) -> None:
    text, addresses = live
    base = min(mapping.start for mapping in maps.parse(text)._mappings if mapping.path == os.fsencode(program))
    inside = [addresses[0], *(address - 1 for address in addresses[1:])]
    oracle = run("addr2line", "-f", "-e", program, *(hex(address - base) for address in inside)).splitlines()[::2]
    starts = {
        name: int(start, 16) for start, _, name in map(str.split, run("nm", "--defined-only", program).splitlines())
    }

    trace = traced(stack(*addresses), *recorded_as_list(text))

    assert [frame.name for frame in trace.frames] == oracle == ["leaf", "middle", "outer", "main"]
    assert [frame.address for frame in trace.frames] == addresses
    offsets = [address - base - starts[name] for address, name in zip(addresses, oracle)]
    assert [frame.symbol_offset for frame in trace.frames] == offsets
    assert {frame.module for frame in trace.frames} == {str(program)}


def recorded_as_list(text: bytes) -> tuple[list[Process], dict[int, Module]]:
    one, modules = recorded(text)
    return [one], modules


def test_the_call_that_does_not_return_needs_the_byte_before_its_return_address(
    program: Path, live: tuple[bytes, list[int]]
) -> None:
    """For the return address itself, both binutils and we name another function."""
    text, addresses = live

    wrong = traced(stack(addresses[1]), *recorded_as_list(text))

    assert wrong.frames[0].name != "middle"


def test_functions_of_this_very_process_are_named() -> None:
    functions, names = ctypes.CDLL(None), ("getpid", "getaddrinfo", "Py_Main", "PyObject_Call")
    found = {name: ctypes.cast(getattr(functions, name), ctypes.c_void_p).value or 0 for name in names}
    text = Path("/proc/self/maps").read_bytes()

    for name, address in found.items():
        frame = traced(stack(address + 1), *recorded_as_list(text)).frames[0]
        assert (frame.name, frame.symbol_offset) == (name, 1)


def test_another_build_gives_no_name_but_the_reason(program: Path, live: tuple[bytes, list[int]]) -> None:
    text, addresses = live
    one, modules = recorded(text)
    others = {id: replace(module, build_id=b"\1" * 20) for id, module in modules.items()}

    trace = traced(stack(*addresses), [one], others)

    assert {frame.name for frame in trace.frames} == {None}
    assert set(reasons(trace)) == {Unnamed.OTHER_BUILD}
    assert trace.frames[0].label == f"calls+0x{trace.frames[0].file_offset:x}"


def test_a_stripped_binary_gives_only_what_dynsym_covers(tmp_path: Path, program: Path) -> None:
    stripped = tmp_path / "stripped"
    run("strip", "-o", stripped, program)

    with subprocess.Popen([stripped], stdout=subprocess.PIPE) as running:
        assert running.stdout is not None
        address = int(running.stdout.readline(), 16)
        text = Path(f"/proc/{running.pid}/maps").read_bytes()
        running.kill()

    assert reasons(traced(stack(address), *recorded_as_list(text))) == [Unnamed.STRIPPED]


def test_a_binary_is_found_below_symfs_and_only_its_own_build(
    tmp_path: Path, program: Path, live: tuple[bytes, list[int]]
) -> None:
    text, addresses = live
    gone = b"/nowhere/bin/calls"
    text = text.replace(os.fsencode(program), gone)
    module = Module(1, gone, build_id(program), 0, b"")
    start = maps.parse(text).find(addresses[0])
    assert start is not None
    one = process(text, [(start.start, 1)])
    copy = tmp_path / "nowhere/bin/calls"
    copy.parent.mkdir(parents=True)

    assert reasons(traced(stack(*addresses), [one], {1: module})) == [Unnamed.NOT_FOUND] * 4
    shutil.copy(program, copy)
    assert traced(stack(*addresses), [one], {1: module}, str(tmp_path)).frames[0].name == "leaf"
    shutil.copy("/bin/ls", copy)
    assert reasons(traced(stack(*addresses), [one], {1: module}, str(tmp_path))) == [Unnamed.OTHER_BUILD] * 4


def test_every_reason_without_a_binary() -> None:
    text = MAPS + (
        b"10000-20000 r-xp 00000000 00:00 0 \n"
        b"20000-30000 rw-p 00000000 00:00 0 [heap]\n"
        b"30000-40000 r-xp 00000000 00:00 0 [vdso]\n"
    )
    modules = {1: Module(1, PATH, b"", 0, b"")}

    trace = traced(stack(TEXT + 5, 0x10010, 0x30010, 0x20010), [process(text, [(TEXT, 1)])], modules)
    outside = traced(stack(0x50000), [process(text)], {})
    unrecorded = traced(stack(TEXT + 5), [process(text)], {})

    assert reasons(trace) == [Unnamed.NO_IDENTITY, Unnamed.ANONYMOUS, Unnamed.KERNEL_PROVIDED, Unnamed.NOT_CODE]
    assert reasons(outside) == [Unnamed.UNMAPPED]
    assert [frame.label for frame in trace.frames[:2]] == [
        "lib nova.so+0x1005",
        "[code made at run time, without a JIT map]",
    ]
    assert reasons(unrecorded) == [Unnamed.NO_MODULE]


def test_a_process_without_maps_or_with_another_start_names_nothing() -> None:
    gone = process(b"", problem="ended before its maps were read")
    other = replace(process(), start_ns=PROCESS_START_NS + 1_000_000_000)

    for processes in ([], [gone], [other]):
        assert reasons(traced(stack(TEXT), processes, {})) == [Unnamed.NO_MAPS]


def test_a_process_start_is_the_same_in_ticks_and_in_nanoseconds() -> None:
    as_of_proc = replace(process(), start_ns=PROCESS_START_NS // 10_000_000 * 10_000_000)

    assert reasons(traced(stack(TEXT), [as_of_proc], {})) == [Unnamed.NO_MODULE]


def test_only_code_that_the_readings_before_and_after_a_stack_both_have_is_named() -> None:
    """An exec changes neither pid nor start, and a dlopen comes after the first maps."""
    before = process(b"10000-20000 r-xp 00000000 fe:01 1 /bin/before\n", taken_ns=STARTED_NS)
    after = process(b"10000-30000 r-xp 00000000 fe:01 2 /bin/after\n", taken_ns=STARTED_NS + 100)

    def modules(*addresses: int, at: int) -> list[str | None]:
        found = traced(stack(*addresses, taken_ns=STARTED_NS + at), [before, after], {})
        return [frame.module for frame in found.frames]

    assert modules(0x10010, at=-1) == ["/bin/before"]
    assert modules(0x10010, at=10) == modules(0x10010, at=90) == [None]
    assert modules(0x10010, 0x20010, at=10) == [None] * 2
    assert modules(0x10010, 0x20010, at=110) == ["/bin/after"] * 2


def test_an_empty_stack_and_an_endless_one() -> None:
    endless = stack(*[TEXT + 1] * 5000)

    assert traced(stack(), [process()], {}) == StackTrace((), NoStack.EMPTY)
    trace = traced(endless, [process()], {})
    assert (len(trace.frames), trace.left_out) == (1024, 3976)


def test_addresses_at_both_ends_of_memory() -> None:
    trace = traced(stack((1 << 64) - 1), [process()], {})

    assert trace.frames == (Frame((1 << 64) - 1, unnamed=Unnamed.UNMAPPED),)
    assert traced(stack(0), [process()], {}) == StackTrace((), NoStack.EMPTY)
