"""Reduce the sections of Go programs to what names the frames of a capture.

The function table stays, with the folders of source files masked. Of the program's data, which may hold anything, only
the module data and the inlined calls that frames need stay, all other bytes become 0.
"""

from __future__ import annotations

from collections.abc import Iterable

from httpcapture import CARRIED

from ..elf.elf import Elf
from ..elf.go_functions import GoFunctions
from .masks import without_folders


def redacted_go_sections(elf: Elf, file_offsets: Iterable[int]) -> dict[str, bytes]:
    """Return the redacted sections of a Go program by name. `file_offsets` are those of the code that frames are in.

    A section that is not needed is left out.
    """
    functions = GoFunctions.of(elf)
    if functions is None:
        return {}
    for offset in file_offsets:
        address = elf.address_of(offset)
        if address is not None:
            functions.at(address)
    sections: dict[str, bytes] = {}
    for name, section in elf.sections.items():
        if name in CARRIED:
            continue
        if section.address == functions.address:
            files = functions.file_names
            data = bytearray(section.data)
            data[files.start : files.stop] = without_folders(section.data[files.start : files.stop])
        else:
            data = bytearray(len(section.data))
            for used in functions.used:
                start, end = used.start - section.address, used.stop - section.address
                if 0 <= start < end <= len(data):
                    data[start:end] = section.data[start:end]
        sections[name] = bytes(data)
    return sections
