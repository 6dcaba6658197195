"""Make all records of a redacted capture except calls, field by field: a field that is not named here is left out."""

from __future__ import annotations

import secrets
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import replace

from httpcapture import (
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
from ..capture.module_sections import JoinedParts, JoinedSections
from ..capture.recording import ProcessKey, Recording
from ..languages import jit_map
from ..symbols import maps
from ..symbols.maps import Mapping
from .calls import CALL_ROW, COMPLETION_ROW, layout
from .masks import PathMasks, without_paths
from .stacks import RedactedStacks

_STRINGS = (".strtab", ".dynstr")
_SECOND_NS = 1_000_000_000


class RedactedRecords:
    """Make the redacted records of a recording. Iterating counts what is left out."""

    def __init__(self, recording: Recording, stacks: RedactedStacks) -> None:
        self.host = f"host-{secrets.token_hex(3)}"
        self.paths = PathMasks()
        self.modules = self.mappings = self.functions = 0
        """Count modules, mappings and functions of JIT maps that no frame is in."""
        self._recording = recording
        self._stacks = stacks

    def meta(self) -> Meta:
        """Return META with a made-up host, and without boot ID and run."""
        meta = self._recording.meta
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
            call_layout=layout(CALL_ROW),
            completion_layout=layout(COMPLETION_ROW),
            redacted=f"httpreport {__version__}",
        )

    def __iter__(self) -> Iterator[Module | Section | Process | JitMap | Code | Stack]:
        """Yield each record after the records that it refers to."""
        yield from self._modules()
        for key, processes in self._recording.processes.items():
            yield from (self._process((key, number), process) for number, process in enumerate(processes, 1))
        for key, texts in self._recording.jit_maps.items():
            for taken_ns, text in texts.items():
                yield from self._jit_map(key, taken_ns, text)
        yield from self._stacks.python.codes(self.paths)
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
                yield from (part for name, whole in joined.items() for part in self._sections(module, name, whole))
                written.setdefault(module.build_id, joined)
        for id in sorted(self._recording.ambiguous & self._stacks.modules):
            yield from (Module(id, b"", b"", size, b"") for size in (0, 1))

    def _sections(self, module: Module, name: str, whole: JoinedParts) -> Iterator[Section]:
        """Yield the parts of a section. A whole file is left out, unless it is the kernel's vdso."""
        data = whole.data if name != WHOLE_FILE or module.path == VDSO else b""
        size, problem = whole.size or 0, self.paths.text(whole.problem)
        for start, part, why in _parts(without_paths(data) if name in _STRINGS else data, problem):
            yield Section(module.id, name, whole.address, size, start, part, why)

    def _process(self, key: tuple[ProcessKey, int], process: Process) -> Process:
        starts = self._stacks.mappings.get(key, set())
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
        addresses = sorted(self._stacks.without_file.get(key, ()))
        lines, size = list[bytes](), 0
        for start, length, name in functions:
            if bisect_left(addresses, start) < bisect_left(addresses, start + length):
                lines.append(b"%x %x %s\n" % (start, length, self.paths.within(name)))
                size += len(lines[-1])
                if size > MAX_JIT_MAP:
                    lines, cut_off = lines[:-1], True
                    break
        self.functions += len(functions) - len(lines)
        problem = self.paths.text(text.problem) or ("its end is missing" if cut_off else "")
        for start, part, why in _parts(b"".join(lines), problem):
            yield JitMap(key.pid, start_ns, taken_ns, start, part, why)


def _parts(data: bytes | bytearray, problem: str) -> Iterator[tuple[int, bytes, str]]:
    """Yield start, bytes and problem of each part of `data`; at least one. The last part has the problem."""
    for start in range(0, max(len(data), 1), MAX_PART):
        yield start, bytes(data[start : start + MAX_PART]), problem if start + MAX_PART >= len(data) else ""
