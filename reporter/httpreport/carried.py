"""What a capture carries of its modules and of code made at run time comes in parts; only parts that follow each
other make a whole.

The parts are a stranger's: one that overlaps, leaves a gap or reaches beyond the size that the first one declared
ends its whole, with the reason, and what was joined before it stays. Their bytes are counted by whoever hands them
in (`recording.py`); nothing is allocated by a declared size.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from httpcapture import PROGRAM_HEADERS, SECTION_HEADERS, WHOLE_FILE, JitMap, Module
from httpcapture import Section as Part

from . import elf
from .elf import CARRIED, BadElf, Elf

NAMES = frozenset((*CARRIED, PROGRAM_HEADERS, SECTION_HEADERS, WHOLE_FILE))
NOT_FOLLOWING = "its parts do not follow each other"


@dataclass
class Whole:
    """Parts joined so far. `problem` says why what follows `data` is missing."""

    address: int = 0
    size: int | None = None  # None: not declared
    data: bytearray = field(default_factory=bytearray)
    problem: str = ""

    def add(self, start: int, data: bytes, problem: str) -> None:
        """Join the next part."""
        if self.problem:
            return
        if start != len(self.data) or (self.size is not None and start + len(data) > self.size):
            self.problem = NOT_FOLLOWING
            return
        self.data += data
        self.problem = problem

    @property
    def missing(self) -> str:
        """Why bytes are missing; empty where none are."""
        cut = self.size is not None and len(self.data) < self.size
        return self.problem or ("the rest was not recorded" if cut else "")


Wholes = dict[str, Whole]  # of one module, by Section.name


def add_part(wholes: Wholes, part: Part) -> None:
    """Join a part to those of its module."""
    if part.name in NAMES:
        whole = wholes.setdefault(part.name, Whole(part.address, part.size))
        if (whole.address, whole.size) != (part.address, part.size):
            whole.problem = whole.problem or NOT_FOLLOWING
        elif len(whole.data) < part.size or part.problem:
            whole.add(part.start, part.data, part.problem)


def share(modules: Mapping[int, Module], carried: Mapping[int, Wholes]) -> dict[int, Wholes]:
    """What is carried of each module: its own, else that of the first module of its build ID that has any."""
    first: dict[bytes, Wholes] = {}
    for module in modules.values():
        if module.build_id and module.id in carried:
            first.setdefault(module.build_id, carried[module.id])
    shared = {id: first[module.build_id] for id, module in modules.items() if module.build_id in first}
    return {**shared, **carried}


def add_text(wholes: dict[int, Whole], part: JitMap) -> None:
    """Join a part to the JIT maps of its process, by the time when they were taken."""
    wholes.setdefault(part.taken_ns, Whole()).add(part.start, part.data, part.problem)


def to_elf(module: Module, wholes: Wholes) -> Elf | None:
    """The module as far as the capture carries it, None where that is not enough to place an address in it."""
    try:
        if wholes.get(WHOLE_FILE, Whole()).data:
            return elf.read_elf(bytes(wholes[WHOLE_FILE].data))
        if not wholes.get(PROGRAM_HEADERS, Whole()).data:
            return None
        machine = elf.MACHINES.get(module.machine, f"machine {module.machine}")
        section_headers = wholes.get(SECTION_HEADERS, Whole())
        sections = {
            name: elf.Section(wholes[name].address, bytes(wholes[name].data))
            for name in CARRIED
            if name in wholes and wholes[name].data
        }
        return elf.from_parts(
            machine,
            bytes(wholes[PROGRAM_HEADERS].data),
            sections,
            b"" if section_headers.missing else bytes(section_headers.data),
            module.build_id,
        )
    except BadElf:
        return None
