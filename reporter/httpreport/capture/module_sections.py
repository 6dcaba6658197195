"""Join the parts of sections and JIT maps in a capture. Only parts that follow each other are joined.

The parts are untrusted input. A part that overlaps, leaves a gap or exceeds the size that the first part declared ends
the whole, with the reason; what was joined before it stays. Nothing is allocated by a declared size, and the format
bounds the sum of all parts in a file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar, Union

from httpcapture import ALL_CARRIED, PROGRAM_HEADERS, SECTION_HEADERS, WHOLE_FILE, JitMap, Module
from httpcapture import Section as Part

NAMES = frozenset((*ALL_CARRIED, PROGRAM_HEADERS, SECTION_HEADERS, WHOLE_FILE))
NOT_FOLLOWING = "its parts do not follow each other"


@dataclass
class Extent:
    """Measure how far the parts of a whole follow each other. `problem` says why the rest is missing."""

    address: int = 0
    size: int | None = None  # None: not declared
    length: int = 0
    problem: str = ""
    reads: list[tuple[int, int]] = field(default_factory=list)
    """Of a JIT map: when each part had been read, and the length with it."""

    def add(self, start: int, data: bytes, problem: str) -> None:
        """Join the next part."""
        if self.problem:
            return
        if start != self.length or (self.size is not None and start + len(data) > self.size):
            self.problem = NOT_FOLLOWING
            return
        self.length += len(data)
        self.problem = problem
        self._keep(data)

    def _keep(self, data: bytes) -> None:
        """Do nothing with the bytes; `JoinedParts` keeps them."""

    @property
    def missing(self) -> str:
        """Return why bytes are missing; empty if none are."""
        cut = self.size is not None and self.length < self.size
        return self.problem or ("the rest was not recorded" if cut else "")


@dataclass
class JoinedParts(Extent):
    """Join the parts of a whole, and hold their bytes."""

    _joined: Union[bytes, bytearray] = field(default_factory=bytearray)

    def _keep(self, data: bytes) -> None:
        self._joined += data

    @property
    def data(self) -> bytes:
        """Return the joined bytes. They are in memory only once: a section may have hundreds of MiB."""
        if isinstance(self._joined, bytearray):
            self._joined = bytes(self._joined)
        return self._joined


JoinedSections = dict[str, JoinedParts]  # of one module, by Section.name
AnyExtent = TypeVar("AnyExtent", bound=Extent)


def add_part(joined: dict[str, AnyExtent], part: Part, kind: type[AnyExtent]) -> None:
    """Join a part to the sections of its module. A new section is made as a `kind`."""
    if part.name in NAMES:
        whole = joined.setdefault(part.name, kind(part.address, part.size))
        if (whole.address, whole.size) != (part.address, part.size):
            whole.problem = whole.problem or NOT_FOLLOWING
        elif whole.length < part.size or part.problem:
            whole.add(part.start, part.data, part.problem)


def add_text(texts: dict[int, AnyExtent], part: JitMap, kind: type[AnyExtent]) -> None:
    """Join a part to the JIT maps of its process, which are keyed by the time when each was taken."""
    text = texts.setdefault(part.taken_ns, kind())
    text.add(part.start, part.data, part.problem)
    text.reads.append((part.read_ns or part.taken_ns, text.length))


def share_sections(modules: Mapping[int, Module], carried: Mapping[int, JoinedSections]) -> dict[int, JoinedSections]:
    """Return the sections of each module: its own, else those of the first module with its build ID that has any."""
    first: dict[bytes, JoinedSections] = {}
    for module in modules.values():
        if module.build_id and module.id in carried:
            first.setdefault(module.build_id, carried[module.id])
    shared = {id: first[module.build_id] for id, module in modules.items() if module.build_id in first}
    return {**shared, **carried}
