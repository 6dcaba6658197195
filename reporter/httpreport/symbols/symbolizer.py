"""Turn a stack into a stack trace: the process's maps give each address its module, the module's symbols its name.

All of it is computation except `find_binary`, which returns a module's binary or the reason why there is none. Distinct
stacks, maps and addresses are looked up once each; equal stacks share one stack trace.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import partial

from httpcapture import GO_FUNCTION_TABLES, KERNEL_PATHS, MEMORY_FILES, Process, Stack

from ..calls.process_keys import ProcessKey
from ..capture.recording import Recording
from ..common.budget import Budget
from ..common.printable import printable
from ..elf.demangle import demangle
from ..elf.elf import Elf
from ..elf.go_functions import GoFunctions
from ..languages.frame_pointers import may_skip_callers
from ..languages.language import Runtime, UnwindsCode
from ..languages.registry import LANGUAGES
from ..languages.stack_trace import Frame, Incomplete, NoStack, StackTrace, Unnamed
from ..unwind import ARCHITECTURES, CallFrameInfo, Found, GoCallFrames, Rows
from . import maps
from .binary import Binary, FindBinary, Location
from .maps import Mapping
from .module_elf import to_elf
from .readings import RANDOMISED, Place, Readings, Snapshot
from .stack_walk import Walk, walk

MAX_TRACES_BYTES = 1 << 30  # of all stack traces of a recording
FRAME_OVERHEAD = 128  # bytes that a frame of a stack trace takes beside its texts
TEXT_COPIES = 2  # of these, when they are written
MAX_MAPPINGS = 1 << 21  # of all processes: some 0.4 GiB
MAX_BINARIES_BYTES = 2 << 30  # of all binaries
_UNWIND_SECTIONS = (".eh_frame", *GO_FUNCTION_TABLES)
_TWO_MODULES = -1  # stands for the id of a module

Runtimes = tuple[Runtime, ...]
"""What the languages know of one process at one moment, in the order of LANGUAGES."""


class Symbolizer:
    """Name the stacks of one recording. With `all_frames`, those of interpreters are not hidden."""

    def __init__(self, recording: Recording, find_binary: FindBinary, *, all_frames: bool = False) -> None:
        self.recording = recording
        self._all_frames = all_frames
        self._find_binary = find_binary
        self._architecture = ARCHITECTURES.get(recording.meta.arch)
        self._readings: dict[ProcessKey, Readings] = {}
        self._carried: dict[int, Elf | None] = {}
        self._call_frames: dict[int, tuple[Elf, Rows] | None] = {}
        self._binaries: dict[int, Binary | Unnamed] = {}
        left_out = recording.stacks.left_out
        self._traces_budget = Budget(MAX_TRACES_BYTES, "stack traces", left_out)
        self._mappings_budget = Budget(MAX_MAPPINGS, "process maps", left_out)
        self._binaries_budget = Budget(MAX_BINARIES_BYTES, "binaries", left_out)
        self._languages = [make(recording) for make in LANGUAGES]
        self._traces: dict[tuple[Place | None, Runtimes, Walk], StackTrace] = {}
        self._frames: dict[tuple[Place, Runtimes, int, int, Found | None], Sequence[Frame]] = {}

    def stack_trace(self, stack: Stack, process_names: Collection[bytes] = ()) -> StackTrace:
        """Return the stack trace of a recorded stack. `process_names` are those that its process had when it made the
        calls with this stack, if they are known."""
        walked, where = self.walk(stack)
        if not walked.addresses:
            return StackTrace((), NoStack.EMPTY)
        if where and process_names and self._is_of_other_program(stack, walked.addresses[0], where, process_names):
            frame = Frame(walked.addresses[0], unnamed=Unnamed.STACK_NOT_IN_MAPS)
            return StackTrace((frame,), incomplete=Incomplete.STACK_NOT_IN_MAPS)
        known = (language.at(stack, walked.depths) for language in self._languages)
        runtimes = tuple(runtime for runtime in known if runtime is not None)
        key = where, runtimes, walked
        if key not in self._traces:
            if self._traces_budget.is_spent():
                return StackTrace((), NoStack.LEFT_OUT)
            unmapped = _why_without_maps(walked, self._readings_of(stack))
            trace = self._new_trace(walked, where, runtimes, unmapped)
            self._traces[key] = trace if self._all_frames else trace.without_interpreter()
            self._traces_budget.spend(sum(map(_size, trace.frames)))
        return self._traces[key]

    def walk(self, stack: Stack) -> tuple[Walk, Place | None]:
        """Return the walk of a recorded stack, and the maps that its frames are in."""
        walked, where = walk(self.recording.meta, stack, self._readings_of(stack))
        has_no_cfi = walked.incomplete is Incomplete.NO_CFI
        if where and has_no_cfi and not self._has_unwind_information(where.maps, walked.inside[-1]):
            walked = replace(walked, incomplete=Incomplete.NO_BINARY)
        return walked, where

    def _has_unwind_information(self, maps: Snapshot, address: int) -> bool:
        """Return whether it is known what unwind information there is for the code at an address."""
        mapping = maps.maps.find(address)
        module = maps.modules.get(mapping.start) if mapping else None
        if module is None:
            return mapping is None or not mapping.path.startswith(b"/")
        elf = self._elf_to_unwind(module)
        return elf is not None and not elf.incomplete.intersection(_UNWIND_SECTIONS)

    def _is_of_other_program(self, stack: Stack, leaf: int, where: Place, process_names: Collection[bytes]) -> bool:
        """Return whether the only maps were read after the stack, and then the process had another name (exec).

        It counts only where the address of the leaf does not tell: that of a program that is not position independent.
        """
        readings = self._readings_of(stack)
        name = readings.records[where.maps.number - 1].name
        is_only_after = readings.around(stack.taken_ns).before is None
        return is_only_after and leaf < RANDOMISED and bool(name) and name not in process_names

    def _readings_of(self, stack: Stack) -> Readings:
        """Return the readings of the maps of a stack's process."""
        key = ProcessKey.of(self.recording.meta, stack.pid, stack.process_start_ns)
        if key not in self._readings:
            self._readings[key] = Readings(self.recording.processes.get(key, ()), self._snapshot)
        return self._readings[key]

    def _snapshot(self, number: int, record: Process) -> Snapshot | None:
        """Return the maps of a record, None if there is no room for more."""
        if self._mappings_budget.is_spent():
            return None
        parsed = maps.parse(record.maps)
        self._mappings_budget.spend(len(parsed))
        process = ProcessKey.of(self.recording.meta, record.pid, record.start_ns)
        unwind_information = partial(self._unwind_information, process)
        return Snapshot(self._architecture, number, parsed, _modules(record), unwind_information)

    def _may_be_made_at_run_time(self, mapping: Mapping, module: int | None) -> bool:
        """Return whether code is in anonymous memory, or in a file that is no ELF file."""
        if module is None:
            return not _is_in_file(mapping)
        known = self.recording.modules.get(module)
        return known is not None and not (known.machine or known.build_id)

    def _unwind_information(self, process: ProcessKey, mapping: Mapping, module: int | None) -> tuple[int, Rows] | None:
        """Return the load bias of a mapping and the unwind information of its module, None if there is none."""
        if self._may_be_made_at_run_time(mapping, module):
            for language in self._languages:
                rows = language.rows(process) if isinstance(language, UnwindsCode) else None
                if rows is not None:
                    return 0, rows
        if module is None:
            return None
        if module not in self._call_frames:
            elf = self._elf_to_unwind(module)
            frames = self._rows(elf) if elf else None
            self._call_frames[module] = (elf, frames) if elf and frames else None
        known = self._call_frames[module]
        bias = known[0].load_bias(mapping.start, mapping.offset) if known else None
        return None if known is None or bias is None else (bias, known[1])

    def _rows(self, elf: Elf) -> Rows | None:
        """Return the unwind information of a module of the recorded processor, None if it has none."""
        architecture = self._architecture
        if architecture is None or elf.machine != architecture.elf_machine:
            return None
        functions = GoFunctions.of(elf)
        if functions is not None:
            return GoCallFrames(functions, CallFrameInfo(elf), architecture)
        return CallFrameInfo(elf) if elf.section(".eh_frame") else None

    def _elf_to_unwind(self, module: int) -> Elf | None:
        """Return the recorded parts of a module if they suffice, else a binary of the same build."""
        carried = self._carried_elf(module)
        if carried is not None and any(map(carried.section, _UNWIND_SECTIONS)):
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

    def _new_trace(self, walked: Walk, where: Place | None, runtimes: Runtimes, unmapped: Unnamed) -> StackTrace:
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
            incomplete=walked.incomplete or (Incomplete.CALLERS_SKIPPED if may_skip_callers(frames) else None),
            copied=walked.copied,
            repeats=walked.repeats,
        )
        for runtime in runtimes:
            trace = runtime.finish(trace)
        return trace

    def _frames_at(
        self, where: Place, runtimes: Runtimes, address: int, inside: int, found: Found | None
    ) -> Sequence[Frame]:
        """Return the frames of an address, inlined ones first. `inside` is a byte of the instruction it stands for."""
        key = where, runtimes, address, inside, found
        if key not in self._frames:
            frames = self._new_frames(where, runtimes, address, inside)
            self._frames[key] = frames if found is None else [frame._replace(found=found) for frame in frames]
        return self._frames[key]

    def _new_frames(self, where: Place, runtimes: Runtimes, address: int, inside: int) -> Sequence[Frame]:
        mapping = where.find(inside)
        if mapping is None or isinstance(mapping, Unnamed):
            return [Frame(address, unnamed=mapping or Unnamed.UNMAPPED)]
        if not mapping.executable:
            return [Frame(address, unnamed=Unnamed.NOT_CODE)]
        module = where.maps.modules.get(mapping.start)
        if self._may_be_made_at_run_time(mapping, module):
            frames = _made_at_run_time(mapping, runtimes, address, inside)
            if frames[0].name is not None or not _is_in_file(mapping):
                return frames
        path, offset = printable(mapping.path), mapping.file_offset(address)
        binary = self._binary(module) if module is not None else Unnamed.NO_MODULE
        if isinstance(binary, Unnamed):
            return [Frame(address, path, offset, unnamed=binary)]
        frame = Frame(address, path, offset)
        bias = binary.elf.load_bias(mapping.start, mapping.offset)
        if bias is None:
            return [frame._replace(unnamed=Unnamed.NO_SYMBOL)]
        return _go_frames(frame, binary, bias, inside) or _with_lines(
            _named(frame, binary, bias, inside), binary, inside - bias
        )


def _why_without_maps(walked: Walk, readings: Readings) -> Unnamed:
    """Return why no frame of a walk has a mapping."""
    if walked.incomplete is Incomplete.STACK_NOT_IN_MAPS:
        return Unnamed.STACK_NOT_IN_MAPS
    return Unnamed.LEFT_OUT if readings.left_out else Unnamed.NO_MAPS


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


def _is_in_file(mapping: Mapping) -> bool:
    """Return whether a mapping is of a file that is not just memory."""
    return mapping.path.startswith(b"/") and not mapping.path.startswith(MEMORY_FILES)


def _made_at_run_time(mapping: Mapping, runtimes: Runtimes, address: int, inside: int) -> Sequence[Frame]:
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


def _go_frames(frame: Frame, binary: Binary, bias: int, inside: int) -> list[Frame]:
    """Return the frames of a Go function, inlined ones first; none if it is not one."""
    start, calls = binary.go_functions.at(inside - bias) if binary.go_functions else (0, ())
    frames = [
        frame._replace(name=call.function, file=call.file, line=call.line or None, inlined=True) for call in calls
    ]
    if frames:
        frames[-1] = frames[-1]._replace(inlined=False, symbol_offset=frame.address - bias - start)
    return frames


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
