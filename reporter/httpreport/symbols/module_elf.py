"""Turn the recorded parts of a module into an `Elf`."""

from __future__ import annotations

from httpcapture import ALL_CARRIED, PROGRAM_HEADERS, WHOLE_FILE, Module

from ..capture.module_sections import JoinedParts, JoinedSections
from ..elf import elf
from ..elf.elf import BadElf, Elf


def to_elf(module: Module, joined: JoinedSections) -> Elf | None:
    """Return the module as far as its recorded parts go, None where they do not suffice to place an address in it."""
    try:
        if joined.get(WHOLE_FILE, JoinedParts()).data:
            return elf.read_elf(joined[WHOLE_FILE].data)
        if not joined.get(PROGRAM_HEADERS, JoinedParts()).data:
            return None
        sections = {
            name: elf.Section(joined[name].address, joined[name].data)
            for name in ALL_CARRIED
            if name in joined and joined[name].data
        }
        return elf.from_parts(
            module.machine,
            joined[PROGRAM_HEADERS].data,
            sections,
            module.build_id,
            frozenset(name for name in ALL_CARRIED if name in joined and joined[name].missing),
        )
    except BadElf:
        return None
