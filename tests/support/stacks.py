"""Provide stacks for tests: recorded ones from data/, and those of live processes, taken by gdb together with its own
backtrace."""

from __future__ import annotations

import json
import lzma
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from httpreport.elf.elf import BadElf, Elf, read_elf
from httpreport.elf.symbol_table import SymbolTable, read_symbols
from httpreport.unwind import AddressSpace, CallFrameInfo, CodeRange, Registers
from httpreport.unwind.arch import X86_64
from workload.waiting import HANG_S, wait_until

DATA = Path(__file__).parents[1] / "reporter" / "data"
CALLEE_SAVED = ("rip", "rsp", "rbp", "rbx", "r12", "r13", "r14", "r15")

_GDB = """
import gdb, json

def mapped(line):
    return [int(part, 16) for part in line.split()[0].split("-")]

def taken():
    frame, addresses = gdb.newest_frame(), []
    names = ("rip", "rsp", "rbp", "rbx", "r12", "r13", "r14", "r15")
    registers = {name: int(frame.read_register(name)) & (1 << 64) - 1 for name in names}
    inferior = gdb.selected_inferior()
    maps = open(f"/proc/{inferior.pid}/maps").read()
    top = min(end for _, end in map(mapped, maps.splitlines()) if end > registers["rsp"])
    stack = inferior.read_memory(registers["rsp"], min(top - registers["rsp"], COPIED)).tobytes().hex()
    start, end = next(mapped(line) for line in maps.splitlines() if line.endswith("[vdso]"))
    while frame:
        if frame.type() != gdb.INLINE_FRAME:
            addresses.append(frame.pc())
        frame = frame.older()
    return dict(registers=registers, maps=maps, stack=stack, addresses=addresses,
                vdso=inferior.read_memory(start, end - start).tobytes().hex())

for step in range(STEPS):
    if step:
        gdb.execute("stepi", to_string=True)
    if INTERRUPTED:
        gdb.execute("queue-signal SIGUSR1", to_string=True)
        at = gdb.newest_frame().pc()
        gdb.execute("stepi", to_string=True)
    print("\\nTAKEN" + json.dumps(taken()))
    if INTERRUPTED:
        gdb.execute(f"tbreak *{at}", to_string=True)
        gdb.execute("continue", to_string=True)
"""


@dataclass(frozen=True)
class RecordedStack:
    """Hold what a capture contains about one stack, and the modules of its process."""

    registers: Registers
    stack: bytes
    maps: str
    modules: Callable[[str], Elf | None]  # by path
    expected: tuple[int, ...] = ()  # the addresses that gdb found

    def space(self) -> AddressSpace:
        """Return the address space of the process for the unwinder."""
        return AddressSpace(
            CodeRange(start, end, bias, _call_frame_info(elf) if elf else None)
            for start, end, bias, elf in self._code()
        )

    def names(self, addresses: Sequence[int]) -> list[str | None]:
        """Return the symbol of each frame of a walk without signal frames."""
        tables = [(start, end, bias, _symbols(elf)) for start, end, bias, elf in self._code() if elf]
        found: list[str | None] = []
        for position, address in enumerate(addresses):
            pc = address - (position > 0)
            symbols = [table.lookup(pc - bias) for start, end, bias, table in tables if start <= pc < end]
            found.append(symbols[0].name if symbols and symbols[0] else None)
        return found

    def biases(self) -> list[tuple[str, int]]:
        """Return path and load bias of each module with code."""
        paths = [line.split(None, 5)[-1] for line in self.maps.splitlines() if "x" in line.split()[1]]
        return [(path, bias) for path, (_, _, bias, elf) in zip(paths, self._code()) if elf]

    def _code(self) -> Iterator[tuple[int, int, int, Elf | None]]:
        """Return start, end, load bias and module of each executable mapping."""
        for line in self.maps.splitlines():
            addresses, permissions, offset, _, _, *path = line.split(None, 5)
            if "x" in permissions:
                start, end = (int(address, 16) for address in addresses.split("-"))
                elf = self.modules(path[0]) if path else None
                bias = elf.load_bias(start, int(offset, 16)) if elf else None
                yield start, end, bias or 0, elf if bias is not None else None


_INFO: dict[bytes, CallFrameInfo] = {}
_TABLES: dict[bytes, SymbolTable] = {}


def _call_frame_info(elf: Elf) -> CallFrameInfo:
    if elf.build_id not in _INFO:
        _INFO[elf.build_id] = CallFrameInfo(elf)
    return _INFO[elf.build_id]


def _symbols(elf: Elf) -> SymbolTable:
    if elf.build_id not in _TABLES:
        _TABLES[elf.build_id] = read_symbols(elf)
    return _TABLES[elf.build_id]


def sample(name: str, suite: str) -> RecordedStack:
    """Return a stack of data/stacks, with the modules of data/SUITE."""
    folder = DATA / "stacks" / name
    values = json.loads((folder / "regs.json").read_text())["regs"]
    return RecordedStack(
        X86_64.numbered(**{register: int(values[register], 16) for register in CALLEE_SAVED}),
        (folder / "stack.bin").read_bytes(),
        (folder / "maps.txt").read_text(),
        lambda path: _kept_elf(suite, path),
    )


@cache
def kept_module(suite: str, path: str) -> bytes | None:
    """Return the file that was at `path`, as far as data/SUITE has it."""
    packed = DATA / suite / (Path(path).name + ".xz")
    return lzma.decompress(packed.read_bytes()) if path and packed.exists() else None


@cache
def _kept_elf(suite: str, path: str) -> Elf | None:
    data = kept_module(suite, path)
    return read_elf(data) if data else None


@contextmanager
def blocked(command: Sequence[str | Path], system_calls: Sequence[str] = ("0",)) -> Iterator[int]:
    """Run `command` until it blocks in one of the system calls, and yield its pid; its standard input is open."""
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        try:
            wait_until_blocked(process.pid, system_calls)
            yield process.pid
        finally:
            process.kill()


def wait_until_blocked(thread: int, system_calls: Sequence[str] = ("0",)) -> None:
    """Wait until a thread blocks in one of the system calls: until it is in the same one twice in a row."""
    system_call = Path(f"/proc/{thread}/syscall")

    def rests() -> bool:
        before = system_call.read_text()
        time.sleep(0.1)
        return before == system_call.read_text() and before.split()[0] in system_calls

    wait_until(f"thread {thread} to block", rests)


def taken_from(pid: int, root: Path = Path("/")) -> RecordedStack:
    """Return the stack of a blocked process, with the modules that it maps, and gdb's backtrace.

    `root` is the process's root if it is not the machine's; the maps then have the modules by their paths here.
    """
    return _taken(1, "-ex", f"set sysroot {root}", "-p", str(pid))[0]


def stepped(program: Path, function: str, steps: int, interrupted: bool = False) -> list[RecordedStack]:
    """Return the stacks of `program` at each of this many instructions from the beginning of `function` on.

    With `interrupted`, return instead the stacks at the beginning of a handler of SIGUSR1 that interrupts there.
    """
    start = ["-ex", "set disable-randomization on", "-ex", f"break *{function}", "-ex", "run < /dev/null"]
    return _taken(steps, *start, str(program), interrupted=interrupted)


def _taken(steps: int, *how: str, interrupted: bool = False) -> list[RecordedStack]:
    script = _GDB.replace("STEPS", str(steps)).replace("COPIED", str(65536 if steps == 1 else 8192))
    script = script.replace("INTERRUPTED", str(interrupted))
    whole = ["-ex", "set backtrace past-main on", "-ex", "set backtrace past-entry on"]
    command = ["gdb", "-nx", "-q", "-batch", *whole, *how, "-ex", f"python exec({script!r})"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=HANG_S)
    lines = [line[len("TAKEN") :] for line in done.stdout.splitlines() if line.startswith("TAKEN")]
    assert len(lines) == steps, f"gdb took {len(lines)} stacks:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    vdso: dict[str, Elf] = {}
    return [_stack(json.loads(line), vdso) for line in lines]


def _stack(taken: dict[str, Any], vdso: dict[str, Elf]) -> RecordedStack:
    if not vdso:
        vdso["[vdso]"] = read_elf(bytes.fromhex(taken["vdso"]))
    return RecordedStack(
        X86_64.numbered(**taken["registers"]),
        bytes.fromhex(taken["stack"]),
        taken["maps"],
        lambda path: vdso.get(path) or _mapped_module(path),
        tuple(taken["addresses"]),
    )


@cache
def _mapped_module(path: str) -> Elf | None:
    try:
        return read_elf(Path(path).read_bytes()) if path.startswith("/") else None
    except (OSError, BadElf):
        return None
