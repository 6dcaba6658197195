"""What a capture carries of its modules and of code made at run time comes in parts; only parts that follow each
other make a whole.

The parts are a stranger's: one that overlaps, leaves a gap or reaches beyond the size that the first one declared
ends its whole, with the reason, and what was joined before it stays. Nothing is allocated by a declared size, and all
parts of a file together are bounded by its format.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar, Union

from httpcapture import PROGRAM_HEADERS, SECTION_HEADERS, WHOLE_FILE, JitMap, Module
from httpcapture import Section as Part

from ..elf.elf import CARRIED

NAMES = frozenset((*CARRIED, PROGRAM_HEADERS, SECTION_HEADERS, WHOLE_FILE))
NOT_FOLLOWING = "its parts do not follow each other"


@dataclass
class Extent:
    """How far the parts of a whole follow each other. `problem` says why what follows is missing."""

    address: int = 0
    size: int | None = None  # None: not declared
    length: int = 0
    problem: str = ""

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
        """Do nothing with the bytes: `Whole` joins them."""

    @property
    def missing(self) -> str:
        """Why bytes are missing; empty where none are."""
        cut = self.size is not None and self.length < self.size
        return self.problem or ("the rest was not recorded" if cut else "")


@dataclass
class Whole(Extent):
    """Parts joined so far."""

    _joined: Union[bytes, bytearray] = field(default_factory=bytearray)

    def _keep(self, data: bytes) -> None:
        self._joined += data

    @property
    def data(self) -> bytes:
        """Their bytes, which are there once: a section may have hundreds of MiB."""
        if isinstance(self._joined, bytearray):
            self._joined = bytes(self._joined)
        return self._joined


Wholes = dict[str, Whole]  # of one module, by Section.name
AnyExtent = TypeVar("AnyExtent", bound=Extent)


def add_part(wholes: dict[str, AnyExtent], part: Part, kind: type[AnyExtent]) -> None:
    """Join a part to those of its module. `kind` is the class of what it is joined to."""
    if part.name in NAMES:
        whole = wholes.setdefault(part.name, kind(part.address, part.size))
        if (whole.address, whole.size) != (part.address, part.size):
            whole.problem = whole.problem or NOT_FOLLOWING
        elif whole.length < part.size or part.problem:
            whole.add(part.start, part.data, part.problem)


def add_text(texts: dict[int, AnyExtent], part: JitMap, kind: type[AnyExtent]) -> None:
    """Join a part to the JIT maps of its process, by the time when they were taken."""
    texts.setdefault(part.taken_ns, kind()).add(part.start, part.data, part.problem)


def share(modules: Mapping[int, Module], carried: Mapping[int, Wholes]) -> dict[int, Wholes]:
    """What is carried of each module: its own, else that of the first module of its build ID that has any."""
    first: dict[bytes, Wholes] = {}
    for module in modules.values():
        if module.build_id and module.id in carried:
            first.setdefault(module.build_id, carried[module.id])
    shared = {id: first[module.build_id] for id, module in modules.items() if module.build_id in first}
    return {**shared, **carried}
