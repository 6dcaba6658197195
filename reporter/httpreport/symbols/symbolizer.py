"""Turn a stack into a stack trace: the process's maps give each address its module, the module's symbols its name.

All of it is computation except `find_binary`, which returns a module's binary or the reason why there is none. Distinct
stacks, maps and addresses are looked up once each; equal stacks share one stack trace.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from httpcapture import KERNEL_PATHS, Process, Stack

from ..capture.recording import ProcessKey, Recording
from ..common.budget import Budget
from ..common.printable import printable
from ..elf.demangle import demangle
from ..elf.elf import Elf
from ..languages.language import Runtime
from ..languages.registry import LANGUAGES
from ..languages.stack_trace import Frame, NoStack, StackTrace, Unnamed
from ..unwind import ARCHITECTURES, CallFrameInfo, Found
from . import maps
from .binary import Binary, FindBinary, Location
from .maps import Mapping
from .module_elf import to_elf
from .stack_walk import Snapshot, Walk, walk

MAX_TRACES_BYTES = 1 << 30  # of all stack traces of a recording
FRAME_OVERHEAD = 128  # bytes that a frame of a stack trace takes beside its texts
TEXT_COPIES = 2  # of these, when they are written
MAX_MAPPINGS = 1 << 21  # of all processes: some 0.4 GiB
MAX_BINARIES_BYTES = 2 << 30  # of all binaries
MAX_SNAPSHOTS = 8  # so many maps of a process are tried for a stack
_TWO_MODULES = -1  # stands for the id of a module

Runtimes = tuple[Runtime, ...]
"""What the languages know of one process at one moment, in the order of LANGUAGES."""


@dataclass
class _Process:
    """Hold what was recorded of one process. Maps are parsed when a stack needs them."""

    records: Sequence[Process]
    snapshots: dict[int, Snapshot] = field(default_factory=dict)  # by index in `records`
    maps_left_out: bool = False


class Symbolizer:
    """Name the stacks of one recording. With `all_frames`, those of interpreters are not hidden."""

    def __init__(self, recording: Recording, find_binary: FindBinary, *, all_frames: bool = False) -> None:
        self.recording = recording
        self._all_frames = all_frames
        self._find_binary = find_binary
        self._architecture = ARCHITECTURES.get(recording.meta.arch)
        self._processes: dict[ProcessKey, _Process] = {}
        self._carried: dict[int, Elf | None] = {}
        self._call_frames: dict[int, tuple[Elf, CallFrameInfo] | None] = {}
        self._binaries: dict[int, Binary | Unnamed] = {}
        left_out = recording.stacks.left_out
        self._traces_budget = Budget(MAX_TRACES_BYTES, "stack traces", left_out)
        self._mappings_budget = Budget(MAX_MAPPINGS, "process maps", left_out)
        self._binaries_budget = Budget(MAX_BINARIES_BYTES, "binaries", left_out)
        self._languages = [make(recording) for make in LANGUAGES]
        self._traces: dict[tuple[Snapshot | None, Runtimes, Walk], StackTrace] = {}
        self._frames: dict[tuple[Snapshot, Runtimes, int, int, Found | None], Sequence[Frame]] = {}

    def stack_trace(self, stack: Stack) -> StackTrace:
        """Return the stack trace of a recorded stack."""
        walked, where = self.walk(stack)
        if not walked.addresses:
            return StackTrace((), NoStack.EMPTY)
        process = self._process(stack)
        known = (language.at(stack, walked.depths) for language in self._languages)
        runtimes = tuple(runtime for runtime in known if runtime is not None)
        key = where, runtimes, walked
        if key not in self._traces:
            if self._traces_budget.is_spent():
                return StackTrace((), NoStack.LEFT_OUT)
            unmapped = Unnamed.LEFT_OUT if process.maps_left_out else Unnamed.NO_MAPS
            trace = self._new_trace(walked, where, runtimes, unmapped)
            self._traces[key] = trace if self._all_frames else trace.without_interpreter()
            self._traces_budget.spend(sum(map(_size, trace.frames)))
        return self._traces[key]

    def walk(self, stack: Stack) -> tuple[Walk, Snapshot | None]:
        """Return the walk of a recorded stack, and the maps that its frames are in."""
        return walk(self.recording.meta, stack, self._snapshots(self._process(stack), stack.taken_ns))

    def _process(self, stack: Stack) -> _Process:
        key = ProcessKey.of(self.recording.meta, stack.pid, stack.process_start_ns)
        if key not in self._processes:
            records = self.recording.processes.get(key, ())
            self._processes[key] = _Process(records)
        return self._processes[key]

    def _snapshots(self, process: _Process, taken_ns: int) -> Iterator[Snapshot]:
        """Yield the maps of a process, the nearest in time first."""
        records = process.records
        with_maps = [index for index, record in enumerate(records) if record.maps]
        nearest = sorted(with_maps, key=lambda index: abs(records[index].taken_ns - taken_ns))
        for index in nearest[:MAX_SNAPSHOTS]:
            if index not in process.snapshots:
                process.maps_left_out = process.maps_left_out or self._mappings_budget.is_spent()
                if process.maps_left_out:
                    return  # maps of another moment could name wrongly
                parsed, modules = maps.parse(records[index].maps), _modules(records[index])
                snapshot = Snapshot(self._architecture, index + 1, parsed, modules, self._unwind_information)
                process.snapshots[index] = snapshot
                self._mappings_budget.spend(len(parsed))
            yield process.snapshots[index]

    def _unwind_information(self, mapping: Mapping, module: int | None) -> tuple[int, CallFrameInfo] | None:
        """Return the load bias of a mapping and the unwind information of its module, None if there is none."""
        if module is None:
            return None
        if module not in self._call_frames:
            elf = self._elf_to_unwind(module)
            machine = self._architecture.elf_machine if self._architecture else None
            usable = elf is not None and elf.machine == machine and elf.section(".eh_frame")
            self._call_frames[module] = (elf, CallFrameInfo(elf)) if elf and usable else None
        known = self._call_frames[module]
        bias = known[0].load_bias(mapping.start, mapping.offset) if known else None
        return None if known is None or bias is None else (bias, known[1])

    def _elf_to_unwind(self, module: int) -> Elf | None:
        """Return the recorded parts of a module if they suffice, else a binary of the same build."""
        carried = self._carried_elf(module)
        if carried is not None and carried.section(".eh_frame"):
            return carried
        binary = self._binary(module)
        return carried if isinstance(binary, Unnamed) else binary.elf

    def _carried_elf(self, module: int) -> Elf | None:
        if module not in self._carried:
            known, joined = self.recording.modules.get(module), self.recording.carried.get(module)
            self._carried[module] = to_elf(known, joined) if known and joined else None
        return self._carried[module]

    def _binary(self, module: int) -> Binary | Unnamed:
        if module not in self._binaries:
            self._binaries[module] = self._find(module)
        return self._binaries[module]

    def _find(self, module: int) -> Binary | Unnamed:
        if module == _TWO_MODULES or module in self.recording.ambiguous:
            return Unnamed.AMBIGUOUS
        known = self.recording.modules.get(module)
        if known is None:
            return Unnamed.NO_MODULE
        if self._binaries_budget.is_spent():
            return Unnamed.LEFT_OUT
        binary = self._find_binary(known, self._carried_elf(module))
        self._binaries_budget.spend(0 if isinstance(binary, Unnamed) else binary.nbytes)
        return binary

    def _new_trace(self, walked: Walk, where: Snapshot | None, runtimes: Runtimes, unmapped: Unnamed) -> StackTrace:
        """Make the stack trace of a walk. `unmapped` is the reason for frames without maps."""
        found = walked.found or (None,) * len(walked.addresses)
        if where is None:
            frames = [Frame(address, unnamed=unmapped) for address in walked.addresses]
        else:
            each_frame = zip(walked.addresses, walked.inside, found)
            frames = [frame for each in each_frame for frame in self._frames_at(where, runtimes, *each)]
        trace = StackTrace(
            tuple(frames),
            left_out=walked.left_out,
            incomplete=walked.incomplete,
            copied=walked.copied,
            repeats=walked.repeats,
        )
        for runtime in runtimes:
            trace = runtime.finish(trace)
        return trace

    def _frames_at(
        self, where: Snapshot, runtimes: Runtimes, address: int, inside: int, found: Found | None
    ) -> Sequence[Frame]:
        """Return the frames of an address, inlined ones first. `inside` is a byte of the instruction it stands for."""
        key = where, runtimes, address, inside, found
        if key not in self._frames:
            frames = self._new_frames(where, runtimes, address, inside)
            self._frames[key] = frames if found is None else [frame._replace(found=found) for frame in frames]
        return self._frames[key]

    def _new_frames(self, where: Snapshot, runtimes: Runtimes, address: int, inside: int) -> Sequence[Frame]:
        mapping = where.maps.find(inside)
        if mapping is None or not mapping.executable:
            return [Frame(address, unnamed=Unnamed.UNMAPPED if mapping is None else Unnamed.NOT_CODE)]
        module = where.modules.get(mapping.start)
        if module is None and not mapping.path.startswith(b"/"):
            return _without_file(mapping, runtimes, address, inside)
        path, offset = printable(mapping.path), mapping.file_offset(address)
        binary = self._binary(module) if module is not None else Unnamed.NO_MODULE
        if isinstance(binary, Unnamed):
            return [Frame(address, path, offset, unnamed=binary)]
        frame = Frame(address, path, offset)
        bias = binary.elf.load_bias(mapping.start, mapping.offset)
        if bias is None:
            return [frame._replace(unnamed=Unnamed.NO_SYMBOL)]
        return _with_lines(_named(frame, binary, bias, inside), binary, inside - bias)


def _size(frame: Frame) -> int:
    """Return the bytes that a frame takes in each stack trace that it is in."""
    return FRAME_OVERHEAD + TEXT_COPIES * sum(len(text) for text in (frame.module, frame.name, frame.file) if text)


def _modules(record: Process) -> dict[int, int]:
    """Return the id of the module of each mapping, by its start; _TWO_MODULES if the record names two."""
    modules: dict[int, int] = {}
    for mapped in record.modules:
        if modules.setdefault(mapped.address, mapped.module) != mapped.module:
            modules[mapped.address] = _TWO_MODULES
    return modules


def _without_file(mapping: Mapping, runtimes: Runtimes, address: int, inside: int) -> Sequence[Frame]:
    """Return the frames from the first runtime that names the code, else a frame with the reason."""
    if mapping.path in KERNEL_PATHS:
        return [Frame(address, unnamed=Unnamed.KERNEL_PROVIDED)]
    reason = Unnamed.ANONYMOUS
    for runtime in runtimes:
        frames = runtime.frames(address, inside)
        if isinstance(frames, Unnamed):
            reason = frames
        elif frames is not None:
            return frames
    return [Frame(address, unnamed=reason)]


def _named(frame: Frame, binary: Binary, bias: int, inside: int) -> Frame:
    symbol = binary.symbol(inside - bias)
    if symbol is not None:
        offset = symbol.offset + frame.address - inside
        return frame._replace(name=demangle(symbol.name), symbol_offset=offset)
    return frame._replace(unnamed=binary.unnamed, function_start=binary.function_start(inside - bias))


def _with_lines(frame: Frame, binary: Binary, address: int) -> list[Frame]:
    """Return the frame with its source line, after the frames of functions that were inlined there."""
    *inlined, last = binary.locations(address) or (Location("", None, 0),)
    frame = frame._replace(file=last.file, line=last.line or None)
    if frame.name is None and last.line:  # without a line it may be no more than the nearest symbol
        frame = frame._replace(name=demangle(last.function), unnamed=None, function_start=None)
    return [
        *(
            frame._replace(
                name=demangle(each.function),
                file=each.file,
                line=each.line or None,
                inlined=True,
                symbol_offset=None,
                unnamed=None,
                function_start=None,
            )
            for each in inlined
        ),
        frame,
    ]
