"""Check that a stack copy gives the whole stack trace from the capture alone, or a reason."""

from __future__ import annotations

import io
import lzma
import os
import shutil
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from httpcapture import NO_JIT_MAP_SEEN, JitMap, MappedModule, Module, Record, Section
from httpreport.elf.elf import read_elf
from httpreport.elf.symbol_table import read_symbols
from httpreport.languages.stack_trace import Frame, Incomplete, NoStack, StackTrace, Unnamed
from httpreport.outputs import terminal
from httpreport.outputs.output import Style
from httpreport.report.report import Report, naming
from httpreport.symbols.binary_lookup import Binaries
from httpreport.unwind import Found
from support.compiled import JIT, compiled
from support.live import LIMITS, Taken, taken
from support.recordings import PROCESS_START_NS, STARTED_NS, Row, capture, process, stack
from support.redactions import redacted, traces
from support.reports import aggregated, folded_lines, reported, text_lines
from support.stacks import blocked

DATA = Path(__file__).parent / "data"
CAPTURE = (DATA / "python_http.cap").read_bytes()

DEEP = """
#include <unistd.h>
__attribute__((noinline)) static int leaf(char *bytes) { return read(0, bytes, 1); }
__attribute__((noinline)) int deep(int depth) {
  char bytes[100];
  return depth ? deep(depth - 1) + bytes[depth] : leaf(bytes);
}
int main(int argc, char **argv) { return deep(argc + 8); }
"""

BUFFER = """
#include <unistd.h>
__attribute__((noinline)) static int leaf(char *bytes) { return read(0, bytes, 1); }
__attribute__((noinline)) int below(char *bytes) { return leaf(bytes) + bytes[0]; }
__attribute__((noinline)) int buffer(int size) { char bytes[24576]; return below(bytes) + bytes[size]; }
int main(int argc, char **argv) { return buffer(argc) + 1; }
"""
PAGE = 4096

SIGNAL = """
#include <signal.h>
#include <unistd.h>
static void handler(int signal) { char byte; if (read(0, &byte, 1) != signal) _exit(1); }
__attribute__((noinline)) int divide(int a, int b) { return a / b; }
int main(int argc, char **argv) {
  struct sigaction action = {.sa_handler = handler};
  sigaction(SIGFPE, &action, 0);
  return divide(argc, argc - 1);
}
"""

CLONE3 = 0x1098E1  # in that libc: the new thread's part of clone3, which .dynsym does not have

Traced = Callable[[bytes], StackTrace]


@pytest.fixture
def report_of(tmp_path: Path) -> Callable[[bytes], Report]:
    """Report on a machine that has no binaries at all. A redacted capture has the same stack traces."""
    nothing = tmp_path / "no binaries"
    nothing.mkdir()
    find_binary = Binaries(root=str(nothing)).find

    def report(data: bytes) -> Report:
        made = reported(data, find_binary=find_binary)
        assert traces(made) == traces(reported(redacted(data, find_binary), find_binary=find_binary))
        return made

    return report


@pytest.fixture
def traced(report_of: Callable[[bytes], Report]) -> Traced:
    """Return the stack trace of the only call of a capture."""

    def first(data: bytes) -> StackTrace:
        report = report_of(data)
        return report.trace(0)

    return first


@pytest.fixture(scope="module")
def deep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(tmp_path_factory.mktemp("deep"), "deep.c", DEEP, ["-fno-optimize-sibling-calls", "-fcf-protection"])


@pytest.fixture(scope="module")
def deep_stack(deep: Path) -> Taken:
    with blocked([deep]) as pid:
        return taken(pid)


def names(trace: StackTrace) -> list[str | None]:
    return [frame.name for frame in trace.frames]


def test_every_stack_of_the_real_capture_is_whole_without_any_binary(report_of: Callable[[bytes], Report]) -> None:
    report = report_of(CAPTURE)

    outermost = {trace.frames[-1].label for trace in report.traces}
    counts = naming(report)
    assert outermost == {"_start", f"libc.so.6+0x{CLONE3:x}"}
    assert all(trace.incomplete is None and trace.missing is None for trace in report.traces)
    assert (counts.traces, counts.guessed, set(counts.by_reason)) == (24, 0, {Unnamed.STRIPPED})


def test_the_recorded_files_give_no_other_names_than_the_capture(
    tmp_path: Path, report_of: Callable[[bytes], Report]
) -> None:
    """data/bookworm contains the very binaries of the recorded host."""
    for name, folder in (("python3.11", "usr/bin"), ("libc.so.6", "usr/lib/x86_64-linux-gnu")):
        (tmp_path / "symfs" / folder).mkdir(parents=True)
        file = tmp_path / "symfs" / folder / name
        file.write_bytes(lzma.decompress((DATA / "bookworm" / f"{name}.xz").read_bytes()))
    found = Binaries(str(tmp_path / "symfs"), root=str(tmp_path / "nothing"))

    with_files = reported(CAPTURE, find_binary=found.find)

    assert list(with_files.traces) == list(report_of(CAPTURE).traces)


def test_the_client_of_the_real_capture_to_the_letter(report_of: Callable[[bytes], Report]) -> None:
    """A function without a symbol is identified by its first address."""
    lines = text_lines(report_of(CAPTURE), "run.cap")

    at = lines.index("Stack trace:")
    assert lines[at + 1 : at + 6] == [
        "    send (/usr/lib/x86_64-linux-gnu/libc.so.6)",
        *(
            f"    python3.11+0x{start} (/usr/bin/python3.11: no symbol in the stripped binary)"
            for start in ("668550", "668310", "668130", "4f9b10")
        ),
    ]
    assert lines[at + 15 : at + 19] == [
        "    Py_BytesMain (/usr/bin/python3.11)",
        "    libc.so.6+0x271d0 (/usr/lib/x86_64-linux-gnu/libc.so.6: no symbol in the stripped binary)",
        "    __libc_start_main (/usr/lib/x86_64-linux-gnu/libc.so.6)",
        "    _start (/usr/bin/python3.11)",
    ]


def test_the_frames_are_those_of_gdb_and_have_their_names(deep_stack: Taken, traced: Traced) -> None:
    trace = traced(deep_stack.capture())

    assert tuple(frame.address for frame in trace.frames) == deep_stack.expected
    assert names(trace)[1:13] == ["leaf", *["deep"] * 10, "main"]
    assert [frame.found for frame in trace.frames] == [Found.REGISTERS] + [Found.CFI] * (len(trace.frames) - 1)
    assert trace.incomplete is None


@pytest.mark.parametrize("option", ["-no-pie", "-static", "-static-pie"])
def test_programs_at_fixed_addresses_and_without_shared_libraries(tmp_path: Path, option: str, traced: Traced) -> None:
    program = compiled(tmp_path, "deep.c", DEEP, ["-fno-optimize-sibling-calls", "-fcf-protection", option])
    with blocked([program]) as pid:
        one = taken(pid)

    trace = traced(one.capture())

    assert tuple(frame.address for frame in trace.frames) == one.expected
    assert names(trace)[1:13] == ["leaf", *["deep"] * 10, "main"]
    assert (trace.incomplete, names(trace)[-1]) == (None, "_start")


def test_a_module_without_sections_has_those_of_the_first_of_its_build(deep_stack: Taken, traced: Traced) -> None:
    """As with the same library in another container."""
    program = deep_stack.modules[0]
    sections = [replace(part, module=99) if part.module == program.id else part for part in deep_stack.sections]
    records = replace(deep_stack, sections=sections).records()

    def first_with(build_id: bytes) -> list[str | None]:
        first = replace(program, id=99, path=b"/another/place", build_id=build_id)
        return names(traced(capture([Row(stack=256)], [first, *records], limits=LIMITS)))

    assert first_with(program.build_id)[1:13] == ["leaf", *["deep"] * 10, "main"]
    assert "deep" not in first_with(b"another") + first_with(b"")


def test_a_copy_that_ends_says_after_how_much(deep_stack: Taken, report_of: Callable[[bytes], Report]) -> None:
    short = replace(deep_stack, stack=replace(deep_stack.stack, memory=deep_stack.stack.memory[:512]))

    report = report_of(short.capture())

    trace = report.trace(0)
    assert 1 < len(trace.frames) < len(deep_stack.expected)
    assert tuple(frame.address for frame in trace.frames) == deep_stack.expected[: len(trace.frames)]
    assert trace.incomplete is Incomplete.STACK_ENDED
    assert "    [the stack copy ended after 0.5 KiB; record with --stack-size 64]" in text_lines(report, "run.cap")
    assert folded_lines(report)[0].startswith("nova-api;[incomplete: the stack copy ended];deep;")


def test_a_walk_that_leaves_the_code_ends_with_that_address_and_a_reason_about_it(
    deep_stack: Taken, report_of: Callable[[bytes], Report]
) -> None:
    no_code = struct.pack("<Q", 0x1001)
    memory = deep_stack.stack.memory.replace(struct.pack("<Q", deep_stack.expected[3]), no_code, 1)

    report = report_of(replace(deep_stack, stack=replace(deep_stack.stack, memory=memory)).capture())

    lines = text_lines(report, "run.cap")
    assert lines[lines.index("    0x1001 [outside any mapping]") + 1] == (
        "    [the last address is in no executable mapping]"
    )
    reason = "nova-api;[incomplete: the last address is in no executable mapping];[outside any mapping];deep;"
    assert folded_lines(report)[0].startswith(reason)


def test_without_a_copy_only_frame_pointers_are_used_and_the_reason_is_shown(deep_stack: Taken, traced: Traced) -> None:
    no_slot = replace(deep_stack, stack=replace(deep_stack.stack, registers=b"", memory_address=0, memory=b""))
    low_maps = (
        b"8048000-8049000 r-xp 00000000 fe:01 77    /bin/old\nfffdd000-ffffe000 rw-p 00000000 00:00 0    [stack]\n"
    )
    of_32_bit = replace(no_slot, process=replace(no_slot.process, maps=low_maps, modules=()))
    no_memory = replace(deep_stack, stack=replace(deep_stack.stack, memory=b""))
    records = deep_stack.records()

    def recorded(given: Taken, arch: str = "x86_64", pages: int = 4) -> StackTrace:
        return traced(capture([Row(stack=256)], given.records(), limits={"stack_pages": pages}, arch=arch))

    assert recorded(no_slot, pages=0).incomplete is Incomplete.AS_RECORDED
    assert recorded(no_slot).incomplete is Incomplete.NO_COPY
    assert recorded(of_32_bit).incomplete is Incomplete.PROCESS_OF_32_BIT
    assert recorded(no_memory).incomplete is Incomplete.UNREADABLE
    assert recorded(deep_stack, arch="aarch64").incomplete is Incomplete.OTHER_PROCESSOR
    no_maps = traced(capture([Row(stack=256)], [r for r in records if r != deep_stack.process], limits=LIMITS))
    assert (no_maps.incomplete, no_maps.frames) == (
        Incomplete.NO_MAPS,
        (Frame(deep_stack.expected[0], unnamed=Unnamed.NO_MAPS),),
    )


def test_without_maps_a_copy_is_followed_by_frame_pointers_as_far_as_these_rise(
    deep_stack: Taken, traced: Traced
) -> None:
    """Each frame calls the next, and the last one's pointer leads back, as if the register were used for something
    else."""
    address, memory = 0x7FFC_0000_1000, bytearray(256)
    for place, (following, caller) in {
        16: (address + 64, 0xA1),
        64: (address + 128, 0xA2),
        128: (address, 0xA3),
    }.items():
        struct.pack_into("<QQ", memory, place, following, caller)
    names = ("r15", "r14", "r13", "r12", "rbp", "rbx", *["other"] * 10, "rip", "cs", "eflags", "rsp", "ss")
    registers = struct.pack(
        "<21Q", *({"rbp": address + 16, "rip": 0xA0, "rsp": address}.get(name, 0) for name in names)
    )
    stack = replace(deep_stack.stack, frames=b"", registers=registers, memory_address=address, memory=bytes(memory))
    records = [record for record in replace(deep_stack, stack=stack).records() if record != deep_stack.process]
    trace = traced(capture([Row(stack=256)], records, limits=LIMITS))
    assert trace.incomplete is Incomplete.NO_MAPS
    assert [frame.address for frame in trace.frames] == [0xA0, 0xA1, 0xA2, 0xA3]


def test_the_summary_counts_what_is_whole_and_why_the_others_are_not(
    deep_stack: Taken, report_of: Callable[[bytes], Report]
) -> None:
    short = replace(deep_stack.stack, id=7, memory=deep_stack.stack.memory[:512])
    rows = [Row(stack=256), Row(stack=7, sequence=1), Row(stack=7, sequence=2)]
    report = report_of(capture(rows, deep_stack.records(short), limits=LIMITS))

    console = Console(record=True, file=io.StringIO(), width=200)
    terminal.print_summary(console, aggregated(report), Style(facts=True))

    assert (
        "stack traces: 1 of 3 are complete; others: 2 (the stack copy ended; record with --stack-size 64)\n"
        in console.export_text()
    )


def test_equal_copies_are_one_stack_trace(deep_stack: Taken, report_of: Callable[[bytes], Report]) -> None:
    stacks = [replace(deep_stack.stack, id=number, taken_ns=STARTED_NS + number) for number in range(100)]
    rows = [Row(stack=number, sequence=number) for number in range(100)]

    report = report_of(capture(rows, deep_stack.records(*stacks), limits=LIMITS))

    assert len(report.traces) == 1


def test_a_deleted_binary_is_named_by_what_the_capture_carries(tmp_path: Path, deep: Path, traced: Traced) -> None:
    gone = tmp_path / "gone"
    shutil.copy(deep, gone)
    with blocked([gone]) as pid:
        gone.unlink()
        one = taken(pid, {str(gone): deep})

    assert names(traced(one.capture()))[1:13] == ["leaf", *["deep"] * 10, "main"]


def test_another_build_at_the_path_gives_no_wrong_names(tmp_path: Path, deep: Path, deep_stack: Taken) -> None:
    """The capture's own module gives the names; if nothing was carried, the reason is the other build."""
    at = tmp_path / str(deep).lstrip("/")
    at.parent.mkdir(parents=True)
    shutil.copy("/bin/ls", at)
    binaries = Binaries(root=str(tmp_path))
    bare = [r for r in deep_stack.records() if not isinstance(r, Section)]

    whole = reported(deep_stack.capture(), find_binary=binaries.find).trace(0)
    without = reported(capture([Row(stack=256)], bare, limits=LIMITS), find_binary=binaries.find).trace(0)

    assert "deep" in names(whole)
    assert set(names(without)) == {None}
    assert {frame.unnamed for frame in without.frames if frame.module == str(deep)} <= {Unnamed.OTHER_BUILD}


def test_a_stripped_binary_gives_the_beginning_of_the_function(
    tmp_path: Path, deep: Path, deep_stack: Taken, traced: Traced
) -> None:
    """The label is the same for all calls of the function, and objdump and addr2line accept it."""
    stripped = [r for r in deep_stack.records() if not (isinstance(r, Section) and r.name in (".symtab", ".strtab"))]
    start = next(line for line in os.popen(f"nm {deep}") if line.endswith(" T deep\n")).split()[0]

    trace = traced(capture([Row(stack=256)], stripped, limits=LIMITS))

    frames = trace.frames[2:12]
    assert {frame.label for frame in frames} == {f"deep+0x{int(start, 16):x}"}
    assert {frame.unnamed for frame in frames} == {Unnamed.STRIPPED}


def test_a_page_that_was_not_in_memory_adds_no_frame_and_is_reported(tmp_path: Path, traced: Traced) -> None:
    """Whichever page is missing, the stack trace is whole or ends before it. A page of a buffer is not needed."""
    program = compiled(tmp_path, "buffer.c", BUFFER, ["-fno-optimize-sibling-calls"])
    with blocked([program]) as pid:
        stack = taken(pid)
    size, before = len(stack.stack.memory), stack.stack.memory_address % PAGE
    whole = 0
    for page in range(1, (before + size) // PAGE):
        start = page * PAGE - before
        memory = stack.stack.memory[:start] + bytes(PAGE) + stack.stack.memory[start + PAGE :]
        missing = replace(stack, stack=replace(stack.stack, memory=memory, missing_pages=1 << page))

        trace = traced(missing.capture())

        found = tuple(frame.address for frame in trace.frames)
        assert found[: len(stack.expected)] == stack.expected[: len(found)]
        if found == stack.expected:
            assert trace.incomplete is None
            whole += 1
        else:
            assert trace.incomplete is Incomplete.PAGE_MISSING
    assert whole >= 4


def test_an_interrupted_function_is_looked_up_where_it_was(tmp_path: Path, traced: Traced) -> None:
    """`divide` is interrupted at an instruction, not after a call, so its frame has exactly that address."""
    program = compiled(tmp_path, "signal.c", SIGNAL, ["-fcf-protection", "-fno-optimize-sibling-calls"])
    with blocked([program]) as pid:
        one = taken(pid)

    trace = traced(one.capture())

    assert tuple(frame.address for frame in trace.frames) == one.expected
    place = names(trace).index("divide")
    assert trace.frames[place].found is Found.INTERRUPTED
    assert (names(trace)[place - 2], names(trace)[place + 1]) == ("handler", "main")


def jit_map(data: bytes, taken_ns: int = STARTED_NS + 2, start: int = 0, problem: str = "") -> JitMap:
    return JitMap(12345, PROCESS_START_NS, taken_ns, start, data, problem)


def test_code_made_at_run_time_has_the_name_of_its_map_or_the_reason(
    tmp_path: Path, report_of: Callable[[bytes], Report]
) -> None:
    program = compiled(tmp_path, "jit.c", JIT, ["-fcf-protection"])
    with blocked([program]) as pid:
        one = taken(pid)
    anonymous = next(line for line in one.process.maps.splitlines() if b" rwxp " in line)
    at = int(anonymous.split(b"-")[0], 16)
    covering = b"%x 8 nova::render\n" % at

    def lines(*more: Record) -> list[str]:
        found = text_lines(report_of(one.capture(*more)), "run.cap")
        return found[found.index("Stack trace:") + 3 :][:2]

    caller = f"    main ({program}) [by frame pointer]"
    assert lines() == [f"    0x{at + 6:x} [code made at run time, without a JIT map]", caller]
    assert lines(jit_map(covering)) == ["    nova::render ([JIT])", caller]
    assert lines(jit_map(covering[:7]), jit_map(covering[7:], start=7)) == ["    nova::render ([JIT])", caller]
    early, late = jit_map(b"1000 10 early\n", 1), jit_map(covering, 9 * STARTED_NS)
    assert lines(early, late) == ["    nova::render ([JIT])", caller]
    assert lines(early) == [f"    0x{at + 6:x} [code made at run time, not in its JIT map]", caller]
    cut_off = f"    0x{at + 6:x} [code made at run time, not in what was recorded of its JIT map]"
    for recorded in (covering[:-2], b""):
        assert lines(jit_map(recorded, problem="what follows is missing")) == [cut_off, caller]
    not_seen = f"    0x{at + 6:x} [code made at run time, without a JIT map when its process was last looked at]"
    assert lines(jit_map(b"", problem=NO_JIT_MAP_SEEN)) == [not_seen, caller]


@pytest.mark.parametrize(
    "path",
    ["/memfd:doublemapper (deleted)", "/dev/zero (deleted)", "/dev/shm/code (deleted)", "/SYSV00000000 (deleted)"],
)
@pytest.mark.parametrize("is_module", [True, False])
def test_code_in_a_file_that_is_only_memory_has_the_name_of_its_map(
    tmp_path: Path, report_of: Callable[[bytes], Report], path: str, is_module: bool
) -> None:
    """As that of .NET, which maps a memfd twice. The recorder finds no ELF file there."""
    program = compiled(tmp_path, "jit.c", JIT, ["-fcf-protection"])
    with blocked([program]) as pid:
        one = taken(pid)
    anonymous = next(line for line in one.process.maps.splitlines() if b" rwxp " in line)
    at = int(anonymous.split(b"-")[0], 16)
    mapped = anonymous.rstrip() + b" " * 10 + path.encode()
    modules = [*one.process.modules, MappedModule(at, 99)] if is_module else one.process.modules
    changed = replace(one.process, maps=one.process.maps.replace(anonymous, mapped), modules=modules)
    memory = Module(99, path.encode(), b"", 65536, bytes(32), "not a 64-bit little-endian ELF file")

    def names_of(*more: Record) -> list[str]:
        return text_lines(report_of(replace(one, process=changed).capture(memory, *more)), "run.cap")

    assert "    nova::render ([JIT])" in names_of(jit_map(b"%x 8 nova::render\n" % at))
    assert f"    0x{at + 6:x} [code made at run time, without a JIT map]" in names_of()


def test_the_vdso_is_named_by_its_bytes_in_the_capture(deep_stack: Taken, traced: Traced) -> None:
    mapping = next(line for line in Path("/proc/self/maps").read_text().splitlines() if line.endswith("[vdso]"))
    start, end = (int(part, 16) for part in mapping.split()[0].split("-"))
    with open("/proc/self/mem", "rb", buffering=0) as memory:
        vdso = os.pread(memory.fileno(), end - start, start)
    table = read_symbols(read_elf(vdso))
    symbol = next(s for s in (table.symbol(row, 0) for row in range(len(table))) if "gettimeofday" in s.name)
    records: list[Record] = [
        Module(1, b"[vdso]", b"\1" * 20, len(vdso), b"", machine=62),
        Section(1, "", 0, len(vdso), 0, vdso),
        process(mapping.encode() + b"\n", [(start, 1)]),
        stack(start + symbol.address),
    ]

    assert names(traced(capture([Row()], records))) == [symbol.name]
    assert traced(capture([Row()], records[2:])).frames[0].unnamed is Unnamed.NO_MODULE


@pytest.mark.parametrize("values", [struct.pack("<21Q", *[(1 << 64) - 1] * 21), bytes(168), bytes(8), bytes(1024)])
def test_registers_that_cannot_be_give_a_frame_and_a_reason(values: bytes, deep_stack: Taken, traced: Traced) -> None:
    hostile = replace(deep_stack, stack=replace(deep_stack.stack, registers=values, memory_address=0))

    trace = traced(hostile.capture())

    assert trace.incomplete is not None or trace.missing is NoStack.EMPTY
    assert len(trace.frames) <= 2
