"""Write stacks of live processes as the recorder would: registers and stack bytes that gdb takes, maps, and modules
with their sections."""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from httpcapture import MAX_PART, Module, Process, Record, Section, Stack
from httprec.elf_sections import carried_extents
from httpreport.symbols import maps
from httpreport.unwind.arch import X86_64
from support.compiled import run
from support.recordings import PROCESS_START_NS, STARTED_NS, Row, capture, process
from support.stacks import RecordedStack, taken_from

_PT_REGS = (
    *("r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8", "rax", "rcx", "rdx", "rsi", "rdi"),
    *("orig_rax", "rip", "cs", "eflags", "rsp", "ss"),
)
LIMITS = {"stack_pages": 4}


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give test modules that import this a cache of their own, because the reporter's cache is the user's."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


def build_id(path: Path) -> bytes:
    match = re.search(r"Build ID: ([0-9a-f]+)", run("readelf", "-n", path))
    return bytes.fromhex(match[1]) if match else b""


def parts(module: int, path: Path) -> Iterator[Section]:
    """Yield the sections that the recorder copies from a file, in its own parts."""
    data = path.read_bytes()
    with path.open("rb") as file:
        found = list(carried_extents(file.fileno()))
    for place in found:
        for start in range(0, place.size, MAX_PART):
            piece = data[place.offset + start : place.offset + min(start + MAX_PART, place.size)]
            yield Section(module, place.name, place.address, place.size, start, piece)


@dataclass(frozen=True)
class Taken:
    """Hold one stack with everything that was recorded of its process."""

    stack: Stack
    process: Process
    modules: Sequence[Module]
    sections: Sequence[Section]
    expected: tuple[int, ...]  # the addresses that gdb found

    def records(self, *more: Record) -> list[Record]:
        return [*self.modules, *self.sections, self.process, self.stack, *more]

    def capture(self, *more: Record) -> bytes:
        return capture([Row(stack=self.stack.id)], self.records(*more), limits=LIMITS)


def taken(pid: int, files: dict[str, Path] | None = None) -> Taken:
    """Return the stack of a blocked process. `files` says where modules are that are not at their paths."""
    recorded = taken_from(pid)
    modules: list[Module] = []
    sections: list[Section] = []
    mapped = []
    for mapping in maps.parse(recorded.maps.encode()):
        path = (files or {}).get(os.fsdecode(mapping.path), Path(os.fsdecode(mapping.path)))
        if mapping.executable and path.is_file():
            module = Module(len(modules) + 1, mapping.path, build_id(path), path.stat().st_size, b"", machine=62)
            modules.append(module)
            sections += parts(module.id, path)
            mapped.append((mapping.start, module.id))
    return Taken(
        stack_copy(recorded),
        process(recorded.maps.encode(), mapped),
        modules,
        sections,
        recorded.expected,
    )


def stack_copy(recorded: RecordedStack, id: int = 256) -> Stack:
    """Return the Stack record for what gdb took."""
    values = dict(zip(X86_64.registers, recorded.registers))
    registers = struct.pack("<21Q", *(values.get(name) or 0 for name in _PT_REGS))
    frames = struct.pack("<Q", values["rip"] or 0)
    address = values["rsp"] or 0
    memory = recorded.stack[: 64 << 10]
    return Stack(id, 12345, PROCESS_START_NS, STARTED_NS + 1, frames, registers, address, memory)
