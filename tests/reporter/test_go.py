"""Check that Go programs have the names, files and lines that Go itself gives, also when they are stripped."""

from __future__ import annotations

import io
import os
import random
import re
import struct
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from httpcapture import GO_FUNCTION_TABLES, Reader, Section, carried
from httpreport.elf.elf import Elf, read_elf
from httpreport.elf.elf import Section as ElfSection
from httpreport.elf.go_functions import GoFunctions
from httpreport.languages.stack_trace import StackTrace
from httpreport.symbols.binary_lookup import Binaries
from httpreport.unwind import Found
from support.compiled import run
from support.live import Taken, own_cache, taken  # noqa: F401 (a fixture)
from support.recordings import Row, capture
from support.redactions import redacted
from support.reports import reported
from support.stacks import blocked

SECRET = "a secret of the operator that only the program knows"
PROGRAM = """package main

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"sort"
	"syscall"
)

type basket struct{ prices []int }

//go:noinline
func (b *basket) total(k int) int { return b.price(k) + 1 }

func (b *basket) price(k int) int { return discount(k) * 2 }

func discount(k int) int { return wait(k) + k }

func each[T any](all []T, do func(T) int) int {
	sum := 0
	for _, one := range all {
		sum += do(one)
	}
	return sum
}

//go:noinline
func wait(k int) int {
	write(callers(), debug.Stack()); syscall.Read(0, make([]byte, 1)) // on one line, as the traceback has to have it
	return k
}

func callers() []uintptr {
	pcs := make([]uintptr, 64)
	return pcs[:runtime.Callers(2, pcs)]
}

func write(pcs []uintptr, stack []byte) {
	frames, more, text := runtime.CallersFrames(pcs), true, ""
	for more {
		var f runtime.Frame
		f, more = frames.Next()
		text += fmt.Sprintf("%s %s:%d\\n", f.Function, f.File, f.Line)
	}
	os.WriteFile(os.Args[1], []byte(text), 0600)
	os.WriteFile(os.Args[1]+".stack", stack, 0600)
}

func init() { runtime.LockOSThread() } // main runs on the first thread

func main() {
	b := &basket{[]int{3, 1, 2}}
	if len(os.Args) > 9 {
		fmt.Println("SECRET")
	}
	sort.Slice(b.prices, func(i, j int) bool {
		return each(b.prices, func(k int) int { return b.total(k) }) < j
	})
}
""".replace("SECRET", SECRET)


def built(folder: Path, name: str, *options: str) -> Path:
    """Compile the program without C, so that its text is the same with and without symbols."""
    (folder / "main.go").write_text(PROGRAM)
    (folder / "go.mod").write_text("module example.com/shop\n\ngo 1.18\n")
    environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "", "GOTOOLCHAIN": "local"}
    environment.setdefault("GOCACHE", str(folder / "cache"))
    subprocess.run(["go", "build", "-o", name, *options, "."], cwd=folder, env=environment, check=True)
    return folder / name


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("private")


@pytest.fixture(scope="module")
def unstripped(folder: Path) -> Path:
    return built(folder, "unstripped")


@pytest.fixture(scope="module", params=["exe", "pie"])
def stripped(folder: Path, request: pytest.FixtureRequest) -> Path:
    return built(folder, f"stripped-{request.param}", "-ldflags=-s -w", f"-buildmode={request.param}")


@pytest.fixture(scope="module")
def stack(stripped: Path) -> tuple[Taken, list[str]]:
    """Return a stack of the stripped program, and what Go says that its frames are, the innermost first."""
    said = stripped.with_suffix(".said")
    said.unlink(missing_ok=True)
    with blocked([stripped, said]) as pid:
        return taken(pid), said.read_text().splitlines()


def functions(program: Path) -> GoFunctions:
    found = GoFunctions.of(read_elf(program.read_bytes()))
    assert found is not None
    return found


def shown(trace: StackTrace) -> list[str]:
    return [f"{frame.name} {frame.file}:{frame.line}" for frame in trace.frames]


def traced(data: bytes, folder: Path) -> StackTrace:
    """Return the trace of the only call, where no binaries are."""
    return reported(data, find_binary=Binaries(root=str(folder / "nothing")).find).trace(0)


def data_of(one: Taken) -> bytes:
    return capture([Row(stack=256)], one.records(), limits={"stack_pages": 16})


def test_a_stripped_program_has_the_frames_that_go_prints(stack: tuple[Taken, list[str]], tmp_path: Path) -> None:
    """From the capture alone, with inlined calls, and by the sizes of frames: no frame is a guess."""
    one, said = stack

    trace = traced(data_of(one), tmp_path)

    assert shown(trace)[-len(said) :] == said
    assert len(said) > 10 and said[0].startswith("main.wait ")
    assert {frame.found for frame in trace.frames} == {Found.REGISTERS, Found.CFI}
    assert trace.incomplete is None
    inlined = {frame.name for frame in trace.frames if frame.inlined}
    assert {"main.(*basket).price", "main.discount"} <= inlined
    assert trace.frames[-len(said) - 1].name == "syscall.Read"


def test_a_stripped_program_has_the_frames_of_debug_stack(stripped: Path, stack: tuple[Taken, list[str]]) -> None:
    """debug.Stack lists them as Go's own tracebacks do: it leaves out those of the runtime."""
    one, _ = stack
    text = stripped.with_suffix(".said.stack").read_text()
    printed = re.findall(r"^(\S.*)\(.*\)\n\t(\S+:\d+)", text, re.MULTILINE)
    said = [f"{function} {place}" for function, place in printed if function != "runtime/debug.Stack"]
    assert said[0].startswith("main.wait ") and said[-1].startswith("main.main ")

    frames = shown(traced(data_of(one), stripped.parent))

    assert frames[frames.index(said[0]) :][: len(said)] == said


def test_every_function_and_line_is_the_one_that_go_tool_gives(unstripped: Path, folder: Path) -> None:
    found = functions(built(folder, "bare", "-ldflags=-s -w"))
    listed = re.findall(r"^ *([0-9a-f]+) +(\d+) [tT] (.+)$", run("go", "tool", "nm", "-size", unstripped), re.MULTILINE)
    chance = random.Random(1)
    expected = [(int(start, 16), int(size), name) for start, size, name in listed if int(size)]
    assert len(expected) > 1000
    addresses = [start + chance.randrange(size) for start, size, _ in expected]
    for (start, _, name), address in zip(expected, addresses):
        bare = re.sub(r"\[.*\]", "[...]", name.removesuffix(".abi0"))
        entry, calls = found.at(address)
        assert (entry, calls[-1].function) == (start, bare)
    asked = "\n".join(f"{address:#x}" for address in addresses)
    command = ["go", "tool", "addr2line", str(unstripped)]
    lines = subprocess.run(command, input=asked, capture_output=True, text=True, check=True).stdout.splitlines()[1::2]
    assert [f"{call.file}:{call.line}" for call in (found.at(address)[1][0] for address in addresses)] == lines


def test_an_address_outside_of_the_program_has_no_function(unstripped: Path) -> None:
    found = functions(unstripped)
    for address in (0, 1, 0x400FFF, 1 << 40, (1 << 64) - 1):
        assert found.at(address) == (0, ())
        assert found.frame_size(address) is None


def without(one: Taken, *names: str) -> Taken:
    return replace(one, sections=[part for part in one.sections if part.name not in names])


def test_without_the_tree_of_inlined_calls_there_are_no_lines_of_them(
    stack: tuple[Taken, list[str]], tmp_path: Path
) -> None:
    """The line of an inlined function would be a wrong line of the one that it was inlined into."""
    one, said = stack

    trace = traced(data_of(without(one, ".rodata")), tmp_path)

    frames = {str(frame.name): frame for frame in trace.frames}
    assert frames["main.(*basket).total"].line is None and frames["main.(*basket).total"].file is None
    assert "main.discount" not in frames
    outer = next(line for line in said if line.startswith("runtime.main "))
    assert frames["runtime.main"].line == int(outer.rpartition(":")[2])


def test_a_redacted_capture_has_the_same_names_and_nothing_else_of_the_program(
    stack: tuple[Taken, list[str]], tmp_path: Path
) -> None:
    one, said = stack
    data = data_of(one)
    assert any(SECRET.encode() in part.data for part in one.sections)

    given_away = redacted(data, Binaries(root=str(tmp_path)).find)

    expected = [(frame.name, os.path.basename(str(frame.file)), frame.line) for frame in traced(data, tmp_path).frames]
    frames = traced(given_away, tmp_path).frames
    assert [(frame.name, os.path.basename(str(frame.file)), frame.line) for frame in frames] == expected
    parts = [record.data for record in Reader(io.BytesIO(given_away)) if isinstance(record, Section)]
    private = os.path.dirname(said[0].split()[1].rpartition(":")[0]).encode()
    assert private.endswith(b"private0") and any(private in part.data for part in one.sections)
    for text in (SECRET.encode(), private):
        assert not any(text in part for part in parts)
    assert any(frame.file and frame.file.endswith("x/main.go") for frame in frames)


def test_only_go_programs_have_their_data_carried() -> None:
    sections = [".text", ".rodata", ".noptrdata", ".eh_frame", ".symtab", ".data"]
    assert carried(sections) == [".eh_frame", ".symtab"]
    assert carried([*sections, ".gopclntab"]) == [".eh_frame", ".symtab", ".gopclntab", ".noptrdata", ".rodata"]
    assert carried([*sections, ".gopclntab", ".go.module"])[2:] == [".gopclntab", ".go.module"]
    assert carried([".data.rel.ro.gopclntab"]) == [".data.rel.ro.gopclntab"]


@pytest.fixture(scope="module")
def elf(unstripped: Path) -> Elf:
    return read_elf(unstripped.read_bytes())


@pytest.mark.parametrize("magic", [0xFFFFFFFA, 0xFFFFFFF0, 0xFFFFFFF1])
@pytest.mark.parametrize("word", range(8))
def test_a_header_that_lies_gives_less_and_no_error(elf: Elf, magic: int, word: int) -> None:
    name = next(name for name in GO_FUNCTION_TABLES if name in elf.sections)
    whole = elf.sections[name]
    text = next(segment for segment in elf.segments if segment.executable)
    size = len(whole.data)
    for value in (0, 1, 7, size - 1, size, 1 << 31, (1 << 32) - 1, (1 << 63) - 1, 1 << 63, (1 << 64) - 1):
        table = bytearray(whole.data)
        struct.pack_into("<I", table, 0, magic)
        struct.pack_into("<Q", table, 8 + 8 * word, value)
        found = GoFunctions.of(replace(elf, sections={**elf.sections, name: ElfSection(whole.address, bytes(table))}))
        for address in range(text.address, text.address + text.memory_size, text.memory_size // 20):
            assert found is None or len(found.at(address)[1]) <= 256
            assert found is None or (found.frame_size(address) or 0) < 1 << 30


@given(st.data())
def test_no_bytes_raise_or_take_long(elf: Elf, data: st.DataObject) -> None:
    name = next(name for name in GO_FUNCTION_TABLES if name in elf.sections)
    whole = elf.sections[name]
    table = bytearray(whole.data[: data.draw(st.sampled_from([0, 7, 60, 80, 5000, len(whole.data)]))])
    for _ in range(data.draw(st.integers(0, 20))):
        if table:
            last = data.draw(st.sampled_from([80, 5000, len(table)]))
            at = data.draw(st.integers(0, min(last, len(table)) - 1))
            table[at : at + 8] = data.draw(st.sampled_from([b"\0" * 8, b"\xff" * 8, b"\x80" * 8, os.urandom(8)]))
    found = GoFunctions.of(replace(elf, sections={**elf.sections, name: ElfSection(whole.address, bytes(table))}))
    text = next(segment for segment in elf.segments if segment.executable)
    addresses: Sequence[int] = [text.address + data.draw(st.integers(0, text.memory_size)) for _ in range(5)]
    for address in (*addresses, 0, (1 << 64) - 1):
        if found is not None:
            entry, calls = found.at(address)
            assert entry <= address or not calls
            assert len(calls) <= 256
            found.frame_size(address)
