"""Make all records of a redacted capture except calls, field by field: a field that is not named here is left out."""

from __future__ import annotations

import secrets
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace

from httpcapture import (
    ALL_CARRIED,
    CARRIED,
    MAX_JIT_MAP,
    MAX_MAPS,
    MAX_PART,
    VDSO,
    WHOLE_FILE,
    Code,
    End,
    JitMap,
    Meta,
    Module,
    Process,
    Section,
    Stack,
)

from .. import __version__
from ..calls.process_keys import ProcessKey
from ..capture.module_sections import JoinedParts, JoinedSections
from ..capture.recording import Recording
from ..languages import jit_map
from ..symbols import maps
from ..symbols.maps import Mapping
from ..symbols.module_elf import to_elf
from .calls import COMPLETION_ROW, call_row, layout, short_layouts
from .go_sections import redacted_go_sections
from .masks import PathMasks, without_paths
from .stacks import RedactedStacks
from .workloads import WorkloadMasks

_HEADS = "methods, versions and statuses; paths, hosts and ids are replaced"
_STRINGS = (".strtab", ".dynstr")
_SECOND_NS = 1_000_000_000


class RedactedRecords:
    """Make the redacted records of a recording. Iterating counts what is left out."""

    def __init__(self, recording: Recording, stacks: RedactedStacks) -> None:
        self.host = f"host-{secrets.token_hex(3)}"
        self.paths, self.workloads = PathMasks(), WorkloadMasks()
        self.modules = self.mappings = self.functions = 0
        """Count modules, mappings and functions of JIT maps that no frame is in."""
        self._recording = recording
        self._stacks = stacks
        self._code: defaultdict[bytes | int, set[int]] = defaultdict(set)  # file offsets, by build ID, else by module
        for id, offsets in stacks.code.items():
            module = recording.modules.get(id)
            self._code[module.build_id or id if module else id] |= offsets

    def meta(self) -> Meta:
        """Return META with a made-up host, and without boot ID and run."""
        meta = self._recording.meta
        short_layout, connection_layout = short_layouts(meta)
        return Meta(
            tool=meta.tool,
            host=self.host,
            kernel=meta.kernel,
            arch=meta.arch,
            boot_id="",
            started_monotonic_ns=meta.started_monotonic_ns,
            started_realtime_ns=meta.started_realtime_ns,
            threshold_ns=meta.threshold_ns,
            process_filters=meta.process_filters,
            probes=meta.probes,
            clock_ticks=meta.clock_ticks,
            page_size=meta.page_size,
            limits=meta.limits,
            call_layout=layout(call_row(meta)),
            completion_layout=layout(COMPLETION_ROW),
            redacted=f"httpreport {__version__}",
            duration_rule=meta.duration_rule,
            heads=_HEADS if meta.heads else "",
            python_problem=meta.python_problem,
            short_layout=short_layout,
            connection_layout=connection_layout,
        )

    def __iter__(self) -> Iterator[Module | Section | Process | JitMap | Code | Stack]:
        """Yield each record after the records that it refers to."""
        yield from self._modules()
        for key, processes in self._recording.processes.items():
            yield from (self._process((key, number), process) for number, process in enumerate(processes, 1))
        for key, texts in self._recording.jit_maps.items():
            for taken_ns, text in texts.items():
                yield from self._jit_map(key, taken_ns, text)
        yield from self._stacks.codes.redacted(self.paths)
        yield from self._stacks.redacted

    def end(self, end: End) -> End:
        """Return END with the paths in its reason masked."""
        return replace(end, reason=self.paths.text(end.reason))

    def _modules(self) -> Iterator[Module | Section]:
        written: dict[bytes, JoinedSections] = {}  # by build ID: modules without sections of their own share them
        for module in self._recording.modules.values():
            if module.id not in self._stacks.modules:
                self.modules += 1
                continue
            yield Module(
                id=module.id,
                path=self.paths.masked(module.path),
                build_id=module.build_id,
                size=module.size,
                first_page_sha256=module.first_page_sha256,
                problem=self.paths.text(module.problem),
                machine=module.machine,
            )
            joined = self._recording.carried.get(module.id, {})
            if not module.build_id or written.get(module.build_id) is not joined:
                yield from self._sections(module, joined)
                written.setdefault(module.build_id, joined)
        for id in sorted(self._recording.ambiguous & self._stacks.modules):
            yield from (Module(id, b"", b"", size, b"") for size in (0, 1))

    def _sections(self, module: Module, joined: JoinedSections) -> Iterator[Section]:
        """Yield the parts of the sections of a module. A whole file is left out, unless it is the kernel's vdso."""
        code = self._code[module.build_id or module.id]
        elf = to_elf(module, joined)
        of_go = redacted_go_sections(elf, code) if elf else {}
        for name, whole in joined.items():
            data: bytes | bytearray | None = whole.data
            if name in _STRINGS:
                data = without_paths(whole.data)
            elif name == WHOLE_FILE and module.path != VDSO:
                data = b""
            elif name in ALL_CARRIED and name not in CARRIED:
                data = of_go.get(name)
            if data is not None:
                for start, part, why in _parts(data, self.paths.text(whole.problem)):
                    yield Section(module.id, name, whole.address, whole.size or 0, start, part, why)

    def _process(self, key: tuple[ProcessKey, int], process: Process) -> Process:
        starts = self._stacks.mappings.get(key, set())
        cgroups, container_name = self.workloads.masked(process)
        return Process(
            pid=process.pid,
            start_ns=process.start_ns,
            taken_ns=process.taken_ns,
            name=process.name,
            executable=self.paths.masked(process.executable),
            namespace_pid=process.namespace_pid,
            maps=self._maps(process.maps, starts),
            modules=[mapped for mapped in process.modules if mapped.address in starts],
            problem=self.paths.text(process.problem),
            read_ns=process.read_ns,
            unchanged=process.unchanged,
            cgroups=cgroups,
            container_name=container_name,
        )

    def _maps(self, text: bytes, starts: set[int]) -> bytes:
        """Return the mappings with these starts as /proc/PID/maps has them, an empty line if there are none.

        Maps without any text would count as not recorded.
        """
        lines, room = [b"\n"] if text else [], MAX_MAPS - 1
        for mapping in maps.parse(text):
            if mapping.start in starts:
                lines.append(self._line(mapping))
                room -= len(lines[-1])
            else:
                self.mappings += 1
        return b"".join(lines) if room >= 0 else b"\n"

    def _line(self, mapping: Mapping) -> bytes:
        mode, path = (b"x", self.paths.masked(mapping.path)) if mapping.executable else (b"-", b"")
        return b"%x-%x r-%sp %08x 00:00 0 %s\n" % (mapping.start, mapping.end, mode, mapping.offset, path)

    def _jit_map(self, key: ProcessKey, taken_ns: int, text: JoinedParts) -> Iterator[JitMap]:
        """Yield the parts of a JIT map that has only the functions with frames in them."""
        start_ns = -(-key.start_ticks * _SECOND_NS // max(self._recording.meta.clock_ticks, 1))
        functions, cut_off = jit_map.functions(text.data, bool(text.missing))
        addresses = sorted(self._stacks.addresses.get(key, ()))
        lengths = [length for _, length in text.reads]
        lines: dict[int, list[bytes]] = {len(lengths) - 1: []}  # by the number of the part in which they end
        size = kept = 0
        for function in functions:
            start, end = function.start, function.start + function.size
            if bisect_left(addresses, start) < bisect_left(addresses, end):
                line = b"%x %x %s\n" % (start, function.size, self.paths.within(function.name))
                size += len(line)
                if size > MAX_JIT_MAP:
                    cut_off = True
                    break
                lines.setdefault(bisect_left(lengths, function.line_end), []).append(line)
                kept += 1
        self.functions += len(functions) - kept
        problem, offset = self.paths.text(text.problem) or ("its end is missing" if cut_off else ""), 0
        for number, some in sorted(lines.items()):
            why_last = problem if number == max(lines) else ""
            read_ns, _ = text.reads[min(number, len(lengths) - 1)]
            for start, part, why in _parts(b"".join(some), why_last):
                yield JitMap(key.pid, start_ns, taken_ns, offset + start, part, why, read_ns)
            offset += sum(map(len, some))


def _parts(data: bytes | bytearray, problem: str) -> Iterator[tuple[int, bytes, str]]:
    """Yield start, bytes and problem of each part of `data`; at least one. The last part has the problem."""
    for start in range(0, max(len(data), 1), MAX_PART):
        yield start, bytes(data[start : start + MAX_PART]), problem if start + MAX_PART >= len(data) else ""
