"""Turns the recorded parts of a module into an `Elf`."""

from __future__ import annotations

from httpcapture import CARRIED, PROGRAM_HEADERS, SECTION_HEADERS, WHOLE_FILE, Module

from ..capture.module_sections import Whole, Wholes
from ..elf import elf
from ..elf.elf import BadElf, Elf


def to_elf(module: Module, wholes: Wholes) -> Elf | None:
    """Return the module as far as its recorded parts go, None where they do not suffice to place an address in it."""
    try:
        if wholes.get(WHOLE_FILE, Whole()).data:
            return elf.read_elf(wholes[WHOLE_FILE].data)
        if not wholes.get(PROGRAM_HEADERS, Whole()).data:
            return None
        section_headers = wholes.get(SECTION_HEADERS, Whole())
        sections = {
            name: elf.Section(wholes[name].address, wholes[name].data)
            for name in CARRIED
            if name in wholes and wholes[name].data
        }
        return elf.from_parts(
            module.machine,
            wholes[PROGRAM_HEADERS].data,
            sections,
            b"" if section_headers.missing else section_headers.data,
            module.build_id,
        )
    except BadElf:
        return None
