"""A stack becomes a stack trace: each address by the process's maps to a module, by the module's symbols to a
name.

Pure but for `find_binary`, which brings a module's file or the reason why there is none. Every distinct
stack, maps and (module, offset) is looked at once. All addresses but the first are return addresses: the call
is the instruction before, so they are looked up at address - 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Callable, Union

import numpy as np

from httpcapture import Meta, Module, Process, Stack

from . import maps
from .clean import printable
from .demangle import demangle
from .elf import Elf
from .recording import ProcessKey
from .symbols import SymbolTable
from .trace import Frame, NoStack, StackTrace, Unnamed

MAX_FRAMES = 1024  # the kernel's default (kernel.perf_event_max_stack) is 127
MAX_SNAPSHOTS = 8  # maps of one process that are tried for a stack


@dataclass(frozen=True)
class Binary:
    """The ELF file of one module, of the recorded build, and its symbols."""

    elf: Elf
    symbols: SymbolTable


FindBinary = Callable[[Module], Union[Binary, Unnamed]]


@dataclass(frozen=True, eq=False)
class _Snapshot:
    """A process's mappings at one moment, and the modules that they map, by the mapping's start."""

    taken_ns: int
    maps: maps.Maps
    modules: Mapping[int, int]


class Symbolizer:
    """Names the stacks of one recording."""

    def __init__(
        self,
        meta: Meta,
        processes: Mapping[ProcessKey, Sequence[Process]],
        modules: Mapping[int, Module],
        find_binary: FindBinary,
    ) -> None:
        self._meta = meta
        self._processes = processes
        self._modules = modules
        self._find_binary = find_binary
        self._snapshots: dict[ProcessKey, list[_Snapshot]] = {}
        self._frames: dict[tuple[_Snapshot, int], Frame] = {}
        self._binaries: dict[int, Binary | Unnamed] = {}

    def stack_trace(self, stack: Stack) -> StackTrace:
        """The stack trace of the addresses that the recorder found by frame pointer."""
        addresses = np.frombuffer(stack.frames, "<u8", len(stack.frames) // 8).tolist()
        if not addresses:
            return StackTrace((), NoStack.EMPTY)
        kept = addresses[:MAX_FRAMES]
        snapshot = self._snapshot_for(stack, kept)
        if snapshot is None:
            frames = tuple(Frame(address, unnamed=Unnamed.NO_MAPS) for address in kept)
        else:
            leaf = self._frame(snapshot, kept[0], kept[0])
            frames = (leaf, *(self._frame(snapshot, address, address - 1) for address in kept[1:]))
        return StackTrace(frames, left_out=len(addresses) - len(kept))

    def _snapshot_for(self, stack: Stack, addresses: list[int]) -> _Snapshot | None:
        """The maps that hold most of the stack's addresses, of those the nearest in time: after an exec the
        later maps hold none of them, after a dlopen the earlier ones not all."""
        key = ProcessKey.of(self._meta, stack.pid, stack.process_start_ns)
        if key not in self._snapshots:
            self._snapshots[key] = [_snapshot(process) for process in self._processes.get(key, ()) if process.maps]
        nearest = sorted(self._snapshots[key], key=lambda snapshot: abs(snapshot.taken_ns - stack.taken_ns))
        return max(
            nearest[:MAX_SNAPSHOTS],
            key=lambda snapshot: sum(snapshot.maps.has_code(address) for address in addresses),
            default=None,
        )

    def _frame(self, snapshot: _Snapshot, address: int, inside: int) -> Frame:
        """The frame of an address; `inside` is a byte of the instruction that it stands for."""
        key = snapshot, inside if inside == address else -address
        if key not in self._frames:
            self._frames[key] = self._new_frame(snapshot, address, inside)
        return self._frames[key]

    def _new_frame(self, snapshot: _Snapshot, address: int, inside: int) -> Frame:
        mapping = snapshot.maps.find(inside)
        if mapping is None:
            return Frame(address, unnamed=Unnamed.UNMAPPED)
        if not mapping.executable:
            return Frame(address, unnamed=Unnamed.NOT_CODE)
        if not mapping.path.startswith(b"/"):
            kernel = mapping.path in (b"[vdso]", b"[vsyscall]")
            return Frame(address, unnamed=Unnamed.KERNEL_PROVIDED if kernel else Unnamed.ANONYMOUS)
        frame = Frame(address, printable(mapping.path), mapping.file_offset(address))
        module = self._modules.get(snapshot.modules.get(mapping.start, -1))
        binary = Unnamed.NO_MODULE if module is None else self._binary_of(module)
        if isinstance(binary, Unnamed):
            return replace(frame, unnamed=binary)
        bias = binary.elf.load_bias(mapping.start, mapping.offset)
        symbol = None if bias is None else binary.symbols.lookup(inside - bias)
        if symbol is None:
            return replace(frame, unnamed=Unnamed.NO_SYMBOL)
        return replace(frame, name=demangle(symbol.name), symbol_offset=symbol.offset + address - inside)

    def _binary_of(self, module: Module) -> Binary | Unnamed:
        if module.id not in self._binaries:
            self._binaries[module.id] = self._find_binary(module)
        return self._binaries[module.id]


def _snapshot(process: Process) -> _Snapshot:
    modules = {mapped.address: mapped.module for mapped in process.modules}
    return _Snapshot(process.taken_ns, maps.parse(process.maps), modules)
